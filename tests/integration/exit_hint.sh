#!/usr/bin/env bash
# The last lines of a run that ended well: where what it leaves is, and commands that work when they
# are pasted, as they stand, into a shell in the folder where the run was started.
set -euo pipefail
. "$2/tests/integration/lib.sh"
PATH=$(dirname "$FEDMQ"):$PATH
RUN=(fedmq run --cfg $CFG federate.total_round_num 1)
head -n 8 configs/quickstart/data/heldout.jsonl >"$WORK/few.jsonl"
DIRECTORY="$WORK/it's here"
mkdir "$DIRECTORY"

# ended NAME COMMAND...: ends well; the lines after its end go to $WORK/NAME.last.
ended() {
    local name=$1
    shift
    timeout $((60 * PATIENCE)) "$@" >"$WORK/$name.log" 2>&1 || fail "$name ended with status $?"
    sed -n '/^ended after/,$p' "$WORK/$name.log" | tail -n +2 >"$WORK/$name.last"
}

# works NAME COUNT: so many commands are printed, and each does what it is there for.
works() {
    sed -n 's/^  \(fedmq .*\)/\1/p' "$WORK/$1.last" >"$WORK/$1.sh"
    [ "$(wc -l <"$WORK/$1.sh")" = "$2" ] || fail "$1 names $(wc -l <"$WORK/$1.sh") commands, not $2"
    [ "$2" = 0 ] && return
    grep -q '^fedmq generate ' "$WORK/$1.sh" && grep -q '^fedmq eval ' "$WORK/$1.sh" || fail "$1 names others"
    bash -e "$WORK/$1.sh" >"$WORK/$1.pasted.log" 2>&1 </dev/null || fail "the commands of $1 end with status $?"
    grep -q '^loss ' "$WORK/$1.pasted.log" || fail "the commands of $1 measure nothing"
}

says() { grep -qF -- "$2" "$WORK/$1.last" || fail "$1 does not say '$2'"; }

# One adapter of many clients; records below a root of their own, in a folder that wants quoting.
cp "$WORK/few.jsonl" "$DIRECTORY/my records.jsonl"
SMALL=(data.root "$DIRECTORY" data.type 'my records.jsonl@llm' data.splits '[0.5, 0.25, 0.25]' federate.client_num 1)
ended adapter "${RUN[@]}" "${SMALL[@]}" --directory "$DIRECTORY/run" federate.save_to "$DIRECTORY/out/copy"
says adapter "the adapter is in '${DIRECTORY/\'/\'\\\'\'}/run/adapter'"
says adapter "the best adapter is in '"
says adapter "/out/final_copy'"
works adapter 2

# Everything was trained: the run leaves a model, which needs no other.
ended full "${RUN[@]}" "${SMALL[@]}" --directory "$WORK/full" llm.adapter.use False
says full "the model is in $WORK/full/adapter"
works full 2
! grep -q -- '--adapter' "$WORK/full.sh" || fail "a whole model is called an adapter"

# Every client for itself: there is no common adapter, and perhaps none at all.
ended local "${RUN[@]}" "${SMALL[@]}" --directory "$WORK/local" federate.method local federate.save_client_model True
says local "$WORK/local/clients/client-1"
works local 2
ended nothing "${RUN[@]}" "${SMALL[@]}" --directory "$WORK/nothing" federate.method local
says nothing "no common adapter; federate.save_client_model True"
works nothing 0

# Offsite tuning: an adapter of the full model, or whole layers that no command takes by themselves.
OFFSITE=(fedmq run --cfg tests/integration/offsite.yaml federate.total_round_num 1)
ended offsite "${OFFSITE[@]}" data.type heldout.jsonl@llm --directory "$WORK/offsite"
works offsite 2
ended layers "${OFFSITE[@]}" --directory "$WORK/layers" llm.adapter.use False
says layers "the trained layers are in $WORK/layers/adapter"
works layers 0
ended whole "${OFFSITE[@]}" data.type heldout.jsonl@llm --directory "$WORK/whole" llm.adapter.use False \
    llm.offsite_tuning.save_full_model True federate.save_to "$WORK/saved/model"
works whole 2

# A server whose clients bring their own: FILE stands for the records.
PORT=$(free_port)
distributed "$PORT"
WITH=(--cfg $CFG outdir "$WORK" federate.total_round_num 1 federate.client_num 1 fedmq.own_data True "${OVER_TCP[@]}")
start client fedmq client --id 1 --data "$WORK/few.jsonl" data.splits '[0.5, 0.25, 0.25]' "${WITH[@]}"
ended server fedmq server --directory "$WORK/server" data.splits '[0.5, 0.25, 0.25]' "${WITH[@]}"
says server "the adapter is in $WORK/server/adapter"
says server "(FILE: records to measure on)"
sed -i "s|--data FILE|--data $WORK/few.jsonl|" "$WORK/server.last"
works server 2

# --instruct is the prompt of training around the text.
GENERATE=(fedmq generate --model configs/quickstart/model --max-new-tokens 8 --ids)
"${GENERATE[@]}" --instruct --prompt 'Say it.' >"$WORK/instruct"
"${GENERATE[@]}" --prompt "$(printf '%s\n\n### Instruction:\nSay it.\n\n### Response:' \
    'Below is an instruction that describes a task. Write a response that appropriately completes the request.')" |
    cmp - "$WORK/instruct" || fail "--instruct is not the prompt of training"
"${GENERATE[@]}" --instruct --prompt 'Say it.' --input 'Now.' | cmp -s - "$WORK/instruct" && fail "--input changes nothing"
"${GENERATE[@]}" --prompt 'Say it.' | cmp -s - "$WORK/instruct" && fail "--instruct changes nothing"

# Called by a path, the program is named by it.
ended path "$FEDMQ" "${RUN[@]:1}" "${SMALL[@]}" --directory "$WORK/path"
grep -qF "  $FEDMQ generate --model" "$WORK/path.last" || fail "the commands name another program"

# Nothing of it where it does not belong.
ended quiet "${RUN[@]}" "${SMALL[@]}" --directory "$WORK/quiet" --quiet
[ ! -s "$WORK/quiet.log" ] || fail "--quiet says something"
status_of refused "${RUN[@]}" --directory "$WORK/full"
! grep -q 'adapter is in' "$WORK/refused.log" || fail "a run that was refused names an adapter"
echo "what a run says at its end is there, and works"
