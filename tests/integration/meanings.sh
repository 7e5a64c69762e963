#!/usr/bin/env bash
# The same tensors under other settings: an adapter to begin from, a checkpoint and a client whose
# lora_alpha, first values or tokens differ are refused by the key, with both values and status 7 (10
# for what is not built), and what does not matter is taken.
set -euo pipefail
. "$2/tests/integration/lib.sh"

# with NAME JSON-EDIT: a copy of the first run's adapter whose configuration sed has changed.
with() {
    cp -r "$WORK/first/adapter" "$WORK/$1"
    sed -i -E "$2" "$WORK/$1/adapter_config.json"
}

# refused NAME STATUS PATTERN KEY VALUE...
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    status_of "$name" "$FEDMQ" run --quiet --cfg $CFG outdir "$WORK/out" expname "$name" "$@"
    [ $STATUS -eq "$wanted" ] || fail "$name: status $STATUS, not $wanted"
    grep -qE -- "$pattern" "$WORK/$name.log" || fail "$name: nothing says '$pattern'"
}

one first federate.total_round_num 1
with plain 's/"lora_dropout": [0-9.]+/"lora_dropout": 0.5/'
with alpha 's/"lora_alpha": 8/"lora_alpha": 32/'
with pissa 's/"init_lora_weights": true/"init_lora_weights": "pissa"/'
with rslora 's/"use_rslora": false/"use_rslora": true/'
with switch 's/"use_dora": false/"use_dora": false, "use_what_comes_next": true/'
with other 's/"peft_type": "LORA"/"peft_type": "ADALORA"/'
one again federate.total_round_num 1 federate.restore_from "$WORK/plain"
refused alpha-run 7 "'lora_alpha' is 32 in '.*alpha/adapter_config.json', 8 here" federate.restore_from "$WORK/alpha"
refused pissa-run 10 "'init_lora_weights' is 'pissa'" federate.restore_from "$WORK/pissa"
refused rslora-run 7 "'use_rslora' is True" federate.restore_from "$WORK/rslora"
refused switch-run 10 "'use_what_comes_next' is true" federate.restore_from "$WORK/switch"
refused other-run 10 "peft_type 'ADALORA' is not supported yet" federate.restore_from "$WORK/other"
refused state-run 7 "'lora_alpha' 8, here it is 16" federate.restore_from "$WORK/first/best/best.state" \
    llm.adapter.args "[{r: 4, lora_alpha: 16}]"
with biased 's/"use_dora": false/"use_dora": false, "lora_bias": true/'
status_of eval-biased "$FEDMQ" generate --model configs/quickstart/model --adapter "$WORK/biased" --prompt a
[ $STATUS -eq 10 ] || fail "generate takes an adapter with biases for another: status $STATUS"
status_of eval-rslora "$FEDMQ" generate --model configs/quickstart/model --adapter "$WORK/rslora" --prompt a
[ $STATUS -eq 0 ] || fail "generate does not take an rsLoRA adapter: status $STATUS"
status_of eval-alpha "$FEDMQ" generate --model configs/quickstart/model --adapter "$WORK/alpha" --prompt a
[ $STATUS -eq 0 ] || fail "generate does not take an adapter with an alpha of its own: status $STATUS"

PORT=$(free_port)
distributed "$PORT"
start server "$FEDMQ" server --cfg $CFG outdir "$WORK" expname apart "${OVER_TCP[@]}"
SERVER=$PID
status_of client-1 "$FEDMQ" client --cfg $CFG --id 1 "${OVER_TCP[@]}" llm.adapter.args "[{r: 4, lora_alpha: 512}]"
[ $STATUS -eq 7 ] || fail "a client with another lora_alpha ended with status $STATUS"
grep -q "'lora_alpha' is 8 at the server, 512 here" "$WORK/client-1.log" || fail "the client does not say what differs"
until_line "$WORK/apart/run.log" "client=1 .*'lora_alpha' is 8 at the server, 512 here" 10 "$SERVER"
cp -r configs/quickstart/model "$WORK/model"
chmod -R u+w "$WORK/model"
sed -i 's/"eos_token": *"[^"]*"/"eos_token": "a"/' "$WORK/model/tokenizer_config.json"
status_of client-2 "$FEDMQ" client --cfg $CFG --id 2 "${OVER_TCP[@]}" model.type "$WORK/model"
[ $STATUS -eq 7 ] || fail "a client with another end of text ended with status $STATUS"
grep -q "'eos_token_id' is .* at the server" "$WORK/client-2.log" || fail "the client does not say which end differs"
cp configs/quickstart/model/tokenizer_config.json "$WORK/model/"
sed -i '0,/"add_prefix_space": false/s//"add_prefix_space": true/' "$WORK/model/tokenizer.json"
status_of client-3 "$FEDMQ" client --cfg $CFG --id 3 "${OVER_TCP[@]}" model.type "$WORK/model"
[ $STATUS -eq 7 ] || fail "a client that cuts texts in another way ended with status $STATUS"
grep -q "'tokenizer' is .* at the server" "$WORK/client-3.log" || fail "the client does not say that its tokenizer differs"
status_of evaluator "$FEDMQ" evaluator --attach "tcp://127.0.0.1:$PORT" --cfg $CFG --once llm.adapter.args "[{r: 4, lora_alpha: 512}]"
[ $STATUS -eq 7 ] || fail "an evaluator with another lora_alpha ended with status $STATUS"
grep -q "'lora_alpha' is 8 at the server, 512 here" "$WORK/evaluator.log" || fail "the evaluator does not say what differs"
echo "what means something else is refused by its name"
