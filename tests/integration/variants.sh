#!/usr/bin/env bash
# A federation leaves the same bytes with every set of kernels that this machine can run: low-rank
# adapters with dropout on both families of models, all the weights, and a quantized emulator that is
# aligned.  Usage: variants.sh FEDMQ SOURCE RANDOM_MODEL
set -euo pipefail
. "$2/tests/integration/lib.sh"
RANDOM_MODEL=$3
OFFSITE=llm.offsite_tuning

for family in gpt2 llama; do
    "$RANDOM_MODEL" $family "$WORK/$family" configs/quickstart/model || fail "no model of family $family"
done

# digests VARIANT: of what the runs leave, one a line.
digests() {
    local small=(data.splitter iid federate.client_num 2 federate.total_round_num 2 llm.tok_len 72 eval.freq 1)
    export FEDMQ_CPU=$1
    one "$1-gpt2" "${small[@]}" model.type "$WORK/gpt2"
    one "$1-llama" "${small[@]}" model.type "$WORK/llama" train.optimizer.type SGD
    one "$1-full" "${small[@]}" model.type "$WORK/llama" llm.adapter.use False federate.total_round_num 1
    CFG=tests/integration/offsite.yaml one "$1-offsite" "${small[@]}" federate.total_round_num 1 \
        $OFFSITE.strategy quantization $OFFSITE.kwargs '[{bits: 4}]' $OFFSITE.emu_align.initial_only True
    for run in gpt2 llama full offsite; do
        echo "$run $(sha256sum "$WORK/$1-$run"/adapter/*.safetensors | cut -c1-16)" \
            "$(grep -oE '"[a-z_]*loss":[0-9.e+-]+' "$WORK/$1-$run/metrics.jsonl" | sha256sum | cut -c1-16)"
    done
}

COMPARED=()
for variant in avx512 avx2 portable; do
    FEDMQ_CPU=$variant "$FEDMQ" generate --model "$WORK/llama" --prompt-ids 5 --ids >"$WORK/$variant.log" 2>&1 || {
        grep -q 'is not a variant that this machine can run' "$WORK/$variant.log" || fail "$variant does not generate"
        echo "SKIPPED: this machine cannot run $variant"
        continue
    }
    digests $variant >"$WORK/$variant.digests"
    COMPARED+=($variant)
    diff "$WORK/${COMPARED[0]}.digests" "$WORK/$variant.digests" || fail "$variant gives other bytes than ${COMPARED[0]}"
done
[ ${#COMPARED[@]} -gt 1 ] || skip "there is one set of kernels only"
echo "${COMPARED[*]}: the same bytes"
cat "$WORK/${COMPARED[0]}.digests"
