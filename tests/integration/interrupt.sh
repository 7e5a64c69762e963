#!/usr/bin/env bash
# A run in one process is killed, and asked to stop by Ctrl-C, and resumed each time: the adapter is
# that of a run that nothing happened to.  A second Ctrl-C ends it at once.
set -euo pipefail
. "$2/tests/integration/lib.sh"
ROUNDS=8
WITH=(federate.total_round_num $ROUNDS eval.freq 3)
LOG=$WORK/run/run.log

one whole "${WITH[@]}"

# ended PATTERN SIGNAL...: sends the signals to the run; its status must be one of those.
ended() {
    local wanted=$1 status=0
    shift
    for signal in "$@"; do kill -"$signal" "$RUN"; done
    wait "$RUN" || status=$?
    grep -qxE "$wanted" <<<$status || fail "after $* the run ended with status $status, not $wanted"
}

# Job control gives background processes their own group, whose SIGINT is not ignored.
set -m
"$FEDMQ" run --cfg $CFG --directory "$WORK/run" "${WITH[@]}" >"$WORK/run.log" 2>&1 &
RUN=$!
until_line "$LOG" 'round-began round=1' 60 $RUN
ended 137 KILL

for step in "130 INT" "130|143 INT TERM" "130 INT INT" "130 TERM" "137 KILL"; do
    at=$(grep -c 'round-began' "$LOG")
    "$FEDMQ" run --resume --directory "$WORK/run" >>"$WORK/run.log" 2>&1 &
    RUN=$!
    STARTED+=("$RUN")
    until [ "$(grep -c 'round-began' "$LOG")" -gt "$at" ]; do sleep 0.05; done
    # shellcheck disable=SC2086
    ended $step
done
"$FEDMQ" run --resume --directory "$WORK/run" >>"$WORK/run.log" 2>&1 || fail "the last resume"
grep -q "ended round=$ROUNDS" "$LOG" || fail "the run did not finish"
same whole run
echo "interrupted six times, the same adapter"
