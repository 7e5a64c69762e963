#!/usr/bin/env bash
# Wrong configurations, models, data and folders: each is refused with the documented status and a
# text that names what is wrong, and nothing hangs or crashes.
set -euo pipefail
. "$2/tests/integration/lib.sh"
MODEL=$WORK/model DATA=$WORK/data
GOOD=configs/quickstart/model
export HF_HOME=$WORK/no-models

# refused NAME STATUS PATTERN KEY VALUE...: a run must end so, with that in its output and without a
# directory, so that the next try finds its place free.
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    status_of "$name" "$FEDMQ" run --quiet --cfg $CFG outdir "$WORK/out" expname "$name" "$@"
    [ $STATUS -eq "$wanted" ] || fail "$name: status $STATUS, not $wanted"
    grep -qE -- "$pattern" "$WORK/$name.log" || fail "$name: nothing says '$pattern'"
    ! grep -q interrupted "$WORK/$name.log" || fail "$name: interrupted is not the reason"
    [ ! -e "$WORK/out/$name" ] || fail "$name: left $(ls -R "$WORK/out/$name")"
}

# fresh: $MODEL is the good model again.
fresh() { rm -rf "$MODEL"; cp -r $GOOD "$MODEL"; chmod -R u+w "$MODEL"; }

cat >"$WORK/bad.yaml" <<'END'
seed: seven
federate: {client_num: 3, total_round_nums: 3}
train: {optimizer: {type: Adamm}}
model: {type: nowhere}
END
status_of mistakes "$FEDMQ" run --cfg "$WORK/bad.yaml" outdir "$WORK/out"
[ $STATUS -eq 2 ] || fail "mistakes: status $STATUS"
for line in "bad.yaml:1:[0-9]+: seed: 'seven'" "bad.yaml:2:[0-9]+: unknown key.*did you mean 'federate.total_round_num'" \
    "bad.yaml:3:[0-9]+: train.optimizer.type: 'Adamm'.*did you mean"; do
    grep -qE "$line" "$WORK/mistakes.log" || fail "nothing says '$line'"
done
[ "$(grep -c "seed: 'seven'" "$WORK/mistakes.log")" -eq 1 ] || fail "a mistake is said twice"
grep -q "fedmq run: 3 mistakes in '.*bad.yaml'" "$WORK/mistakes.log" || fail "the mistakes are not counted"
refused unknown-key 2 "unknown key 'data.rot'; did you mean 'data.root'" data.rot x
refused no-client 2 'client_num' federate.client_num 0

refused no-model 3 "no model 'nowhere'" model.type nowhere
fresh; truncate -s 2000000 "$MODEL/model.safetensors"
refused cut-model 5 'model.safetensors.*cut short' model.type "$MODEL"
fresh; truncate -s 4 "$MODEL/model.safetensors"
refused stub-model 5 'too few for a safetensors file' model.type "$MODEL"
fresh; sed -i '0,/"F32"/s//"I32"/' "$MODEL/model.safetensors"
refused wrong-dtype 10 'stored as I32' model.type "$MODEL"
fresh; sed -i 's/"intermediate_size": *[0-9]*/"intermediate_size": 256/' "$MODEL/config.json"
refused wrong-shape 7 "where the model's shape asks for" model.type "$MODEL"
fresh; rm "$MODEL/tokenizer.json"
refused no-tokenizer 3 'tokenizer.json' model.type "$MODEL"
fresh; sed -i -E '0,/"merges": *\[/s//&["zz", "qq"],/' "$MODEL/tokenizer.json"
refused wrong-merge 5 'merge|tokenizer.json' model.type "$MODEL"
fresh; echo '{"broken": ' >"$MODEL/config.json"
refused broken-config 5 'config.json.*line' model.type "$MODEL"

mkdir "$DATA"
{ head -n 50 configs/quickstart/data/instructions.jsonl; echo '{"instruction": "x", "output": '; } >"$DATA/broken.jsonl"
refused broken-line 5 'broken.jsonl:51:' data.root "$DATA" data.type broken.jsonl@llm
sed 's/"output"/"response"/' configs/quickstart/data/instructions.jsonl >"$DATA/dolly.jsonl"
refused no-answers 5 'instruction, input, response, category.*dolly-15k@llm' data.root "$DATA" data.type dolly.jsonl@llm
refused missing-file 3 "looked for '$DATA/nothing.jsonl'" data.root "$DATA" data.type nothing.jsonl@llm
: >"$DATA/empty.jsonl"
refused no-records 2 'split 0 training records' data.root "$DATA" data.type empty.jsonl@llm
head -c 3000 /dev/urandom >"$DATA/noise.jsonl"
refused noise 5 'noise.jsonl:1:' data.root "$DATA" data.type noise.jsonl@llm
"$FEDMQ" run --quiet --cfg $CFG outdir "$WORK/out" expname mapped federate.total_round_num 1 \
    data.type dolly-15k@llm data.root "$DATA" data.file_path dolly.jsonl >"$WORK/mapped.log" 2>&1 ||
    fail "data.type and data.file_path do not map the keys"

echo text >"$WORK/file"
refused outdir-is-file 4 "cannot create directory" outdir "$WORK/file"
refused outdir-refused 4 "/proc/nowhere" outdir /proc/nowhere
echo "every mistake has its name"
