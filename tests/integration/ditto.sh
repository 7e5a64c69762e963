#!/usr/bin/env bash
# Ditto: the shared model is FedAvg's to the byte; without a pull a client's own is what it would have
# trained alone; with one it is neither.  Over tcp, and when a client and the whole run are killed
# between the two trainings of a task, all of them end in the same bytes.  FedOpt's moments and the
# median survive the same way.
set -euo pipefail
. "$2/tests/integration/lib.sh"
HOW=(data.splitter iid federate.total_round_num 4 eval.freq 4 federate.save_client_model True
     train.local_update_steps 4)
DITTO=("${HOW[@]}" federate.method Ditto personalization.regular_weight 0.8)

# own NAME K: the digest of client K's own adapter of a run.
own() { sha256sum <"$WORK/$1/clients/client-$2/adapter_model.safetensors"; }
# as_whole NAME [RUN] [WHOLE]: own models, the shared one (in RUN) and what clients measured are WHOLE's.
measured() { grep '"round":4.*"form":"raw"' "$WORK/$1/metrics.jsonl" | grep val_total | sed 's/,"time.*//' | sort -u; }
as_whole() {
    local k run=${2:-$1} whole=${3:-ditto}
    for k in 1 2 3; do [ "$(own "$1" $k)" = "$(own "$whole" $k)" ] || fail "client $k of '$1' ended with another model"; done
    same "$whole" "$run"
    cmp <(measured "$run") <(measured "$whole") || fail "clients of '$1' measured something else"
}

one average "${HOW[@]}"
one alone "${HOW[@]}" federate.method local
one unpulled "${DITTO[@]}" personalization.regular_weight 0
one ditto "${DITTO[@]}"
same average ditto
same average unpulled
for k in 1 2 3; do
    [ "$(own unpulled $k)" = "$(own alone $k)" ] || fail "client $k without a pull did not train alone"
    [ "$(own ditto $k)" != "$(own alone $k)" ] || fail "the pull on client $k does nothing"
    [ "$(own ditto $k)" != "$(own average $k)" ] || fail "client $k keeps the shared model"
done
cmp <(measured unpulled) <(measured alone) || fail "clients measure something else than their own models"
one hasty "${DITTO[@]}" personalization.local_update_steps 2 personalization.lr 0.01
same average hasty
grep -q '"personal.train_steps":2.0' "$WORK/hasty/metrics.jsonl" || fail "own models do not train steps of their own"
[ "$(own hasty 1)" != "$(own ditto 1)" ] || fail "steps and rate of own models do nothing"

# Own processes; client 1 is killed once it has its own model of round 2 on the disk, without having told.
distributed "$(free_port)"
APART=(--cfg $CFG outdir "$WORK" expname apart "${DITTO[@]}" client_1.train.local_update_steps 120
       "${OVER_TCP[@]}" fedmq.heartbeat 0.3 fedmq.peer_timeout $((10 * PATIENCE)))
one slow "${DITTO[@]}" client_1.train.local_update_steps 120 client_1.personalization.local_update_steps 4
start server "$FEDMQ" server --directory "$WORK/served" "${APART[@]}" client_1.personalization.local_update_steps 4
SERVER=$PID
for k in 1 2 3; do
    start "client-$k" "$FEDMQ" client --id $k "${APART[@]}" client_1.personalization.local_update_steps 4
    CLIENTS[k]=$PID
done
for ((i = 0; i < 1200 * PATIENCE; i++)); do
    [ -e "$WORK/apart/personal/client-1/round-000002.state" ] && break
    sleep 0.02
done
killed "${CLIENTS[1]}"
grep -q 'trained round=2' "$WORK/client-1.log" && fail "client 1 was done before it was killed"
start client-1 "$FEDMQ" client --id 1 "${APART[@]}" client_1.personalization.local_update_steps 4
until_line "$WORK/client-1.log" 'own-state trained-in-round=2 task-round=2' 60 "$PID"
gone "$SERVER" 120 server
as_whole apart served slow

# One process: the whole run is killed in rounds 1 and 3 and goes on.
for method in ditto fedopt median; do
    WITH=("${DITTO[@]}")
    [ $method = ditto ] || WITH=("${HOW[@]}" federate.method FedOpt fedopt.optimizer.type Yogi fedopt.optimizer.lr 0.01)
    [ $method != median ] || WITH=("${HOW[@]}" aggregator.robust_rule median)
    [ $method = ditto ] || one $method "${WITH[@]}"
    start "killed-$method" "$FEDMQ" run --cfg $CFG outdir "$WORK" expname "killed-$method" "${WITH[@]}"
    for round in 1 3; do
        until_line "$WORK/killed-$method/run.log" "round-began round=$round" 60 "$PID"
        killed "$PID"
        start "killed-$method" "$FEDMQ" run --resume --directory "$WORK/killed-$method"
    done
    gone "$PID" 60 "killed-$method"
    if [ $method = ditto ]; then as_whole killed-ditto; else same $method "killed-$method"; fi
    [ $method = ditto ] || ! cmp -s "$WORK/$method/adapter/adapter_model.safetensors" "$WORK/average/adapter/adapter_model.safetensors" ||
        fail "$method is FedAvg"
done

# The same over tcp.
for method in fedopt median; do
    WITH=("${HOW[@]}" federate.method FedOpt fedopt.optimizer.type Yogi fedopt.optimizer.lr 0.01)
    [ $method != median ] || WITH=("${HOW[@]}" aggregator.robust_rule median)
    distributed "$(free_port)"
    start "$method-server" "$FEDMQ" server --directory "$WORK/tcp-$method" --cfg $CFG outdir "$WORK" "${WITH[@]}" "${OVER_TCP[@]}"
    SERVER=$PID
    for k in 1 2 3; do start "$method-$k" "$FEDMQ" client --id $k --cfg $CFG outdir "$WORK" expname "apart-$method" "${WITH[@]}" "${OVER_TCP[@]}"; done
    gone "$SERVER" 60 "$method-server"
    same $method "tcp-$method"
done
echo "own models, moments and medians survive"
