#!/usr/bin/env bash
# The fedmq command from the outside: usage, exit statuses, messages, configuration, and the tools
# on the embedded model.
set -u
FEDMQ=$1 SOURCE=$2
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
MODEL=$SOURCE/configs/quickstart/model
bad=0

# is STATUS WORD COMMAND...: the command ends with that status and says that word somewhere.
is() {
    local status=$1 word=$2 got
    shift 2
    "$@" >"$WORK/out" 2>&1 </dev/null
    got=$?
    if [ $got -ne "$status" ] || ! grep -qF -- "$word" "$WORK/out"; then
        echo "FAILED: '$*' ended with $got (expected $status) and said (expected '$word'):"
        cat "$WORK/out"
        bad=1
    fi
}

is 0 "fedmq 0." "$FEDMQ" version
is 0 "fedmq 0." "$FEDMQ" --version
is 0 "evaluator" "$FEDMQ" help
is 0 "--resume" "$FEDMQ" run --help
is 2 "usage" "$FEDMQ"
is 2 "'dance' is no command" "$FEDMQ" dance
is 2 "did you mean 'run'?" "$FEDMQ" runn
is 0 "--resume" "$FEDMQ" help run
is 2 "did you mean 'run'?" "$FEDMQ" help runn
is 2 "fedmq run --cfg my.yaml" "$FEDMQ" my.yaml
is 2 "did you mean '--cfg'?" "$FEDMQ" run --cgf x
is 2 "without dashes, as train.optimizer.lr VALUE" "$FEDMQ" run --train.optimizer.lr 1
is 2 "ambiguous: --cfg, --client_cfg" "$FEDMQ" run --c x
is 2 "--cgf" "$FEDMQ" run --cgf x
is 2 "give --cfg FILE" "$FEDMQ" run
is 3 "/nonexistent/a.yaml" "$FEDMQ" run --cfg /nonexistent/a.yaml
is 2 "no value" "$FEDMQ" run --cfg x train.optimizer.lr
is 2 "--listen" "$FEDMQ" broker
is 8 "--insecure" "$FEDMQ" broker --listen tcp://0.0.0.0:50050
is 2 "--attach" "$FEDMQ" evaluator
is 2 "no address" "$FEDMQ" evaluator --attach somewhere
is 2 "--model" "$FEDMQ" tokenize
is 2 "--data" "$FEDMQ" eval --model x
is 2 "--out" "$FEDMQ" init --config x

cat >"$WORK/good.yaml" <<EOF
outdir: $WORK/exp
federate: {client_num: 2, total_round_num: 1}
data: {type: any.jsonl@llm, root: $WORK, splitter: iid}
model: {type: $WORK/nomodel}
llm: {adapter: {use: True, args: [{r: 4}]}}
EOF
cat >"$WORK/bad.yaml" <<EOF
federate: {client_num: 2, total_round_nmu: 1}
data: {type: any.jsonl@llm, splitter: fair}
train: {optimizer: {type: SGD, lr: fast}}
EOF
is 0 "no mistakes" "$FEDMQ" config check --file-only --cfg "$WORK/good.yaml"
is 3 "cannot start here: data.type 'any.jsonl@llm': no file" "$FEDMQ" config check --cfg "$WORK/good.yaml"
for said in "no mistakes" "cannot start here: no model '$WORK/nomodel'" "for 2 reasons"; do
    grep -qF "$said" "$WORK/out" || { echo "FAILED: config check does not say '$said'"; bad=1; }
done
is 2 "bad.yaml:1:" "$FEDMQ" config check --cfg "$WORK/bad.yaml"
for said in "total_round_num" "bad.yaml:2:" "bad.yaml:3:"; do
    grep -qF "$said" "$WORK/out" || { echo "FAILED: config check does not say '$said'"; bad=1; }
done
is 2 "train.optimizer.nesterov" "$FEDMQ" config check --cfg "$WORK/good.yaml" \
    train.optimizer.nesterov True
is 0 "total_round_num: 7" "$FEDMQ" config show --cfg "$WORK/good.yaml" federate.total_round_num 7
is 0 "good.yaml: no mistakes" "$FEDMQ" config check "$WORK/good.yaml" --file-only
is 0 "total_round_num: 8" "$FEDMQ" config show "$WORK/good.yaml" cfg.federate.total_round_num=8
is 2 "'lr' has no value" "$FEDMQ" config check "$WORK/good.yaml" lr
is 3 "nowhere.yaml" "$FEDMQ" config check "$WORK/nowhere.yaml"
is 0 "llm.adapter.args" "$FEDMQ" config keys lora_alpha
is 3 "--all shows 5 without effect" "$FEDMQ" config keys wandb
is 0 "(no effect here)" "$FEDMQ" config keys --all wandb
is 3 "no key mentions" "$FEDMQ" config keys nosuchkey
is 2 "check, show or keys" "$FEDMQ" config dance

# What is shown loads again to the same.
"$FEDMQ" config show --cfg "$WORK/good.yaml" >"$WORK/shown.yaml"
"$FEDMQ" config show --cfg "$WORK/shown.yaml" >"$WORK/again.yaml"
cmp -s "$WORK/shown.yaml" "$WORK/again.yaml" || { echo "FAILED: a shown config changes"; bad=1; }

# Whether a run could start: everything that it opens is there, or each reason is a line.
RUNS=$SOURCE/tests/integration/federation.yaml
cd "$SOURCE" || exit 1
is 0 "federation.yaml: no mistakes" "$FEDMQ" config check "$RUNS" outdir "$WORK/exp"
[ ! -e "$WORK/exp" ] || { echo "FAILED: config check has made a folder"; bad=1; }
# starts STATUS WORD KEY VALUE...
starts() { local status=$1 word=$2; shift 2; is "$status" "$word" "$FEDMQ" config check "$RUNS" outdir "$WORK/exp" "$@"; }
starts 2 "unknown data.type 'nothing@llm'" data.type nothing@llm
starts 3 "cannot start here: data.type" data.root /nowhere
starts 2 "split 0 training records" data.splits "[0, 0, 0]"
starts 2 "cannot split 3920 training records over 5000 clients" federate.client_num 5000
starts 2 "takes at most 256 tokens" llm.tok_len 100000
starts 2 "llm.tok_len" llm.tok_len 4
starts 2 "names no linear module" llm.adapter.args.0.target_modules "[nope]"
starts 2 "'adalora' is not built yet" llm.adapter.args.0.adapter_method adalora
starts 2 "needs num_virtual_tokens" llm.adapter.args "[{adapter_method: prefix}]"
starts 2 "num_virtual_tokens' is 0" llm.adapter.args "[{adapter_method: prefix, num_virtual_tokens: 0}]"
starts 2 "is not acted on" llm.adapter.args "[{adapter_method: prefix, num_virtual_tokens: 4, r: 8}]"
starts 2 "one of MLP, LSTM" llm.adapter.args \
    "[{adapter_method: p-tuning, num_virtual_tokens: 4, encoder_reparameterization_type: GRU}]"
starts 2 "one of RANDOM, TEXT, SAMPLE_VOCAB" llm.adapter.args \
    "[{adapter_method: prompt, num_virtual_tokens: 4, prompt_tuning_init: MEAN}]"
starts 2 "needs prompt_tuning_init_text" llm.adapter.args \
    "[{adapter_method: prompt, num_virtual_tokens: 4, prompt_tuning_init: TEXT}]"
starts 2 "less 200 virtual tokens" llm.adapter.args "[{adapter_method: prompt, num_virtual_tokens: 200}]"
starts 2 "leaves no room for a text" llm.adapter.args "[{adapter_method: prompt, num_virtual_tokens: 256}]"
starts 10 "cannot be merged" llm.adapter.args "[{adapter_method: prefix, num_virtual_tokens: 4}]" \
    llm.offsite_tuning.save_full_model True
starts 10 "belong to none" llm.adapter.args "[{adapter_method: prefix, num_virtual_tokens: 4}]" \
    llm.offsite_tuning.use True llm.offsite_tuning.emu_l 1 llm.offsite_tuning.emu_r 3
starts 3 "federate.restore_from" federate.restore_from "$WORK/nowhere"
starts 4 "is in the way" outdir "$WORK/good.yaml"
starts 4 "federate.save_to" federate.save_to "$WORK/good.yaml/state"
starts 2 "'val_los' is never measured" eval.best_res_update_round_wise_key val_los
starts 8 "--insecure" fedmq.endpoint tcp://0.0.0.0:5000
starts 2 "emu" llm.offsite_tuning.use True llm.offsite_tuning.emu_l 7 llm.offsite_tuning.emu_r 9
starts 3 "emu_align" llm.offsite_tuning.use True llm.offsite_tuning.emu_l 1 llm.offsite_tuning.emu_r 3 \
    llm.offsite_tuning.emu_align.use True llm.offsite_tuning.emu_align.data.root /nowhere
starts 0 "no mistakes" data.root /nowhere federate.mode distributed distribute.role client
starts 0 "no mistakes" data.root /nowhere federate.mode distributed distribute.role server fedmq.own_data True
starts 3 "cannot start here: data.type" data.root /nowhere federate.mode distributed distribute.role client fedmq.own_data True

# A run that cannot start says why, and FS-LLM's form reaches the same commands.
is 3 "nomodel" "$FEDMQ" run --cfg "$WORK/good.yaml" --directory "$WORK/r1"
is 3 "nomodel" "$FEDMQ" --cfg "$WORK/good.yaml" expname fsllm
is 8 "--insecure" "$FEDMQ" --cfg "$WORK/good.yaml" federate.mode distributed distribute.role server
is 2 "--id" "$FEDMQ" --cfg "$WORK/good.yaml" federate.mode distributed distribute.role client
is 2 "client_num is 2" "$FEDMQ" client --cfg "$WORK/good.yaml" --id 3
is 3 "--resume" "$FEDMQ" run --cfg "$WORK/good.yaml" --resume --directory "$WORK/none"
is 3 '"code":"notfound"' "$FEDMQ" run --json --cfg /nonexistent/a.yaml

ids=$(echo "Once upon a time" | "$FEDMQ" tokenize --model "$MODEL" --no-special)
[ "$(printf '\xEF\xBB\xBFOnce upon a time' | "$FEDMQ" tokenize --model "$MODEL" --no-special)" = "$ids" ] ||
    { echo "FAILED: a byte order mark is taken for text"; bad=1; }
text=$(echo "$ids" | "$FEDMQ" tokenize --model "$MODEL" --decode)
[ "$text" = "Once upon a time" ] || { echo "FAILED: ids '$ids' are '$text'"; bad=1; }
is 5 "no token id" bash -c "echo 1 two | '$FEDMQ' tokenize --model '$MODEL' --decode"
is 0 "" "$FEDMQ" generate --model "$MODEL" --prompt "Once upon a time" --max-new-tokens 6
is 2 "--prompt" "$FEDMQ" generate --model "$MODEL"
is 2 "--top-p" "$FEDMQ" generate --model "$MODEL" --prompt a --top-p 0
one=$("$FEDMQ" generate --model "$MODEL" --prompt Once --temperature 1 --seed 5 --ids)
two=$("$FEDMQ" generate --model "$MODEL" --prompt Once --temperature 1 --seed 5 --ids)
[ "$one" = "$two" ] || { echo "FAILED: the same seed gave '$one' and '$two'"; bad=1; }
echo '{"instruction":"Say hello.","output":"Hello."}' >"$WORK/d.jsonl"
is 0 '"exact_match":' "$FEDMQ" eval --model "$MODEL" --data "$WORK/d.jsonl" --json --match 4
is 0 "perplexity" "$FEDMQ" eval --model "$MODEL" --data "$WORK/d.jsonl"
echo '{"instruction":"Say hello.",' >"$WORK/broken.jsonl"
is 5 "broken.jsonl" "$FEDMQ" eval --model "$MODEL" --data "$WORK/broken.jsonl"
is 0 "parameters" "$FEDMQ" init --config "$MODEL/config.json" --tokenizer "$MODEL" \
    --out "$WORK/fresh" --seed 1
is 0 "perplexity" "$FEDMQ" eval --model "$WORK/fresh" --data "$WORK/d.jsonl"
exit $bad
