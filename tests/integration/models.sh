#!/usr/bin/env bash
# Models as they come: every end stops an answer, one without an end is told, what cannot be computed
# or read is refused as what it is, and ids in and out need no tokenizer.
set -euo pipefail
. "$2/tests/integration/lib.sh"
GOOD=configs/quickstart/model
MODEL=$WORK/model
export HF_HOME=$WORK/no-models

# fresh: $MODEL is the good model again.
fresh() { rm -rf "$MODEL"; cp -r $GOOD "$MODEL"; chmod -R u+w "$MODEL"; }

# refused NAME STATUS PATTERN COMMAND...
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    status_of "$name" "$@"
    [ $STATUS -eq "$wanted" ] || fail "$name: status $STATUS, not $wanted"
    grep -qE -- "$pattern" "$WORK/$name.log" || fail "$name: nothing says '$pattern'"
}

# ids [OPTION...]: what the model goes on with, as ids.
ids() { "$FEDMQ" generate --model "$MODEL" --prompt-ids 5,6,7 --ids "$@" 2>"$WORK/ids.log"; }

fresh
sed -i -E 's/"eos_token_id": *[^,}]*/"eos_token_id": null/' "$MODEL/config.json"
rm "$MODEL/tokenizer.json" "$MODEL/tokenizer_config.json"
read -r -a all <<<"$(ids --max-new-tokens 12)"
[ ${#all[@]} -eq 12 ] || fail "ids alone do not do without a tokenizer, or end by themselves: ${all[*]}"
[ -z "$(ids --max-new-tokens 0)" ] || fail "no new tokens are some"
read -r -a short <<<"$(ids)"
[ ${#short[@]} -eq 32 ] || fail "the default is ${#short[@]} tokens, not 32"
[ -s "$WORK/ids.log" ] && fail "something is said about a tokenizer that is not used"
end=${all[5]}
first=0
while [ "${all[$first]}" != "$end" ]; do first=$((first + 1)); done
echo "{\"eos_token_id\": [100000, $end]}" >"$MODEL/generation_config.json"
[ "$(ids --max-new-tokens 12 | wc -w)" -eq "$first" ] || fail "the second end of generation_config.json does not stop"
rm "$MODEL/generation_config.json"
sed -i -E "s/\"eos_token_id\": *null/\"eos_token_id\": [1, $end]/" "$MODEL/config.json"
[ "$(ids --max-new-tokens 12 | wc -w)" -eq "$first" ] || fail "the second end of config.json does not stop"
refused needs-tokenizer 3 'tokenizer.json' "$FEDMQ" generate --model "$MODEL" --prompt a --ids

fresh
sed -i -E 's/"eos_token_id": *[^,}]*/"eos_token_id": null/' "$MODEL/config.json"
sed -i -E '/"eos_token"/d' "$MODEL/tokenizer_config.json"
WARNING="has no end-of-text token"
refused endless 0 "warning: the tokenizer of '$MODEL' $WARNING" "$FEDMQ" generate --model "$MODEL" --prompt a
refused endless-eval 0 "$WARNING" "$FEDMQ" eval --model "$MODEL" --data configs/quickstart/data/heldout.jsonl
refused endless-run 0 "$WARNING" "$FEDMQ" run --cfg $CFG outdir "$WORK" expname endless-run \
    federate.total_round_num 1 model.type "$MODEL"
[ "$(grep -c "$WARNING" "$WORK/endless-run.log")" -eq 1 ] || fail "an end that is missing is not told once"
sed -i -E 's/"eos_token_id": *[^,}]*/"eos_token_id": 9999/' "$MODEL/config.json"
sed -i -E 's/^\{/{"eos_token": "no such token",/' "$MODEL/tokenizer_config.json"
refused unknown-end 0 "$WARNING" "$FEDMQ" generate --model "$MODEL" --prompt a
! "$FEDMQ" generate --model $GOOD --prompt a 2>&1 | grep -q warning || fail "a good model is warned of"

fresh
sed -i 's/"model_type": *"llama"/"model_type": "mistral"/; s/"max_position_embeddings": *[0-9]*/"max_position_embeddings": 5000/' \
    "$MODEL/config.json"
grep -q '"num_key_value_heads"' "$MODEL/config.json" || fail "the test's model does not say num_key_value_heads"
refused window-fits 0 "" "$FEDMQ" generate --model "$MODEL" --prompt a --max-new-tokens 2
refused window-run 2 "llm.tok_len is 5001, but the model '.*' takes at most 5000 tokens at once \(its context\)" \
    "$FEDMQ" run --quiet --cfg $CFG outdir "$WORK" expname window-run model.type "$MODEL" llm.tok_len 5001
refused window-prompt 6 "5000" "$FEDMQ" generate --model "$MODEL" --ids --prompt-ids "$(seq -s, 5001 | sed 's/[0-9]\+/5/g')"
refused long-run 2 "tok_len is 257.*at most 256.*context" "$FEDMQ" run --quiet --cfg $CFG outdir "$WORK" expname long-run llm.tok_len 257

refused eval-len 2 "tok-len is 5001, but the model takes at most 5000 \(its context\)" "$FEDMQ" eval --model "$MODEL" \
    --data configs/quickstart/data/heldout.jsonl --tok-len 5001

fresh
sed -i '0,/"F32"/s//"U32"/' "$MODEL/model.safetensors"
refused other-numbers 10 'is stored as U32; F32, F16 and BF16 can be read: convert' "$FEDMQ" generate --model "$MODEL" --prompt a
fresh
sed -i 's/"quantization_config"/"x"/; s/^{/{"quantization_config": {"quant_method": "gptq", "bits": 4},/' "$MODEL/config.json"
refused gptq 10 "quantized by 'gptq' are not supported" "$FEDMQ" generate --model "$MODEL" --prompt a

# Two matrices where one is announced; a config that says so is right.
sed 's/"tie_word_embeddings": *true/"tie_word_embeddings": false/' $GOOD/config.json >"$WORK/untied.json"
"$FEDMQ" init --config "$WORK/untied.json" --tokenizer $GOOD --out "$WORK/untied" >"$WORK/init.log"
refused untied 0 "" "$FEDMQ" generate --model "$WORK/untied" --prompt a --max-new-tokens 2
sed -i 's/"tie_word_embeddings": *false/"tie_word_embeddings": true/' "$WORK/untied/config.json"
refused tied 7 "tie_word_embeddings.*'model.embed_tokens.weight' and 'lm_head.weight', which differ" \
    "$FEDMQ" generate --model "$WORK/untied" --prompt a

mkdir "$WORK/gguf"
printf 'GGUF\003\0\0\0' >"$WORK/gguf/model-Q4_K_M.gguf"
cp "$WORK/gguf/model-Q4_K_M.gguf" "$WORK/blob"
for path in "$WORK/gguf" "$WORK/gguf/model-Q4_K_M.gguf" "$WORK/blob"; do
    refused gguf 10 "is a GGUF file" "$FEDMQ" generate --model "$path" --prompt a
    refused gguf-suffix 10 "is a GGUF file" "$FEDMQ" generate --model "$path@huggingface_llm" --prompt a
    refused gguf-run 10 "is a GGUF file" "$FEDMQ" run --quiet --cfg $CFG outdir "$WORK" expname gguf model.type "$path"
done
for name in pytorch_model.bin consolidated.00.pth last.ckpt; do
    fresh
    mv "$MODEL/model.safetensors" "$MODEL/$name"
    refused pickled 10 "$name' is a pickled .*checkpoint; write it as safetensors" "$FEDMQ" generate --model "$MODEL" --prompt a
done
fresh
mv "$MODEL/model.safetensors" "$MODEL/model.onnx"
refused onnx 10 "model.onnx' is an ONNX graph" "$FEDMQ" generate --model "$MODEL" --prompt a
refused file 10 "given by its directory: .*is a safetensors file by itself" "$FEDMQ" generate --model $GOOD/model.safetensors --prompt a
one adapter federate.total_round_num 1
refused adapter-as-model 10 "is an adapter's, not a model's" "$FEDMQ" generate --model "$WORK/adapter/adapter" --prompt a
mv "$WORK/adapter/adapter/adapter_model.safetensors" "$WORK/adapter/adapter/adapter_model.bin"
refused pickled-adapter 10 "adapter_model.bin' is a pickled .*checkpoint" "$FEDMQ" generate --model $GOOD --prompt a \
    --adapter "$WORK/adapter/adapter"

# Merged by the run and by the command: the same file, and the same answers as with the adapter.
one whole federate.total_round_num 2 federate.save_to "$WORK/m/x" llm.offsite_tuning.save_full_model True
[ -s "$WORK/m/final_x/model.safetensors" ] || fail "save_full_model without offsite tuning leaves no model"
"$FEDMQ" merge --model $GOOD --adapter "$WORK/whole/adapter" --out "$WORK/merged" >"$WORK/merge.log" 2>&1 || fail "merge fails"
cmp "$WORK/m/final_x/model.safetensors" "$WORK/merged/model.safetensors" || fail "run and command merge differently"
! cmp -s $GOOD/model.safetensors "$WORK/merged/model.safetensors" || fail "nothing is merged"
say() { "$FEDMQ" generate --prompt "Write the words in reverse order. one two" --max-new-tokens 24 "$@" 2>&1; }
[ "$(say --model "$WORK/merged")" = "$(say --model $GOOD --adapter "$WORK/whole/adapter")" ] || fail "what is merged says something else"
"$FEDMQ" merge --model $GOOD --adapter "$WORK/whole/adapter" --out "$WORK/half" --dtype bf16 >"$WORK/half.log" 2>&1 || fail "merge fails"
[ "$(stat -c %s "$WORK/half/model.safetensors")" -lt "$(stat -c %s "$WORK/merged/model.safetensors")" ] || fail "bf16 is no smaller"
refused merge-there 4 "holds a model already" "$FEDMQ" merge --model $GOOD --adapter "$WORK/whole/adapter" --out "$WORK/half"
refused merge-dtype 2 "f32, f16 and bf16" "$FEDMQ" merge --model $GOOD --adapter "$WORK/whole/adapter" --out "$WORK/x" --dtype int8
echo "models are read, or refused as what they are"
