#!/usr/bin/env bash
# A published model learns from published data: TinyStories-656K, three clients with records of
# dolly-15k, five rounds.  The loss on held-out records falls in every round.  A repeat, and
# processes over tcp whose clients come in another order, end with the same bytes.
set -euo pipefail
. "$2/tests/integration/lib.sh"
assets models/TinyStories-656K
assets data/dolly-fedit10
WITH=(federate.total_round_num 5 model.type "$ASSETS/models/TinyStories-656K"
      data.root "$ASSETS/data" data.type dolly-15k@llm data.file_path dolly-fedit10/local_training_0.json
      data.splits '[0.8, 0.1, 0.1]' data.splitter iid llm.tok_len 256
      train.local_update_steps 10 dataloader.batch_size 4 train.optimizer.lr 0.003
      eval.split "['test']" eval.best_res_update_round_wise_key test_loss)

one first "${WITH[@]}"
grep '"source":"clients","form":"weighted_avg"' "$WORK/first/metrics.jsonl" |
    grep -oE '"test_avg_loss":[0-9.]+' | cut -d: -f2 >"$WORK/losses"
echo "held-out loss:" $(cat "$WORK/losses")
[ "$(wc -l <"$WORK/losses")" -eq 5 ] || fail "not five measurements"
sort -c -r -g -u "$WORK/losses" 2>/dev/null || fail "the loss did not fall in every round"

one again "${WITH[@]}"
distributed "$(free_port)"
start server "$FEDMQ" server --cfg $CFG "${OVER_TCP[@]}" "${WITH[@]}" outdir "$WORK" expname tcp
SERVER=$PID
for k in 2 3 1; do
    start "client-$k" "$FEDMQ" client --cfg $CFG --id $k "${OVER_TCP[@]}" "${WITH[@]}"
    until_line "$WORK/tcp/run.log" "member-joined name=client-$k" 60 "$SERVER"
done
gone $SERVER 240 server
same first again
same first tcp
echo "it learns, and always the same"
