#!/usr/bin/env bash
# A run over tcp whose rounds ask three of five clients, of whom one is lost for good while it is at a
# task.  The round closes with its quorum, without that client; the server is killed in it and in two
# rounds that follow, also while it closes one: the adapter is the one that was recorded.
set -euo pipefail
. "$2/tests/integration/lib.sh"
LOST=1 RECORDED=15d6e5c26a6fabe4
HOW=(federate.client_num 5 federate.total_round_num 7 federate.sample_client_num 3 eval.freq 100
     train.local_update_steps 10 client_$LOST.train.local_update_steps 1000000 data.splitter iid)

distributed "$(free_port)"
WITH=(--cfg $CFG outdir "$WORK" "${OVER_TCP[@]}" "${HOW[@]}" fedmq.heartbeat 0.3 fedmq.peer_timeout $((5 * PATIENCE)))
LOG=$WORK/run/run.log
start server "$FEDMQ" server --directory "$WORK/run" "${WITH[@]}"
SERVER=$PID
for k in 1 2 3 4 5; do
    start "client-$k" "$FEDMQ" client --id $k "${WITH[@]}"
    CLIENTS[k]=$PID
done

# again LEAST: kills the server and resumes it with another fedmq.min_clients, which is its quorum.
again() {
    killed "$SERVER"
    start server "$FEDMQ" server --resume --directory "$WORK/run" "${WITH[@]}" fedmq.min_clients "$1"
    SERVER=$PID
}

# The first round that asks the client which will be lost: its plan names it behind three other words.
for ((i = 0; i < 1200 * PATIENCE; i++)); do
    PLAN=$(grep -lsE "^[^ ]+ [^ ]+ [^ ]+ $LOST " "$WORK"/run/journal/round-*/plan 2>/dev/null || true)
    [ -z "$PLAN" ] || break
    sleep 0.02
done
[ -n "$PLAN" ] || fail "no round asks client $LOST"
ROUND=$(basename "$(dirname "$PLAN")") && ROUND=$((10#${ROUND#round-}))
until_line "$LOG" "round-began round=$ROUND" 60 "$SERVER"
sleep 0.2
killed "${CLIENTS[LOST]}"
again 2
until_line "$LOG" "round-closed round=$ROUND updates=2 rejected=0 missing=1" 60 "$SERVER"
again 4
until_line "$LOG" "round-began round=$((ROUND + 2))" 60 "$SERVER"
again 4
gone "$SERVER" 120 server
grep -q "ended round=7" "$LOG" || fail "the server did not finish"
for k in 2 3 4 5; do gone "${CLIENTS[k]}" 30 "client-$k"; done
GOT=$(sha256sum "$WORK"/run/adapter/*.safetensors | cut -c1-16)
[ "$GOT" = $RECORDED ] || fail "the adapter is $GOT, where $RECORDED was recorded"
echo "a client lost, three servers killed, the adapter that was recorded"
