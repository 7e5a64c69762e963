#!/usr/bin/env bash
# Records that cannot be used: told once, per client and in all; a client that has none takes part in
# no training and says why; and a run, an evaluation or a client that has none at all is an error
# that names llm.tok_len.
set -euo pipefail
. "$2/tests/integration/lib.sh"

# lines FIRST LAST WORDS ANSWER: records whose instruction has so many words.
lines() {
    local i words
    words=$(printf 'word %.0s' $(seq "$3"))
    for ((i = $1; i <= $2; i++)); do echo "{\"instruction\": \"$words$i\", \"output\": $4}"; done
}
mkdir "$WORK/data"
{ lines 1 60 1 '"short"'; lines 61 90 300 '"never"'; lines 91 100 1 null; } >"$WORK/data/some.jsonl"
lines 1 60 300 '"never"' >"$WORK/data/long.jsonl"
lines 1 60 1 '"short"' >"$WORK/data/short.jsonl"
SOME=(data.root "$WORK/data" data.type some.jsonl@llm data.splitter iid data.splits '[0.8,0.1,0.1]')

# Some are dropped: one warning, and a line of metrics for each client and for all.
one some "${SOME[@]}"
[ "$(grep -c 'warning server records text="30 of 100 records do not fit llm.tok_len 128: 30 dropped, 0 cut; 10 with no answer dropped"' "$WORK/some.log")" -eq 1 ] ||
    fail "not one warning of all clients"
[ "$(grep -c 'no answer dropped' "$WORK/some.log")" -eq 1 ] || fail "it is told more than once"
for client in 1 2 3; do
    [ "$(grep -c "\"source\":\"client-$client\",\"form\":\"data\"" "$WORK/some/metrics.jsonl")" -eq 1 ] ||
        fail "metrics.jsonl does not tell once of client $client"
done
grep -q '"source":"clients","form":"data","metrics":{"data_records":100.0,"data_unanswered":10.0,"data_too_long":30.0,"data_cut":0.0}' \
    "$WORK/some/metrics.jsonl" || fail "metrics.jsonl does not tell of all"

# None is left: an error, and no adapter.
status_of none "$FEDMQ" run --cfg $CFG outdir "$WORK" expname none "${SOME[@]}" data.type long.jsonl@llm
[ $STATUS -eq 2 ] || fail "a run without a usable record ended with status $STATUS"
grep -q 'no client has a training record that can be used: of all 60 records 60 have a prompt that fills llm.tok_len 128' \
    "$WORK/none.log" || fail "the run does not say why"
[ ! -e "$WORK/none/adapter" ] || fail "a run without a usable record left an adapter"
status_of eval "$FEDMQ" eval --model configs/quickstart/model --data "$WORK/data/long.jsonl" --tok-len 128
[ $STATUS -eq 2 ] || fail "an evaluation without a usable record ended with status $STATUS"
grep -q 'none of the 60 records can be used: the prompts of 60 fill --tok-len 128' "$WORK/eval.log" ||
    fail "the evaluation does not say why"

# Of three clients one has no usable record at all, and one only records to measure.
PORT=$(free_port)
distributed "$PORT"
start server "$FEDMQ" server --cfg $CFG --no-splitter outdir "$WORK" expname three "${OVER_TCP[@]}"
SERVER=$PID
CLIENT=("$FEDMQ" client --cfg $CFG "${OVER_TCP[@]}")
start measuring "${CLIENT[@]}" --id 2 --train "$WORK/data/long.jsonl" --test "$WORK/data/short.jsonl"
MEASURING=$PID
status_of useless "${CLIENT[@]}" --id 3 --train "$WORK/data/long.jsonl"
[ $STATUS -eq 2 ] || fail "a client without a usable record ended with status $STATUS"
grep -q 'none of the 60 training records can be used.*llm.tok_len' "$WORK/useless.log" ||
    fail "the client without a usable record does not say why"
until_line "$WORK/three/run.log" 'client-untrained client=3 reason="none of the 60' 20 "$SERVER"
start training "${CLIENT[@]}" --id 1 --train "$WORK/data/short.jsonl" --val "$WORK/data/short.jsonl"
gone "$SERVER" 60 "the server"
grep -q 'ended after round 3/3: finished' "$WORK/server.log" || fail "the run did not finish without the two"
grep -q 'client-untrained client=2' "$WORK/three/run.log" || fail "the server does not name client 2"
! grep -q 'round-began round=[0-9] clients=[23]' "$WORK/three/run.log" || fail "a client without records was asked to train"
gone "$MEASURING" 20 "the measuring client"
grep -q 'warning client-2 takes-part-in-no-training reason="none of the 60' "$WORK/measuring.log" ||
    fail "the measuring client does not say that it trains nothing"
grep -q 'test_avg_loss' "$WORK/server.log" || fail "what the measuring client measured is missing"

# Who comes later is told of on its own, once, whatever number of rounds it stays.
start late-server "$FEDMQ" server --cfg $CFG --no-splitter outdir "$WORK" expname late "${OVER_TCP[@]}" \
    fedmq.min_clients 1 federate.total_round_num 1000
SERVER=$PID
start first "${CLIENT[@]}" --id 1 --train "$WORK/data/short.jsonl"
until_line "$WORK/late/run.log" 'round-began round=1 ' 20 "$SERVER"
start late-client "${CLIENT[@]}" --id 3 --train "$WORK/data/some.jsonl"
LATE='warning server client-records client=3 text="30 of 100 records'
until_line "$WORK/late/run.log" "$LATE" 20 "$SERVER"
ROUND=$(grep -c round-began "$WORK/late/run.log")
until_line "$WORK/late/run.log" "round-began round=$((ROUND + 3)) " 20 "$SERVER"
[ "$(grep -c "$LATE" "$WORK/late/run.log")" -eq 1 ] || fail "a late client is told of more than once"
grep -q '"source":"client-3","form":"data"' "$WORK/late/metrics.jsonl" || fail "metrics.jsonl lacks the late client"

# So it is with records of the server's own: those that align an emulator, and those it measures.
"$FEDMQ" run --cfg tests/integration/offsite.yaml outdir "$WORK" expname public federate.total_round_num 1 \
    llm.offsite_tuning.emu_align.data "{root: $WORK/data, type: some.jsonl@llm, splits: [1.0, 0.0, 0.0]}" \
    >"$WORK/public.log" 2>&1 || fail "a run with public records that do not fit ended with status $?"
[ "$(grep -c 'warning server own-records what="alignment" text="30 of 100 records do not fit' "$WORK/public.log")" -eq 1 ] ||
    fail "public records that do not fit are not told once"
status_of held "$FEDMQ" server --cfg tests/integration/offsite.yaml --no-splitter outdir "$WORK" expname held \
    "${OVER_TCP[@]}" distribute.server_port "$(free_port)" fedmq.own_data True llm.offsite_tuning.eval_type full \
    llm.offsite_tuning.emu_align.use False \
    llm.offsite_tuning.emu_align.data "{root: $WORK/data, type: long.jsonl@llm, splits: [0.0, 0.5, 0.5]}"
[ $STATUS -eq 2 ] || fail "a server with nothing to measure ended with status $STATUS"
grep -q 'none of the 60 records that the server measures can be used.*llm.tok_len' "$WORK/held.log" ||
    fail "a server with nothing to measure does not say why"
