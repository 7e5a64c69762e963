#!/usr/bin/env bash
# fedmq status: of a live run over tcp and in its directory, of one that was killed, of one that has
# ended; and what is said where there is none.  Who asks disturbs nobody.
set -euo pipefail
. "$2/tests/integration/lib.sh"

PORT=$(free_port)
at() { "$FEDMQ" status --json "$@" 2>>"$WORK/status.log"; }
field() { sed -nE "s/.*\"$1\":\"?([a-z0-9.-]+).*/\\1/p"; } # keys that occur once

start live "$FEDMQ" run --cfg $CFG outdir "$WORK" expname live --listen "tcp://127.0.0.1:$PORT" \
    federate.total_round_num 1000 eval.freq 1000 train.local_update_steps 4
LIVE=$PID
until_line "$WORK/live/run.log" 'round-closed round=1 ' 60 $LIVE
at "tcp://127.0.0.1:$PORT" >"$WORK/asked.json" || fail "a live run was not found: status $?"
[ "$(field rounds <"$WORK/asked.json")" = 1000 ] || fail "no rounds in $(cat "$WORK/asked.json")"
[ "$(field clients <"$WORK/asked.json")" = 3 ] || fail "not three clients in $(cat "$WORK/asked.json")"
"$FEDMQ" status "tcp://127.0.0.1:$PORT" >"$WORK/lines" || fail "no lines: status $?"
grep -qE '^run [0-9a-f]{12}  round [0-9]+ of 1000' "$WORK/lines" || fail "no lines for people"
start watching "$FEDMQ" status --watch --json "tcp://127.0.0.1:$PORT"
for ((i = 0; i < 300 * PATIENCE && $(grep -c '"event":"status"' "$WORK/watching.log") < 3; i++)); do sleep 0.1; done
[ "$(grep -c '"event":"status"' "$WORK/watching.log")" -ge 3 ] || fail "--watch does not go on"
kill -INT "$PID"
gone "$PID" 10 "who was watching"
at "$WORK/live" >"$WORK/looked.json" || fail "the directory of a live run: status $?"
grep -q '"phase":"\(training\|measuring\|waiting\)"' "$WORK/looked.json" || fail "the directory does not say how a live run stands"
grep -q 'message-dropped' "$WORK/live/run.log" && fail "who asks said something it may not"

killed $LIVE
[ "$(at "$WORK/live" | field phase)" = stopped ] || fail "a killed run is not told as stopped"

one short federate.total_round_num 2 eval.freq 1000
[ "$(at "$WORK/short" | field phase)" = ended ] || fail "an ended run is not told as ended"
[ "$(at "$WORK/short" | field round)" = 2 ] || fail "an ended run has not two rounds"

status_of nothing "$FEDMQ" status "$WORK/nothing"
[ "$STATUS" -eq 3 ] || fail "no directory: status $STATUS, not 3"
status_of folder "$FEDMQ" status "$WORK"
[ "$STATUS" -eq 3 ] || fail "no run's directory: status $STATUS, not 3"
status_of nobody "$FEDMQ" status "tcp://127.0.0.1:$(free_port)"
[ "$STATUS" -eq 9 ] || fail "nobody there: status $STATUS, not 9"
grep -q 'nobody answers' "$WORK/nobody.log" || fail "nobody there: '$(cat "$WORK/nobody.log")'"
status_of none "$FEDMQ" status
[ "$STATUS" -eq 2 ] || fail "no run named: status $STATUS, not 2"
echo "a run says how it stands, alive, killed and ended"
