#!/usr/bin/env bash
# FedBiOT with broker, splitter, server and clients in a process each; the clients hold no model and
# the broker knows nothing of layers.  The broker is started anew in the middle.  The same adapter
# and emulator as in one process.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
one whole

PORT=$(free_port)
BROKER=tcp://127.0.0.1:$PORT
distributed "$PORT"
QUICK=(fedmq.heartbeat 0.3 fedmq.peer_timeout 3)
WITH=(--cfg "$SOURCE/$CFG" --broker "$BROKER" "${OVER_TCP[@]}" "${QUICK[@]}")
start broker "$FEDMQ" broker --listen "$BROKER"
ROUTER=$PID
start splitter "$FEDMQ" splitter "${WITH[@]}"
for k in 1 2; do
    bare "client-$k" "$FEDMQ" client --id $k "${WITH[@]}"
    CLIENTS[k]=$PID
done
start server "$FEDMQ" server --no-splitter --directory "$WORK/apart" "${WITH[@]}"
SERVER=$PID
for k in 1 2; do until_line "$WORK/client-$k.log" "client-$k up" 60 "${CLIENTS[k]}"; done
killed "$ROUTER"
start broker "$FEDMQ" broker --listen "$BROKER"
bare client-3 "$FEDMQ" client --id 3 "${WITH[@]}"
CLIENTS[3]=$PID
gone "$SERVER" 120 server
for k in 1 2 3; do gone "${CLIENTS[k]}" 20 "client-$k"; done
grep -q 'engine full-model=none' "$WORK/client-3.log" || fail "the late client is not without a model"
same_pair whole apart
echo "seven processes, the same adapter and emulator"
