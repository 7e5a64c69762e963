#!/usr/bin/env bash
# Broker, splitter, server and clients are a process each: the same adapter as in one process.
set -euo pipefail
. "$2/tests/integration/lib.sh"

one together

PORT=$(free_port)
BROKER=tcp://127.0.0.1:$PORT
distributed "$PORT"
WITH=(--cfg $CFG --broker "$BROKER" outdir "$WORK" "${OVER_TCP[@]}")
start client-2 "$FEDMQ" client --id 2 "${WITH[@]}"
start broker "$FEDMQ" broker --listen "$BROKER"
start client-1 "$FEDMQ" client --id 1 "${WITH[@]}"
start server "$FEDMQ" server --no-splitter --directory "$WORK/apart" "${WITH[@]}"
SERVER=$PID
start client-3 "$FEDMQ" client --id 3 "${WITH[@]}"
start splitter "$FEDMQ" splitter "${WITH[@]}"
gone $SERVER 120 server
grep -q 'ended round=3' "$WORK/apart/run.log" || fail "the server did not finish"
same together apart
echo "six processes, the same adapter"
