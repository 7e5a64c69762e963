#!/usr/bin/env bash
# federate.method local: every client's state is its own, so it is the client that must not forget it.
# A client that is killed and started again, and a whole run that is killed and resumed, end with the
# very adapters of a run that nobody disturbed.
set -euo pipefail
. "$2/tests/integration/lib.sh"

LOCAL=(federate.method local federate.client_num 2 federate.total_round_num 5 eval.freq 5
       federate.save_client_model True)

# own NAME K: the digest of client K's adapter of a run.
own() { sha256sum <"$WORK/$1/clients/client-$2/adapter_model.safetensors"; }

# measured RUN: what clients measured after the last round; a run that is resumed there measures again.
measured() { grep '"round":5.*"form":"raw"' "$WORK/$1/metrics.jsonl" | sed 's/,"time.*//' | sort -u; }

# as_whole NAME [RUN]: its clients ended where those of the undisturbed run did; RUN: the server's folder.
as_whole() {
    local k run=${2:-$1}
    for k in 1 2; do
        [ "$(own "$1" $k)" = "$(own whole $k)" ] || fail "client $k of '$1' ended with another adapter"
    done
    cmp <(measured "$run") <(measured whole) || fail "clients of '$1' measured something else"
}

one whole "${LOCAL[@]}"
[ "$(ls "$WORK/whole/personal/client-1" | tr '\n' ' ')" = "round-000003.state round-000004.state " ] ||
    fail "two states of a client are kept"

# One client is killed after it has trained in round 2.
distributed "$(free_port)"
APART=(--cfg $CFG outdir "$WORK" expname apart "${LOCAL[@]}" "${OVER_TCP[@]}" fedmq.heartbeat 0.3
       fedmq.peer_timeout $((5 * PATIENCE)))
start server "$FEDMQ" server --directory "$WORK/served" "${APART[@]}"
SERVER=$PID
start client-1 "$FEDMQ" client --id 1 "${APART[@]}"
VICTIM=$PID
start client-2 "$FEDMQ" client --id 2 "${APART[@]}"
until_line "$WORK/client-1.log" 'trained round=2' 60 $VICTIM
killed $VICTIM
start client-1 "$FEDMQ" client --id 1 "${APART[@]}"
gone $SERVER 60 server
grep -q 'ended round=5 reason="finished"' "$WORK/served/run.log" || fail "the run has not finished"
as_whole apart served

# The whole run is killed, twice, and resumed.
start killed "$FEDMQ" run --cfg $CFG outdir "$WORK" expname killed "${LOCAL[@]}"
until_line "$WORK/killed/run.log" 'round-began round=1' 60 $PID
killed $PID
start killed "$FEDMQ" run --resume --directory "$WORK/killed"
until_line "$WORK/killed/run.log" 'round-began round=3' 60 $PID
killed $PID
for end in first again; do
    "$FEDMQ" run --resume --directory "$WORK/killed" >>"$WORK/killed.log" 2>&1 || fail "resuming ended with status $?"
    as_whole killed
done

# Another run in the place of this one begins from the beginning.
status_of again "$FEDMQ" run --cfg $CFG --directory "$WORK/again" "${LOCAL[@]}" seed 8
[ "$STATUS" -eq 0 ] || fail "another run ended with status $STATUS"
[ "$(own again 1)" != "$(own whole 1)" ] || fail "another seed made no difference"
echo "clients went on from their own states"
