#!/usr/bin/env bash
# The README's path for people with data of their own: exactly its commands, pasted as they stand
# into a folder with the configurations, in which only the port is another.
set -euo pipefail
. "$2/tests/integration/lib.sh"

sed -n '/^## With data of your own/,/^## Across/p' README.md | sed -n 's/^    //p' >"$WORK/pasted.sh"
[ "$(grep -c '^fedmq client .* --data ' "$WORK/pasted.sh")" = 2 ] || fail "the README has no such commands"
mkdir "$WORK/tree"
cp -r configs "$WORK/tree/configs"
PORT=$(free_port)
sed -i "s/server_port: 50050/server_port: $PORT/" "$WORK/tree/configs/own/own.yaml"
grep -q "server_port: $PORT" "$WORK/tree/configs/own/own.yaml" || fail "the port is not where it was"

cd "$WORK/tree"
STATUS=0
PATH=$(dirname "$FEDMQ"):$PATH timeout $((120 * PATIENCE)) bash -e ../pasted.sh >"$WORK/pasted.log" 2>&1 || STATUS=$?
[ $STATUS -eq 0 ] || fail "the commands ended with status $STATUS"
grep -q '^configs/own/own.yaml: no mistakes' "$WORK/pasted.log" || fail "the configuration is not found right"
grep -q 'ended after round 12/12: finished' "$WORK/pasted.log" || fail "the run did not finish"
[ "$(grep -c 'the run has ended: finished after 12 rounds' "$WORK/pasted.log")" = 2 ] || fail "two clients do not say so"
[ -s exp/own/adapter/adapter_model.safetensors ] || fail "there is no adapter where the README says"
! grep -qE ' (warning|error) ' "$WORK/pasted.log" || fail "a newcomer is warned"
LOSS=$(sed -nE 's/^loss +([0-9.]+).*/\1/p' "$WORK/pasted.log")
awk -v loss="$LOSS" 'BEGIN { exit !(loss > 0 && loss < 2) }' || fail "the loss with the adapter is '$LOSS'"
echo "the README's commands work, loss $LOSS"
