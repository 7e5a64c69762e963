#!/usr/bin/env bash
# Files may not grow beyond a limit in the middle of a run, as on a full disk: the run ends with
# status 4, the last good checkpoint stays, and with room again --resume ends as if nothing had been.
set -euo pipefail
. "$2/tests/integration/lib.sh"

one whole federate.total_round_num 6
"$FEDMQ" run --cfg $CFG --directory "$WORK/run" federate.total_round_num 3 >"$WORK/begin.log" 2>&1 || fail "the beginning"
SIZE=$(stat -c %s "$WORK"/run/checkpoints/round-000003.state)

# Neither half a state nor one without its end fits; what does not fit first is another file each time.
for kilobytes in $((SIZE / 2048)) $((SIZE / 1024 - 1)); do
    STATUS=0
    (
        ulimit -f $kilobytes
        trap '' XFSZ
        exec "$FEDMQ" run --quiet --resume --directory "$WORK/run" federate.total_round_num 6
    ) >"$WORK/full.log" 2>&1 || STATUS=$?
    [ $STATUS -eq 4 ] || fail "the run ended with status $STATUS, not 4"
    grep -q "cannot write '$WORK/run/.*': " "$WORK/full.log" || fail "the file and the reason are not given"
    cmp <(ls "$WORK/run/checkpoints") <(printf 'round-000002.state\nround-000003.state\n') || fail "the checkpoints changed"
done
"$FEDMQ" run --resume --directory "$WORK/run" federate.total_round_num 6 >"$WORK/resume.log" 2>&1 || fail "the resume"
same whole run
! grep -qvE '^\{.*\}$' "$WORK/run/metrics.jsonl" || fail "metrics.jsonl has a broken line"
echo "room again, the same adapter"
