#!/usr/bin/env bash
# A client that is not fedmq's, written from docs/protocol.md and docs/runs.md alone, takes part in
# a run over tcp beside two that are: it is asked, trained, measured and averaged in.
set -euo pipefail
. "$2/tests/integration/lib.sh"

PYTHON=""
for candidate in "${FEDMQ_PYTHON:-python3}" /usr/bin/python3; do
    "$candidate" -c 'import msgpack, zmq' 2>/dev/null && PYTHON=$candidate && break
done
[ -n "$PYTHON" ] || skip "there is no python3 with pyzmq and msgpack (python3-zmq, python3-msgpack)"

PORT=$(free_port)
distributed "$PORT"
WITH=(--cfg $CFG outdir "$WORK" "${OVER_TCP[@]}")
start server "$FEDMQ" server --directory "$WORK/run" "${WITH[@]}"
SERVER=$PID
for k in 1 3; do start "client-$k" "$FEDMQ" client --id $k "${WITH[@]}"; done
start foreign "$PYTHON" tests/integration/foreign_client.py "tcp://127.0.0.1:$PORT" 2 configs/quickstart/model 4 0.5
FOREIGN=$PID
gone "$SERVER" 120 server
gone "$FOREIGN" 20 "the foreign client"
grep -q 'ended round=3' "$WORK/run/run.log" || fail "the server did not finish"
grep -q 'done: finished' "$WORK/foreign.log" || fail "the foreign client did not see the end"
grep -c 'round .* offered' "$WORK/foreign.log" | grep -qx 3 || fail "it was not asked in every round"
for round in 0 1 2; do
    grep -q "round-closed round=$round updates=3 rejected=0 missing=0" "$WORK/run/run.log" ||
        fail "round $round was closed without all three"
done
grep -qE 'client-(failed|gone)|update-rejected|report-(dropped|refused)|message-dropped' "$WORK/run/run.log" &&
    fail "the server complains"
"$PYTHON" tests/integration/foreign_check.py "$WORK/run" 2 2 0.5 || fail "the adapter is not the mean of the updates"
