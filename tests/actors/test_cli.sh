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
is 0 "no mistakes" "$FEDMQ" config check --cfg "$WORK/good.yaml"
is 2 "bad.yaml:1:" "$FEDMQ" config check --cfg "$WORK/bad.yaml"
for said in "total_round_num" "bad.yaml:2:" "bad.yaml:3:"; do
    grep -qF "$said" "$WORK/out" || { echo "FAILED: config check does not say '$said'"; bad=1; }
done
is 2 "train.optimizer.nesterov" "$FEDMQ" config check --cfg "$WORK/good.yaml" \
    train.optimizer.nesterov True
is 0 "total_round_num: 7" "$FEDMQ" config show --cfg "$WORK/good.yaml" federate.total_round_num 7
is 0 "good.yaml: no mistakes" "$FEDMQ" config check "$WORK/good.yaml"
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

# A run that cannot start says why, and FS-LLM's form reaches the same commands.
is 3 "nomodel" "$FEDMQ" run --cfg "$WORK/good.yaml" --directory "$WORK/r1"
is 3 "nomodel" "$FEDMQ" --cfg "$WORK/good.yaml" expname fsllm
is 8 "--insecure" "$FEDMQ" --cfg "$WORK/good.yaml" federate.mode distributed distribute.role server
is 2 "--id" "$FEDMQ" --cfg "$WORK/good.yaml" federate.mode distributed distribute.role client
is 2 "client_num is 2" "$FEDMQ" client --cfg "$WORK/good.yaml" --id 3
is 3 "--resume" "$FEDMQ" run --cfg "$WORK/good.yaml" --resume --directory "$WORK/none"
is 3 '"code":"notfound"' "$FEDMQ" run --json --cfg /nonexistent/a.yaml

ids=$(echo "Once upon a time" | "$FEDMQ" tokenize --model "$MODEL" --no-special)
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
