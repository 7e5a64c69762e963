#!/usr/bin/env bash
# Adapters of every kind, with their arguments as FS-LLM's page and PEFT have them: they learn, a run
# that is killed goes on to the same bytes, what is saved is computed with by the tools, and a run
# may begin from what another saved, its encoder with it.
set -euo pipefail
. "$2/tests/integration/lib.sh"
ROUNDS=4
DATA=configs/quickstart/data/heldout.jsonl

# loss OPTION...: on held-out records.
loss() { "$FEDMQ" eval --model configs/quickstart/model --data $DATA --json "$@" 2>>"$WORK/eval.log" | sed -E 's/.*"loss":([0-9.]+).*/\1/'; }
below() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }

# kind NAME ARGS: learns, also when it is killed in the middle of a run.
kind() {
    local name=$1
    WITH=(llm.adapter.args "[$2]" federate.total_round_num $ROUNDS train.optimizer.lr 0.01 eval.freq 2)
    one "$name" "${WITH[@]}"
    start "killed-$name" "$FEDMQ" run --cfg $CFG outdir "$WORK" expname "killed-$name" "${WITH[@]}"
    until_line "$WORK/killed-$name/run.log" 'round-closed round=1' 60 "$PID"
    killed "$PID"
    "$FEDMQ" run --quiet --resume --directory "$WORK/killed-$name" >>"$WORK/killed-$name.log" 2>&1 ||
        fail "the killed run of $name does not go on"
    same "$name" "killed-$name"
    local first last measured
    first=$(sed -nE 's/^round 1.* loss ([0-9.]+) .*/\1/p' "$WORK/$name.log")
    last=$(sed -nE "s/^round $ROUNDS.* loss ([0-9.]+) .*/\\1/p" "$WORK/$name.log")
    below "$last" "$first" || fail "$name: loss $last at the end, $first at first"
    measured=$(loss --adapter "$WORK/$name/adapter")
    [ "$measured" != "$BARE" ] || fail "$name: the tools do not see the adapter"
    "$FEDMQ" generate --model configs/quickstart/model --adapter "$WORK/$name/adapter" --prompt a --ids \
        >"$WORK/answer" 2>>"$WORK/eval.log" || fail "nothing is generated with $name"
    echo "$name: loss $first to $last"
}

# config NAME PATTERN: adapter_config.json of that run has it.
config() { grep -q "$2" "$WORK/$1/adapter/adapter_config.json" || fail "$1: adapter_config.json has no $2"; }

BARE=$(loss)
kind lora "{'adapter_package': 'peft', 'adapter_method': 'lora', 'r': 8, 'lora_alpha': 32, 'lora_dropout': 0.1}"
kind variants "{adapter_method: lora, r: 4, lora_alpha: 2, use_rslora: True, rank_pattern: {'k_proj': 2}, alpha_pattern: {'layers.0.self_attn.q_proj': 4}, target_modules: '.*_proj', exclude_modules: [o_proj], init_lora_weights: gaussian, bias: lora_only}"
config variants '"k_proj": 2'
config variants '"use_rslora": true'
kind dora "{adapter_method: lora, use_dora: True, modules_to_save: [lm_head]}"
config dora '"use_dora": true'
kind ia3 "{adapter_method: ia3}"
config ia3 '"peft_type": "IA3"'
kind prefix "{'adapter_package': 'peft', 'adapter_method': 'prefix', 'prefix_projection': False, 'num_virtual_tokens': 20}"
kind p-tuning "{'adapter_package': 'peft', 'adapter_method': 'p-tuning', 'encoder_reparameterization_type': 'MLP', 'encoder_dropout': 0.1, 'num_virtual_tokens': 20}"
kind prompt "{'adapter_package': 'peft', 'adapter_method': 'prompt', 'prompt_tuning_init': 'RANDOM', 'num_virtual_tokens': 20}"

# A run that begins where another has ended measures what that has left.
one again llm.adapter.args "[{adapter_method: p-tuning, num_virtual_tokens: 20}]" federate.total_round_num 1 \
    train.optimizer.lr 0.0 federate.restore_from "$WORK/p-tuning/adapter"
cmp "$WORK/p-tuning/adapter/prompt_encoder.safetensors" "$WORK/again/adapter/prompt_encoder.safetensors" ||
    fail "the encoder is not that of the run before"
# One without the encoder cannot go on; one with other numbers neither.
cp -r "$WORK/p-tuning/adapter" "$WORK/peft"
rm "$WORK/peft/prompt_encoder.safetensors"
status_of bare "$FEDMQ" run --cfg $CFG outdir "$WORK" expname bare federate.restore_from "$WORK/peft" \
    llm.adapter.args "[{adapter_method: p-tuning, num_virtual_tokens: 20}]"
[ $STATUS -ne 0 ] && grep -q "prompt_encoder.safetensors" "$WORK/bare.log" || fail "an encoder is made up"
status_of other "$FEDMQ" run --cfg $CFG outdir "$WORK" expname other federate.restore_from "$WORK/prompt/adapter" \
    llm.adapter.args "[{adapter_method: prompt, num_virtual_tokens: 8}]"
[ $STATUS -ne 0 ] && grep -q "num_virtual_tokens' is 20" "$WORK/other.log" || fail "20 tokens are taken for 8"
# What another method has, or what is not built, is refused by name.
# refused ARGS PATTERN
refused() {
    status_of refused "$FEDMQ" run --cfg $CFG outdir "$WORK" expname refused llm.adapter.args "[$1]"
    [ $STATUS -ne 0 ] && tail -2 "$WORK/refused.log" | grep -q "$2" || fail "$1 is not refused with '$2'"
}
refused "{adapter_method: lora, num_virtual_tokens: 20}" "num_virtual_tokens' is not acted on"
refused "{adapter_method: ia3, r: 8}" "r' is not acted on"
refused "{adapter_method: lora, init_lora_weights: pissa}" "changes the base model"
refused "{adapter_method: lora, rank_pattern: {q_proj: 0}}" "'q_proj' is no possible rank"
refused "{adapter_package: adapterhub, adapter_method: lora}" "'peft' is, and has LoRA"
echo "seven kinds learn, resume and are loaded"
