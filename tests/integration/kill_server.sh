#!/usr/bin/env bash
# A server is killed at several moments of a run over tcp and resumed each time, while its clients
# live on: the adapter is that of a run that nothing happened to.
set -euo pipefail
. "$2/tests/integration/lib.sh"
ROUNDS=32

one whole federate.total_round_num $ROUNDS eval.freq 3

distributed "$(free_port)"
WITH=(--cfg $CFG outdir "$WORK" "${OVER_TCP[@]}" federate.total_round_num $ROUNDS eval.freq 3
      fedmq.heartbeat 0.3 fedmq.peer_timeout 3)
LOG=$WORK/run/run.log
start server "$FEDMQ" server --directory "$WORK/run" "${WITH[@]}"
SERVER=$PID
for k in 1 2 3; do
    start "client-$k" "$FEDMQ" client --id $k "${WITH[@]}"
    CLIENTS[k]=$PID
done
RANDOM=20
for line in 'round-began round=0' 'round-closed round=2' 'round-began round=5'; do
    until_line "$LOG" "$line" 60 "$SERVER"
    sleep 0.0$((RANDOM % 10)) # a round takes less than that
    killed "$SERVER"
    start server "$FEDMQ" server --resume --directory "$WORK/run" "${WITH[@]}"
    SERVER=$PID
done
gone "$SERVER" 120 server
grep -q "ended round=$ROUNDS" "$LOG" || fail "the server did not finish"
for k in 1 2 3; do gone "${CLIENTS[k]}" 20 "client-$k"; done
same whole run
echo "three kills, the same adapter"
