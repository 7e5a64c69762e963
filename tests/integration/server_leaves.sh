#!/usr/bin/env bash
# A server that is stopped or killed does not send its clients and evaluators home: they wait for
# fedmq.server_patience, so that the --resume which it suggests goes on with them, also when the clock
# was set back; when it does not come back they end with status 9, also who still fetches its model.
# Behind a router of its own the same.  A run that failed is told by its clients, with status 13.
set -euo pipefail
. "$2/tests/integration/lib.sh"
WITH=(--cfg $CFG federate.mode distributed federate.client_num 2 federate.total_round_num 6
    eval.freq 100 outdir "$WORK" fedmq.heartbeat 0.2 fedmq.peer_timeout 2)

one whole federate.client_num 2 federate.total_round_num 6 eval.freq 100

# ended PID WANTED NAME: waits for a child of this shell and looks at its status.
ended() {
    local status=0
    gone "$1" 60 "$3"
    wait "$1" 2>/dev/null || status=$?
    [ $status -eq "$2" ] || fail "$3 ended with status $status, not $2"
}

# clients SUFFIX KEY VALUE ...: two of them, in CLIENTS.
clients() {
    local k suffix=$1
    shift
    for k in 1 2; do
        "$FEDMQ" client --id $k "${WITH[@]}" "$@" >>"$WORK/client-$k$suffix.log" 2>&1 &
        CLIENTS[k]=$!
        STARTED+=($!)
    done
}

PORT=$(free_port)
distributed "$PORT"
LOG=$WORK/run/run.log
SERVE=("$FEDMQ" server --directory "$WORK/run" "${WITH[@]}" "${OVER_TCP[@]}")
start server "${SERVE[@]}"
SERVER=$PID
clients "" "${OVER_TCP[@]}"
until_line "$LOG" 'round-closed round=0' 60 $SERVER
kill -TERM "$SERVER"
gone "$SERVER" 20 "the stopped server"
until_line "$WORK/client-1.log" 'server-away.*waiting for it to come back: 600 s' 20 "${CLIENTS[1]}"

# As if the clock had been set back by ten years, twice: what the run's directory knows counts.
echo $(($(cat "$WORK/run/versions") + 315360000000)) >"$WORK/run/versions"
for line in 'round-closed round=2'; do
    start server "${SERVE[@]}" --resume
    SERVER=$PID
    until_line "$LOG" "$line" 60 $SERVER
    kill -TERM "$SERVER"
    gone "$SERVER" 20 "the stopped server"
done
start server "${SERVE[@]}" --resume
gone "$PID" 60 "the resumed server"
for k in 1 2; do ended "${CLIENTS[k]}" 0 "client-$k"; done
grep -q 'the run has ended: finished after 6 rounds' "$WORK/client-1.log" || fail "client-1 does not say how it ended"
same whole run

# A server that is killed and never comes back: clients, evaluator and splitter end by themselves.
PORT=$(free_port)
distributed "$PORT"
start lost "$FEDMQ" server --no-splitter --directory "$WORK/lost" "${WITH[@]}" "${OVER_TCP[@]}"
SERVER=$PID
clients -lost "${OVER_TCP[@]}" fedmq.server_patience 1
OTHERS=()
for who in splitter evaluator; do
    AS=("${WITH[@]}")
    [ $who = splitter ] || AS+=(--attach "tcp://127.0.0.1:$PORT")
    "$FEDMQ" $who "${AS[@]}" "${OVER_TCP[@]}" fedmq.server_patience 1 >"$WORK/$who.log" 2>&1 &
    STARTED+=($!)
    OTHERS+=($!)
done
until_line "$WORK/lost/run.log" 'round-closed round=0' 60 $SERVER
until_line "$WORK/evaluator.log" 'evaluator.* up ' 60 "${OTHERS[1]}"
killed "$SERVER"
for k in 1 2; do ended "${CLIENTS[k]}" 9 "client-$k of a lost server"; done
ended "${OTHERS[0]}" 9 "the splitter of a lost server"
ended "${OTHERS[1]}" 9 "the evaluator of a lost server"
grep -q "127.0.0.1:$PORT.*did not come back" "$WORK/client-1-lost.log" || fail "nothing says who did not come back"

# The router lives on: it keeps the run of a server that was killed, and tells that it has gone.  Who
# fetches its model from that one waits for it too.
KEPT=tcp://127.0.0.1:$(free_port)
TUNING=(--cfg tests/integration/offsite.yaml --broker "$KEPT")
start kept "$FEDMQ" broker --listen "$KEPT"
start tuning "$FEDMQ" server --directory "$WORK/tuning" "${TUNING[@]}"
until_line "$WORK/tuning.log" 'waiting for clients' 60 "$PID"
killed "$PID"
PORT=$(free_port)
start broker "$FEDMQ" broker --listen "tcp://127.0.0.1:$PORT"
SERVE=("$FEDMQ" server --directory "$WORK/apart" "${WITH[@]}" --broker "tcp://127.0.0.1:$PORT")
start apart "${SERVE[@]}"
SERVER=$PID
clients -apart --broker "tcp://127.0.0.1:$PORT"
until_line "$WORK/apart/run.log" 'round-closed round=0' 60 $SERVER
killed "$SERVER"
until_line "$WORK/client-1-apart.log" 'server-away' 20 "${CLIENTS[1]}"
start apart "${SERVE[@]}" --resume
gone "$PID" 60 "the resumed server behind a broker"
for k in 1 2; do ended "${CLIENTS[k]}" 0 "client-$k behind a broker"; done
same whole apart

until_line "$WORK/kept.log" 'member-lost name=server' 30
status_of bereft "$FEDMQ" client --id 1 "${TUNING[@]}" fedmq.layer_cache "$WORK/layers" fedmq.server_patience 0.001
[ $STATUS -eq 9 ] || fail "a client that fetches its model ended with status $STATUS, not 9"
grep -q 'launcher server-away' "$WORK/bereft.log" || fail "a client that fetches its model does not say that the server is away"
tail -n 1 "$WORK/bereft.log" | grep -q '^fedmq client: the server at .* did not come back' || fail "nothing says who did not come back"

# A run that fails, for a directory comes in the way of its first checkpoint: its clients say so.
PORT=$(free_port)
distributed "$PORT"
start failing "$FEDMQ" server --directory "$WORK/failing" "${WITH[@]}" "${OVER_TCP[@]}"
SERVER=$PID
until_line "$WORK/failing.log" 'waiting for clients' 60 $SERVER
mkdir -p "$WORK/failing/checkpoints/round-000001.state/in-the-way"
clients -failing "${OVER_TCP[@]}"
gone "$SERVER" 60 "the server of a run that fails"
for k in 1 2; do
    ended "${CLIENTS[k]}" 13 "client-$k of a run that failed"
    tail -n 1 "$WORK/client-$k-failing.log" | grep -q 'the run has failed after [01] rounds*: .*round-000001' ||
        fail "the last line of client-$k does not say why the run failed"
done
echo "the server went and came back, and where it did not nobody stayed"
