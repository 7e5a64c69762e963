#!/usr/bin/env bash
# A client is killed in the middle of a round, over tcp: the round closes without it.  A client
# that comes late takes part in the next round, and so does the dead one once it is back.
set -euo pipefail
. "$2/tests/integration/lib.sh"

distributed "$(free_port)"
WITH=(--cfg $CFG outdir "$WORK" expname run "${OVER_TCP[@]}" federate.total_round_num 1000 eval.freq 1000
      train.local_update_steps 20 fedmq.heartbeat 0.3 fedmq.peer_timeout $((2 * PATIENCE))
      fedmq.round_deadline $((3 * PATIENCE)) fedmq.min_clients 2)
LOG=$WORK/run/run.log

# Waits until a client trains in a round that begins after now.
takes_part() {
    local lines
    lines=$(wc -l <"$LOG")
    for ((i = 0; i < 600 * PATIENCE; i++)); do
        tail -n +$((lines + 1)) "$LOG" | grep -q 'round-closed.*updates=3' && return 0
        sleep 0.1
    done
    fail "no round closed with three updates after $1 came"
}

start server "$FEDMQ" server --json "${WITH[@]}"
SERVER=$PID
start client-1 "$FEDMQ" client --id 1 "${WITH[@]}"
start client-2 "$FEDMQ" client --id 2 "${WITH[@]}"
VICTIM=$PID
until_line "$LOG" 'round-closed.*updates=2' 60 $SERVER

start client-3 "$FEDMQ" client --id 3 "${WITH[@]}"
takes_part client-3

until_line "$WORK/client-2.log" 'trained round=1' 60 $VICTIM
killed $VICTIM
until_line "$LOG" 'round-closed.*updates=2 rejected=0 missing=1' 60 $SERVER
until_line "$LOG" 'member-lost name=client-2' 60 $SERVER

start client-2 "$FEDMQ" client --id 2 "${WITH[@]}"
takes_part client-2

kill -INT $SERVER
gone $SERVER 20 server
[ -s "$WORK/run/checkpoints/$(ls "$WORK/run/checkpoints" | tail -n 1)" ] || fail "the run left no checkpoint"
echo "the run outlived its client, and took it back"
