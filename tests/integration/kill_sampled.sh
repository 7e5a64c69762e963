#!/usr/bin/env bash
# A run over tcp whose rounds ask two of three clients.  The server is killed and resumed, and so is
# each client in turn while it is at a task: whoever was asked stays asked, and the adapter is that
# of a run that nothing happened to.
set -euo pipefail
. "$2/tests/integration/lib.sh"
ROUNDS=8
HOW=(federate.total_round_num $ROUNDS federate.sample_client_num 2 eval.freq 100 train.local_update_steps 20)

one whole "${HOW[@]}"

distributed "$(free_port)"
WITH=(--cfg $CFG outdir "$WORK" "${OVER_TCP[@]}" "${HOW[@]}" fedmq.heartbeat 0.3 fedmq.peer_timeout $((10 * PATIENCE)))
LOG=$WORK/run/run.log
start server "$FEDMQ" server --directory "$WORK/run" "${WITH[@]}"
SERVER=$PID
for k in 1 2 3; do
    start "client-$k" "$FEDMQ" client --id $k "${WITH[@]}"
    CLIENTS[k]=$PID
done

# planned ROUND: waits until a round has its plan; sets PLANNED to whom it asks.
planned() {
    local plan=$WORK/run/journal/round-00000$1/plan
    for ((i = 0; i < 600 * PATIENCE; i++)); do
        [ -s "$plan" ] && read -ra PLANNED < <(head -n 1 "$plan") && PLANNED=("${PLANNED[@]:3}") && return
        sleep 0.02
    done
    fail "round $1 is not planned"
}

for round in 1 3 5; do
    planned $round
    before=$(head -n 1 "$WORK/run/journal/round-00000$round/plan")
    victim=${PLANNED[0]}
    killed "${CLIENTS[victim]}"
    killed "$SERVER"
    start server "$FEDMQ" server --resume --directory "$WORK/run" "${WITH[@]}"
    SERVER=$PID
    sleep 0.3
    start "client-$victim" "$FEDMQ" client --id "$victim" "${WITH[@]}"
    CLIENTS[victim]=$PID
    [ ! -e "$WORK/run/journal/round-00000$round/plan" ] ||
        [ "$(head -n 1 "$WORK/run/journal/round-00000$round/plan")" = "$before" ] || fail "the plan of round $round has changed"
done
gone "$SERVER" 120 server
grep -q "ended round=$ROUNDS" "$LOG" || fail "the server did not finish"
for k in 1 2 3; do gone "${CLIENTS[k]}" 30 "client-$k"; done
same whole run
echo "three servers and three clients killed, the same adapter"
