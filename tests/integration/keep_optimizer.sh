#!/usr/bin/env bash
# fedmq.keep_optimizer: optimizers go on from round to round; a run that is killed in two rounds, and
# one over tcp, end in the bytes of one that nothing happened to.
set -euo pipefail
. "$2/tests/integration/lib.sh"
KEEP=(data.splitter iid federate.total_round_num 4 eval.freq 4 train.local_update_steps 4
      train.optimizer.type AdamW train.optimizer.lr 0.01 train.scheduler.type ExponentialLR
      train.scheduler.gamma 0.9 fedmq.keep_optimizer True)

one kept "${KEEP[@]}"
one anew "${KEEP[@]}" fedmq.keep_optimizer False
cmp -s "$WORK/kept/adapter/adapter_model.safetensors" "$WORK/anew/adapter/adapter_model.safetensors" &&
    fail "keeping the optimizer does nothing"
[ "$(ls "$WORK/kept/personal/client-1" | tr '\n' ' ')" = "optimizer-0-000002.state optimizer-0-000003.state " ] ||
    fail "client 1 kept $(ls "$WORK/kept/personal/client-1")"
[ -e "$WORK/anew/personal" ] && fail "an optimizer is kept that nobody asked for"

start killed "$FEDMQ" run --cfg $CFG outdir "$WORK" expname killed "${KEEP[@]}"
for round in 1 3; do
    until_line "$WORK/killed/run.log" "round-began round=$round" 60 "$PID"
    killed "$PID"
    start killed "$FEDMQ" run --resume --directory "$WORK/killed"
done
gone "$PID" 60 killed
same kept killed

distributed "$(free_port)"
start server "$FEDMQ" server --directory "$WORK/tcp" --cfg $CFG outdir "$WORK" "${KEEP[@]}" "${OVER_TCP[@]}"
SERVER=$PID
for k in 1 2 3; do
    start "tcp-$k" "$FEDMQ" client --id $k --cfg $CFG outdir "$WORK" expname apart "${KEEP[@]}" "${OVER_TCP[@]}"
done
gone "$SERVER" 60 server
same kept tcp
echo "optimizers outlive rounds and kills"
