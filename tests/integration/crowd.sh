#!/usr/bin/env bash
# Five hundred clients in one process: few threads, few files, and an end within seconds.
set -euo pipefail
. "$2/tests/integration/lib.sh"

for ((i = 0; i < 2100; i++)); do
    echo "{\"instruction\": \"Say the number.\", \"input\": \"\", \"output\": \"$i\"}"
done >"$WORK/data.jsonl"
start crowd "$FEDMQ" run --cfg $CFG outdir "$WORK" expname crowd --permits 2 --threads 1 data.root "$WORK" \
    data.type data.jsonl@llm data.splitter iid data.splits '[0.998, 0.001, 0.001]' federate.client_num 500 \
    federate.sample_client_num 20 federate.total_round_num 10 train.local_update_steps 1 \
    dataloader.batch_size 2 eval.freq 1000 llm.tok_len 64
until_line "$WORK/crowd/run.log" 'round-closed round=1 ' 120 "$PID"
THREADS=$(awk '$1 == "Threads:" {print $2}' "/proc/$PID/status")
FILES=$(find "/proc/$PID/fd" -mindepth 1 | wc -l)
[ "$THREADS" -lt 40 ] || fail "$THREADS threads for 500 clients"
[ "$FILES" -lt 60 ] || fail "$FILES files for 500 clients"
gone "$PID" 120 "a run of five hundred clients"
grep -q 'ended round=10 reason="finished"' "$WORK/crowd/run.log" || fail "the run did not finish"
[ "$(grep -c 'trained round=' "$WORK/crowd/run.log")" -eq 200 ] || fail "not 200 trainings"
echo "500 clients: $THREADS threads, $FILES files"
