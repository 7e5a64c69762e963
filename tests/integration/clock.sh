#!/usr/bin/env bash
# The clock of a server's machine is set back by a year before it is resumed, while its clients live
# on: they hear it all the same, and the adapter is that of a run that nothing happened to.
set -euo pipefail
. "$2/tests/integration/lib.sh"
ROUNDS=8

one whole federate.total_round_num $ROUNDS eval.freq 3

# lives NAME: starts a run over tcp with three clients, as $SERVER.
lives() {
    distributed "$(free_port)"
    WITH=(--cfg $CFG outdir "$WORK" "${OVER_TCP[@]}" federate.total_round_num $ROUNDS eval.freq 3
          fedmq.heartbeat 0.3 fedmq.peer_timeout 3)
    RUN=$WORK/$1
    start "server-$1" "$FEDMQ" server --directory "$RUN" "${WITH[@]}"
    SERVER=$PID
    for k in 1 2 3; do start "client-$1-$k" "$FEDMQ" client --id $k "${WITH[@]}"; done
}

# again LINE NAME COMMAND...: when the log says LINE, kills the server and resumes it by COMMAND.
again() {
    local line=$1 name=$2
    shift 2
    until_line "$RUN/run.log" "$line" 60 "$SERVER"
    killed "$SERVER"
    [ -z "${AHEAD:-}" ] || echo "$AHEAD" >"$RUN/versions"
    start "server-$name" "$@" "$FEDMQ" server --resume --directory "$RUN" "${WITH[@]}"
    SERVER=$PID
}

# finished NAME
finished() {
    gone "$SERVER" 60 "the server of '$1'"
    grep -q "ended round=$ROUNDS" "$RUN/run.log" || fail "run '$1' did not finish"
    same whole "$1"
}

# A life whose clock is a year ahead: what it leaves says so, and the next one begins above it.
lives ahead
AHEAD=$((($(date +%s) + 365 * 86400) * 1000))
again 'round-closed round=1' ahead env
PLANTED=$AHEAD AHEAD=
again 'round-began round=4' ahead env
finished ahead
[ "$(cat "$RUN/versions")" -gt "$PLANTED" ] || fail "versions did not grow from $PLANTED"

if ! command -v faketime >/dev/null; then
    echo "not tried: a clock that is set back, for which the package faketime is missing"
elif [ "$PATIENCE" -ne 1 ]; then
    echo "not tried: a clock that is set back, in a sanitized program"
else
    # The command itself would stay as a parent, which is not what is to be killed.
    PRELOAD=$(faketime -f +0s env | sed -n 's/^LD_PRELOAD=//p')
    BACK=(env LD_PRELOAD="$PRELOAD" FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1)
    lives back
    again 'round-closed round=1' back "${BACK[@]}" FAKETIME=-30s
    again 'round-began round=4' back "${BACK[@]}" FAKETIME=-400d
    finished back
fi

echo "no number" >"$RUN/versions"
status_of damaged "$FEDMQ" server --resume --directory "$RUN" "${OVER_TCP[@]}"
[ $STATUS -eq 5 ] && grep -q "versions' holds no number" "$WORK/damaged.log" || fail "damaged versions are not named"
echo "the clock does not matter"
