#!/usr/bin/env bash
# Eight clients and an evaluator share one process for twenty rounds, two computing at a time; the
# test is made for ThreadSanitizer.
set -euo pipefail
. "$2/tests/integration/lib.sh"
one many --permits 2 --threads 2 --evaluator federate.client_num 8 federate.total_round_num 20 \
    train.local_update_steps 1 dataloader.batch_size 2 eval.freq 10 llm.tok_len 64 data.splits '[0.99, 0.005, 0.005]'
[ "$(grep -c 'trained round=' "$WORK/many/run.log")" -eq 160 ] || fail "not 160 trainings"
grep -q '"source":"evaluator-1"' "$WORK/many/metrics.jsonl" || fail "the evaluator measured nothing"
echo "160 trainings, nobody in another's way"
