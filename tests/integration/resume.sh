#!/usr/bin/env bash
# What a resumed run may be told otherwise, what is refused, and that a refused one is left as it
# was; that a directory has one leader; and that keys without effect are told once.
set -euo pipefail
. "$2/tests/integration/lib.sh"
RUN=$WORK/a

# content: every file of the run with its bytes, and the folders.
content() { (cd "$RUN" && find . -type d | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

# refused NAME STATUS PATTERN KEY VALUE...: --resume with $CFG ends so, and nothing has changed.
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    content >"$WORK/before"
    status_of "$name" "$FEDMQ" "${COMMAND:-run}" --resume --cfg $CFG outdir "$WORK" expname a \
        federate.total_round_num 2 "$@"
    [ $STATUS -eq "$wanted" ] || fail "$name: status $STATUS, not $wanted"
    grep -qE -- "$pattern" "$WORK/$name.log" || fail "$name: nothing says '$pattern'"
    content | cmp - "$WORK/before" || fail "$name: the run was touched"
}

one a federate.total_round_num 2 dataloader.num_workers 2 dataloader.pin_memory True
for place in a.log a/run.log; do
    is=$(grep -c 'keys-without-effect count=2 keys="dataloader.num_workers, dataloader.pin_memory"' "$WORK/$place")
    [ "$is" -eq 1 ] || fail "$place tells keys without effect $is times"
done
grep -qE '^process [0-9]+ on .* since .*\(fedmq run\)$' "$RUN/LOCK" || fail "LOCK does not say who led"

refused rank 7 'llm.adapter.args.0.r: the run has 4, not 5' llm.adapter.args.0.r 5
refused rate 7 'train.optimizer.lr: the run has 0.002, not 1' train.optimizer.lr 1 seed 8
grep -q 'seed: the run has 7, not 8' "$WORK/rate.log" || fail "only the first difference is listed"
refused fewer-clients 7 'federate.client_num: the run has 3, not 2' federate.client_num 2
refused one-client 7 'client_2.seed: the run has 7, not 1' client_2.seed 1
refused fewer-rounds 2 'has done 2 rounds: give 2 or more' federate.total_round_num 1
refused no-data 3 "looked for '/nowhere/" data.root /nowhere
refused no-model 3 "no model 'nowhere'" model.type nowhere
cp -r configs/quickstart/model "$WORK/other"
chmod -R u+w "$WORK/other"
printf '\1' | dd of="$WORK/other/model.safetensors" bs=1 seek=2000000 conv=notrunc status=none
refused another-model 7 'another base model' model.type "$WORK/other"
distributed "$(free_port)"
COMMAND=server refused server 7 'train.optimizer.lr: the run has' train.optimizer.lr 1 "${OVER_TCP[@]}"
mkdir "$RUN/checkpoints/round-000009.state"
refused obstacle 4 "round-000009.state' is in the way" federate.total_round_num 12
rmdir "$RUN/checkpoints/round-000009.state"
mkdir "$WORK/nothing" && touch "$WORK/nothing/note.txt"
status_of nothing "$FEDMQ" run --resume --cfg $CFG --directory "$WORK/nothing"
[ $STATUS -eq 3 ] && [ "$(ls -A "$WORK/nothing")" = note.txt ] || fail "a folder of something else was taken for a run"

"$FEDMQ" run --json --resume --directory "$RUN" federate.total_round_num 3 verbose 2 fedmq.round_deadline 600 \
    >"$WORK/more.json" 2>"$WORK/more.log" || fail "more rounds are refused"
grep -q '^{"event":"keys-without-effect","keys":\[{"key":"dataloader.num_workers","value":"2"' "$WORK/more.json" ||
    fail "no object tells of keys without effect"
grep -q '^{"event":"resumed-with-changes".*federate.total_round_num: 2 -> 3.*verbose: 1 -> 2' "$WORK/more.json" ||
    fail "no object tells what has changed"
grep -q 'resumed-with-changes .*fedmq.round_deadline: 0 -> 600' "$RUN/run.log" || fail "run.log does not tell what has changed"
grep -q 'total_round_num: 3' "$RUN/config.yaml" || fail "config.yaml is not that of the run as it goes on"
[ -s "$RUN/checkpoints/round-000003.state" ] || fail "the run did not go on"

# Others that take part say it too, each once; nobody answers here, and they give up.
TOLD=(--cfg $CFG "${OVER_TCP[@]}" fedmq.connect_timeout 0.5 dataloader.pin_memory True)
for who in "client --id 1" splitter "evaluator --attach tcp://127.0.0.1:${OVER_TCP[5]}" "evaluator --json --attach tcp://127.0.0.1:${OVER_TCP[5]}"; do
    # shellcheck disable=SC2086
    status_of told "$FEDMQ" $who "${TOLD[@]}"
    [ "$(grep -v '^{"event":"keys' "$WORK/told.log" | grep -cE 'keys-without-effect.*pin_memory')" -eq 1 ] || fail "'$who' does not tell keys without effect once"
done
grep -q '^{"event":"keys-without-effect"' "$WORK/told.log" || fail "the evaluator tells no object"

# What a run began from may be gone when it goes on.
one begun federate.restore_from "$RUN/adapter" federate.total_round_num 1
mv "$RUN/adapter" "$WORK/gone"
"$FEDMQ" run --quiet --resume --directory "$WORK/begun" federate.total_round_num 2 >"$WORK/begun.log" 2>&1 ||
    fail "a run cannot go on without what it began from"
mv "$WORK/gone" "$RUN/adapter"

start leader "$FEDMQ" run --resume --directory "$RUN" federate.total_round_num 100000 eval.freq 1000
LEADER=$PID
until_line "$RUN/run.log" 'round-began round=4' 60 "$LEADER"
for command in run server; do
    status_of "second-$command" "$FEDMQ" $command --resume --directory "$RUN" "${OVER_TCP[@]}"
    [ $STATUS -eq 8 ] || fail "second $command: status $STATUS"
    grep -q "led by process $LEADER on .*(fedmq run)" "$WORK/second-$command.log" || fail "the second $command is not told who leads"
done
status_of second-new "$FEDMQ" run --cfg $CFG --directory "$RUN"
[ $STATUS -eq 2 ] || fail "a new run in the directory of another: status $STATUS"
killed "$LEADER"
start next "$FEDMQ" run --resume --directory "$RUN"
until_line "$WORK/a/LOCK" "^process $PID on" 60 "$PID"
echo "a run goes on as it was, or is left as it was"
