#!/usr/bin/env bash
# Output that nobody reads (a paused pager, ^S, a reader that has gone) stops neither a run nor its
# end: the same adapter comes out, and run.log says what was missed.
set -euo pipefail
. "$2/tests/integration/lib.sh"

# blocked NAME: a fifo $WORK/NAME.fifo that is held open and full, so that every write to it waits.
blocked() {
    local held
    mkfifo "$WORK/$1.fifo"
    exec {held}<>"$WORK/$1.fifo"
    dd if=/dev/zero of="$WORK/$1.fifo" bs=4096 oflag=nonblock 2>/dev/null || true
}

# ended PID STATUS SECONDS: waits for a child and compares its status.
ended() {
    local status=0
    gone "$1" "$3" "a run that nobody reads"
    wait "$1" || status=$?
    [ $status -eq "$2" ] || fail "status $status, not $2"
}

one read
blocked out
blocked err
for form in "" --json; do
    name=unread$form
    "$FEDMQ" run --cfg $CFG $form outdir "$WORK" expname "$name" verbose 2 >"$WORK/out.fifo" 2>"$WORK/err.fifo" &
    ended $! 0 60
    same read "$name"
    for output in stdout stderr; do
        grep -q " warning launcher lines-dropped output=$output count=" "$WORK/$name/run.log" ||
            fail "run.log does not say that $output was not read"
    done
done

# The same place for both, and a signal while nothing can be said.
"$FEDMQ" run --cfg $CFG outdir "$WORK" expname term federate.total_round_num 5000 >"$WORK/out.fifo" 2>&1 &
PID=$!
until_line "$WORK/term/run.log" 'round-closed round=2' 60 $PID
kill -TERM $PID
ended $PID 130 20
[ -n "$(ls "$WORK/term/checkpoints")" ] || fail "no checkpoint"

# A reader that has seen enough.
{ "$FEDMQ" run --cfg $CFG outdir "$WORK" expname head verbose 2 2>&1 || echo $? >"$WORK/status"; } | head -n 1 >"$WORK/head.out"
[ -s "$WORK/head.out" ] && [ ! -e "$WORK/status" ] || fail "the run ended with its reader"
same read head
grep -q ' warning launcher output-fails output=stdout reason="Broken pipe"' "$WORK/head/run.log" ||
    fail "run.log does not say that its reader has gone"
"$FEDMQ" config keys 2>&1 | head -n 1 >/dev/null || fail "a list of keys with a reader that has seen enough"

# No standard output at all: no file of the run takes its place.
"$FEDMQ" run --cfg $CFG outdir "$WORK" expname closed >&- 2>&- || fail "a run with closed outputs"
same read closed
! grep -q '^round ' "$WORK/closed/run.log" || fail "what is shown went into run.log"
! "$FEDMQ" config keys >/dev/full 2>"$WORK/full.log" || fail "a full disk goes unnoticed"
grep -q 'cannot write to standard output' "$WORK/full.log" || fail "a full disk is not named"

echo "nobody reads, and every run ends"
