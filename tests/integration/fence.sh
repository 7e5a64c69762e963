#!/usr/bin/env bash
# Whole federations behind a fence: the memory that a backend computes in is at addresses that this
# program may not touch, as a GPU's is (tests/llm/backend/fence.h).  Each run has to end as the same
# run without the fence does, with the very same bytes.
set -euo pipefail
. "$2/tests/integration/lib.sh"
FENCED=$3
[ -x "$FENCED" ] || skip "there is no '$FENCED'"
OFFSITE=llm.offsite_tuning

# pair NAME KEY VALUE...: the run of $CFG without and with the fence.
pair() {
    local name=$1
    shift
    one "$name" eval.freq 2 federate.total_round_num 2 "$@"
    FEDMQ=$FENCED one "$name-fenced" eval.freq 2 federate.total_round_num 2 "$@"
    ! grep -h 'fence:' "$WORK/$name-fenced.log" || fail "the fence complains of '$name'"
    [ "$(measured "$name")" = "$(measured "$name-fenced")" ] || fail "runs '$name' measured otherwise"
}

# measured NAME: what was measured in a run, without the times.
measured() { sed -E 's/,"[a-z_]*(time|seconds)[^,}]*//g' "$WORK/$1/metrics.jsonl" | sort -u; }

# both NAME KEY VALUE...: a pair that ends with an adapter.
both() {
    pair "$@"
    same "$1" "$1-fenced"
}

"$FEDMQ" init --config tests/integration/gpt2.json --tokenizer configs/quickstart/model --out "$WORK/gpt2.model" \
    >"$WORK/init.log" 2>&1 || fail "no model of GPT-2's family could be made"

both answers fedmq.match_tokens 4 fedmq.match_examples 6
both gpt2 model.type "$WORK/gpt2.model" llm.tok_len 64 fedmq.match_tokens 2 fedmq.match_examples 2
pair whole llm.adapter.use False dataloader.batch_size 2
cmp "$WORK"/whole{,-fenced}/adapter/model.safetensors || fail "the whole models that were trained differ"
both near fedprox.use True fedprox.mu 0.1 grad.grad_accum_count 2 grad.grad_clip 1.0
both half train.is_enable_half True fedmq.match_tokens 2 fedmq.match_examples 2
both codes train.is_enable_half True fedmq.weights nf4
pair local federate.method local federate.save_client_model True
cmp "$WORK"/local{,-fenced}/clients/client-1/adapter_model.safetensors || fail "a client's own adapter differs"

CFG=tests/integration/offsite.yaml
both fedbiot $OFFSITE.eval_type full
both fedbiot_half $OFFSITE.eval_type full train.is_enable_half True
both layerwise $OFFSITE.emu_align.layerwise_distill True $OFFSITE.emu_align.initial_only True
both pruned $OFFSITE.strategy pruning $OFFSITE.kwargs '[{ratio: 0.5, method: magnitude}]' $OFFSITE.emu_align.use False
both narrowed $OFFSITE.strategy pruning $OFFSITE.kwargs '[{ratio: 0.5, method: structured}]' $OFFSITE.emu_align.use False
both quantized $OFFSITE.strategy quantization $OFFSITE.kwargs '[{bits: 4}]' $OFFSITE.emu_align.use False
both distilled $OFFSITE.strategy distillation $OFFSITE.kwargs '[{drop_ratio: 0.5, steps: 3}]' $OFFSITE.emu_align.use False

for tool in "generate --prompt Say" "eval --data configs/quickstart/data/heldout.jsonl"; do
    # shellcheck disable=SC2086
    "$FEDMQ" $tool --model configs/quickstart/model --adapter "$WORK/answers/adapter" >"$WORK/tool" 2>&1 || fail "$tool"
    # shellcheck disable=SC2086
    "$FENCED" $tool --model configs/quickstart/model --adapter "$WORK/answers/adapter" >"$WORK/fenced" 2>&1 || fail "$tool, fenced"
    cmp "$WORK/tool" "$WORK/fenced" || fail "'$tool' says something else behind the fence"
done
echo "fourteen federations and two tools do the same behind a fence"
