#!/usr/bin/env bash
# Compares fedmq with its peers, and both with what the processor can do, in turns: prints every run's own
# lines, and last a table of ratios with the goals.  Figures on a machine that does something else are worth
# nothing; nothing here is a test.
#
# usage: tests/bench/compare.sh [PART ...]        parts: step llama instructions memory generate quickstart big
#
# step, llama     a LoRA step at GPT-2 124M and at a 0.3B LLaMA, f32 and bf16, against PyTorch tuned
# instructions    Alpaca-like records in batches of 4, prompts masked, against PEFT on padded batches
# memory          a 1.1B LLaMA: peak of a LoRA step of 512 tokens, and the share of bandwidth of decoding
# generate        a 135M LLaMA against llama.cpp
# quickstart      exact match after the quickstart's run in f32 and in bf16
# big             a 7B LLaMA opens and trains one step (writes a file of 13.5 GB; only when asked for)
#
# PYTHON has torch, transformers and peft; PYTHON_LLAMA has llama-cpp-python, gguf and numpy; RECORDS and
# TOKENIZER name records and GPT-2's tokenizer (else records are made up); TURNS, STEPS: how often.
set -euo pipefail
cd "$(dirname "$0")/../.."
bench=build/release/tests/bench
python=${PYTHON:-python3} python_llama=${PYTHON_LLAMA:-${PYTHON:-python3}}
turns=${TURNS:-2} steps=${STEPS:-4}
work=$(mktemp -d "${TMPDIR:-/tmp}/fedmq-compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
: >"$work/table"

# run NAME COMMAND...: shows what it prints and keeps it as NAME, beside that of other turns.
run() {
    local name=$1
    shift
    echo "\$ $*"
    "$@" 2>"$work/errors" | tee -a "$work/$name" || { cat "$work/errors"; return 1; }
}
ours() { grep -oE '[0-9.]+ (real )?tokens/s' "$work/$1" | sort -g | tail -n 1 | cut -d' ' -f1; }
peers() { sed -nE 's/^best: ([0-9.]+) tokens.*/\1/p' "$work/$1" | sort -g | tail -n 1; }
# figure NAME PATTERN: the largest number that the pattern's bracket finds.
figure() { sed -nE "s/.*$2.*/\\1/p" "$work/$1" | sort -g | tail -n 1; }
# ratio WHAT OURS PEER GOAL
ratio() {
    echo "$1|$2|$3|$4" | awk -F'|' '{ r = $3 > 0 ? $2 / $3 : 0
        printf "%-44s %10.1f %10.1f %6.2f  goal %s %s\n", $1, $2, $3, r, $4, (r >= $4 ? "" : "MISSED") }' >>"$work/table"
}
# at_most / at_least WHAT FIGURE GOAL UNIT
at_most() { echo "$1|$2|$3|$4" | awk -F'|' '{ printf "%-44s %10.1f %s  goal <= %s %s\n", $1, $2, $4, $3, ($2 <= $3 ? "" : "MISSED") }' >>"$work/table"; }
at_least() { echo "$1|$2|$3|$4" | awk -F'|' '{ printf "%-44s %10.1f %s  goal >= %s %s\n", $1, $2, $4, $3, ($2 >= $3 ? "" : "MISSED") }' >>"$work/table"; }
peak() { figure "$1" 'peak RSS ([0-9]+) MiB'; }

step_of() { # SHAPE
    for ((i = 0; i < turns; i++)); do
        run "$1-f32" $bench/bench_step --shape "$1" --steps "$steps" --sequences 1
        run "$1-f32-peer" "$python" tests/bench/peer_pytorch.py --shape "$1" --steps "$steps" --tuned
        run "$1-bf16" $bench/bench_step --shape "$1" --weights bf16 --half --steps "$steps" --sequences 1
        run "$1-bf16-peer" "$python" tests/bench/peer_pytorch.py --shape "$1" --steps "$steps" --tuned --dtype bf16
    done
    ratio "$1 step, f32, tokens/s" "$(ours "$1-f32")" "$(peers "$1-f32-peer")" 1.35
    ratio "$1 step, bf16, tokens/s" "$(ours "$1-bf16")" "$(peers "$1-bf16-peer")" 1.4
    at_least "$1 step, f32, of the FMA peak" "$(figure "$1-f32" ' ([0-9.]+) % of the peak')" 82 %
    at_least "$1 step, bf16, of the bf16 peak (no goal)" "$(figure "$1-bf16" ' ([0-9.]+) % of the peak')" 0 %
}
step() { step_of gpt2; }
llama() { step_of llama-0.3b; }

instructions() {
    local data=() dump=$work/examples.jsonl
    [ -z "${RECORDS:-}" ] || data=(--records "$RECORDS" --tokenizer "${TOKENIZER:?TOKENIZER belongs to RECORDS}")
    for ((i = 0; i < turns; i++)); do
        run ragged-f32 $bench/bench_instructions "${data[@]}" --steps $((3 * steps)) --dump "$dump"
        run ragged-f32-peer "$python" tests/bench/peer_pytorch.py --examples "$dump" --steps $((3 * steps)) --tuned
        run ragged-bf16 $bench/bench_instructions "${data[@]}" --steps $((3 * steps)) --weights bf16 --half
        run ragged-bf16-peer "$python" tests/bench/peer_pytorch.py --examples "$dump" --steps $((3 * steps)) --tuned --dtype bf16
    done
    # The best turn's average on our side: its line begins with the figure.
    ratio "instructions, f32, real tokens/s" "$(figure ragged-f32 '^([0-9.]+) real')" "$(peers ragged-f32-peer)" 2.5
    ratio "instructions, bf16, real tokens/s" "$(figure ragged-bf16 '^([0-9.]+) real')" "$(peers ragged-bf16-peer)" 2
}

make() { [ -e "$work/$1/model.safetensors" ] || run "made-$1" $bench/make_model --shape "$1" --out "$work/$1"; }

memory() {
    make llama-1.1b
    run big-bf16 $bench/bench_step --model "$work/llama-1.1b" --weights bf16 --half --steps 1 --sequences 1
    run big-nf4 $bench/bench_step --model "$work/llama-1.1b" --weights nf4 --half --steps 1 --sequences 1
    at_most "1.1B, LoRA of 512 tokens, bf16, peak" "$(peak big-bf16)" 4096 MiB
    at_most "1.1B, LoRA of 512 tokens, nf4, peak" "$(peak big-nf4)" 2048 MiB
    for form in bf16 int8 int4 nf4; do
        run "decode-$form" $bench/bench_generate --model "$work/llama-1.1b" --weights $form --half --prompt 32 --tokens 48
        at_least "1.1B, decoding, $form, of read bandwidth" "$(figure "decode-$form" '= ([0-9]+) % of')" 70 %
    done
    rm -rf "$work/llama-1.1b"
}

generate() {
    make llama-135m
    for ((i = 0; i < turns; i++)); do
        run gen-bf16 $bench/bench_generate --model "$work/llama-135m" --weights bf16 --half
        run gen-bf16-peer "$python_llama" tests/bench/peer_llama_cpp.py --model "$work/llama-135m" --type BF16 --gguf "$work/bf16.gguf"
        run gen-int4 $bench/bench_generate --model "$work/llama-135m" --weights int4 --half
        run gen-int4-peer "$python_llama" tests/bench/peer_llama_cpp.py --model "$work/llama-135m" --type Q4_0 --gguf "$work/q4_0.gguf"
    done
    at_least "135M, bf16, prompt of 512" "$(figure gen-bf16 'prompt of 512: ([0-9.]+)')" 1200 tokens/s
    for form in bf16 int4; do
        ratio "135M, $form, prompt against llama.cpp (no goal)" "$(figure gen-$form 'prompt of 512: ([0-9.]+)')" \
            "$(figure gen-$form-peer 'prompt of 512 ([0-9.]+)')" 0
        ratio "135M, $form, generation against llama.cpp" "$(figure gen-$form 'generation of [0-9]+: ([0-9.]+)')" \
            "$(figure gen-$form-peer 'generation ([0-9.]+)')" $([ $form = bf16 ] && echo 1.2 || echo 1)
    done
}

# The share of held-out questions that the quickstart's run answers, in percent.
exact() { # NAME KEY VALUE ...
    local name=$1
    shift
    build/release/actors/fedmq run --cfg configs/quickstart/quickstart.yaml --quiet --directory "$work/$name" "$@" >"$work/$name.log"
    build/release/actors/fedmq eval --json --model configs/quickstart/model --adapter "$work/$name/adapter" \
        --data configs/quickstart/data/heldout.jsonl --match 16 | sed -nE 's/.*"exact_match": *([0-9.e+-]+).*/\1/p' | awk '{print 100 * $1}'
}
quickstart() {
    local whole half
    whole=$(exact f32)
    half=$(exact bf16 train.is_enable_half True)
    at_least "quickstart, bf16 less f32 ($half - $whole)" "$(echo "$half $whole" | awk '{print $1 - $2}')" -5 points
}

big() {
    make llama-7b
    run seven $bench/bench_step --model "$work/llama-7b" --weights bf16 --half --recompute --steps 1 --sequences 1 --tokens 128
    rm -rf "$work/llama-7b"
    at_most "7B, one step of 128 tokens, bf16, peak" "$(peak seven)" 24576 MiB
}

for part in "${@:-step}"; do
    case $part in
    step | llama | instructions | memory | generate | quickstart | big) "$part" ;;
    *) sed -n '6,7p' "$0" >&2 && exit 2 ;;
    esac
done
echo
echo "best of the turns                               fedmq       peer  ratio"
cat "$work/table"
echo "load average: $(cut -d' ' -f1-3 /proc/loadavg)"
