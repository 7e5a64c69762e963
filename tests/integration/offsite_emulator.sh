#!/usr/bin/env bash
# fedmq emulator says what clients hold: the numbers are those of the files that a client fetches and
# of the run's own log, for each strategy.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
OFFSITE=llm.offsite_tuning
export TMPDIR=$WORK

# number NAME KEY: of the line of JSON in $WORK/NAME.log.
number() { grep -oE "\"$2\":[0-9.e+]+" "$WORK/$1.log" | head -n "${3:-1}" | tail -n 1 | cut -d: -f2; }
ask() {
    local name=$1
    shift
    "$FEDMQ" emulator --json --cfg $CFG "$@" >"$WORK/$name.log" 2>"$WORK/$name.err" || {
        cat "$WORK/$name.err"
        fail "'$name' ended with status $?"
    }
}

ask drop
grep -q '"source":\[0,1,3\]' "$WORK/drop.log" || fail "the kept layers are not 0, 1 and 3"
[ "$(number drop layers 1)" -eq 4 ] && [ "$(number drop layers 2)" -eq 3 ] || fail "not 3 layers of 4"
[ "$(number drop emulator_trained)" -eq 2048 ] && [ "$(number drop trained 2)" -eq 4096 ] ||
    fail "what is trained is not what the other tests say"
[ "$(number drop bytes_up)" -eq 16384 ] && [ "$(number drop bytes_down)" -eq 24576 ] || fail "the traffic of a round"
DENSE=$(number drop bytes 2)

# The files that travel have these weights and a header each.
distributed "$(free_port)"
start server "$FEDMQ" server --cfg $CFG --directory "$WORK/run" "${OVER_TCP[@]}"
bare client "$FEDMQ" client --id 1 --cfg "$SOURCE/$CFG" "${OVER_TCP[@]}" fedmq.layer_cache "$WORK/cache"
until_line "$WORK/client.log" 'engine full-model=none' 60 "$PID"
killed "$PID"
PARTS=$(find "$WORK/cache" -type f -size +100k -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
[ "$PARTS" -gt "$DENSE" ] && [ "$PARTS" -lt $((DENSE + 16384)) ] || fail "$PARTS bytes travel, $DENSE were told"

# Layers of the emulator's own are built, and travel smaller.
ask quantized $OFFSITE.strategy quantization $OFFSITE.kwargs '[{bits: 4}]'
ask pruned $OFFSITE.strategy pruning $OFFSITE.kwargs '[{ratio: 0.5}]'
ask narrowed $OFFSITE.strategy pruning $OFFSITE.kwargs '[{ratio: 0.5, method: structured}]'
ask nothing $OFFSITE.kwargs '[{drop_ratio: 0}]'
ALL=$(number nothing bytes 1)
[ "$ALL" -eq "$(number nothing bytes 2)" ] || fail "with nothing dropped the client's model has another size"
for name in quantized pruned narrowed; do
    [ "$(number $name layers 2)" -eq 4 ] || fail "'$name' dropped a layer"
    [ "$(number $name bytes 2)" -lt $((ALL * 9 / 10)) ] || fail "'$name' saves nothing of $ALL bytes"
done
! ls -d "$WORK"/fedmq-emulator-* >/dev/null 2>&1 || fail "a folder is left"

"$FEDMQ" emulator --cfg $CFG >"$WORK/text.log" || fail "the table"
grep -q '^clients hold layers 0 1\* 3$' "$WORK/text.log" || fail "the table does not list the layers"
status_of none "$FEDMQ" emulator --cfg tests/integration/federation.yaml
[ $STATUS -eq 2 ] && grep -q 'has no emulator' "$WORK/none.log" || fail "a configuration without an emulator: status $STATUS"
echo "the numbers are those of the files"
