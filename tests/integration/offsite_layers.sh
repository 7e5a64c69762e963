#!/usr/bin/env bash
# A client's layers on their way: the client dies in the middle and goes on where it was, the disk is
# full, a cached file is damaged, two clients share a cache, the run drops fewer layers.  Each time
# only what is not there is fetched.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
CACHE=$WORK/cache
PORT=$(free_port)
distributed "$PORT"
# The third client never comes, so the run waits and the clients only get their layers.
start server "$FEDMQ" server --cfg $CFG --directory "$WORK/half" "${OVER_TCP[@]}"
SERVER=$PID

# await_layers NAME PID: waits until that client has its layers; sets ALL and FETCHED, bytes.
await_layers() {
    until_line "$WORK/$1.log" 'launcher layers-here' 60 "$2"
    ALL=$(sed -nE 's/.* layers-here bytes=([0-9]+) .*/\1/p' "$WORK/$1.log")
    FETCHED=$(sed -nE 's/.* layers-here .*fetched=([0-9]+)/\1/p' "$WORK/$1.log")
}
# come NAME K CACHE: client K with that cache, until it has its layers.
come() {
    bare "$1" "$FEDMQ" client --id "$2" --broker "tcp://127.0.0.1:$PORT" fedmq.layer_cache "$3"
    CLIENT=$PID
    await_layers "$1" "$CLIENT"
}
# leave NAME PID: it goes on without an error, and is killed.
leave() {
    until_line "$WORK/$1.log" "client-[0-9] up" 60 "$2"
    killed "$2"
}
client() { "$FEDMQ" client --id 1 --broker "tcp://127.0.0.1:$PORT" fedmq.layer_cache "$CACHE"; }

# A file of the process may have two chunks: the third kills it.
STATUS=0
(cd "$WORK" && ulimit -f 512 -c 0 && client) >"$WORK/dies.log" 2>&1 || STATUS=$?
[ $STATUS -gt 128 ] || fail "the client was not killed, but ended with status $STATUS"
[ "$(cat "$CACHE"/*.part | wc -c)" -eq 524288 ] || fail "the killed client did not leave two chunks"
WHOLE=$(find "$CACHE" -type f ! -name '*.part' -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')

# The same as an error of the disk.
STATUS=0
(cd "$WORK" && ulimit -f 512 && trap '' XFSZ && client) >"$WORK/full.log" 2>&1 || STATUS=$?
[ $STATUS -eq 4 ] || fail "with a full disk the client ended with status $STATUS, not 4"
grep -q "cannot write '$CACHE/[0-9a-f]*.part'" "$WORK/full.log" || fail "the full disk's file is not named"

come again 1 "$CACHE"
MANIFEST=$((FETCHED + WHOLE + 524288 - ALL))
[ $MANIFEST -gt 0 ] && [ $MANIFEST -lt 2000 ] || fail "$FETCHED bytes were fetched with $WHOLE whole and two chunks there"
leave again "$CLIENT"
[ "$(ls "$CACHE" | grep -c '\.part$')" -eq 0 ] || fail "a partial file is left"

come known 1 "$CACHE"
[ "$FETCHED" -eq $MANIFEST ] || fail "$FETCHED bytes were fetched that were there"
leave known "$CLIENT"

VICTIM=$(find "$CACHE" -type f -size +800k | sort | head -n 1)
printf x | dd of="$VICTIM" bs=1 seek=100000 conv=notrunc status=none
come damaged 1 "$CACHE"
[ "$FETCHED" -eq $((MANIFEST + $(stat -c %s "$VICTIM"))) ] || fail "not just the damaged layer was fetched anew"
leave damaged "$CLIENT"
cp -r "$CACHE" "$WORK/before"

SHARED=$WORK/shared
for k in 1 2; do
    bare "both-$k" "$FEDMQ" client --id $k --broker "tcp://127.0.0.1:$PORT" fedmq.layer_cache "$SHARED"
    PIDS[k]=$PID
done
SUM=0
for k in 1 2; do
    await_layers "both-$k" "${PIDS[k]}"
    SUM=$((SUM + FETCHED))
    leave "both-$k" "${PIDS[k]}"
done
[ $SUM -eq $((ALL + 2 * MANIFEST)) ] || fail "two clients with one cache fetched $SUM bytes of $ALL"
diff -r "$CACHE" "$SHARED" || fail "the two caches differ"

# The same model with nothing dropped: one layer more.
kill -INT "$SERVER"
gone "$SERVER" 20 server
start server "$FEDMQ" server --cfg $CFG --directory "$WORK/none" "${OVER_TCP[@]}" \
    llm.offsite_tuning.kwargs '[{drop_ratio: 0}]'
SERVER=$PID
come more 1 "$CACHE"
NEW=$(comm -13 <(ls "$WORK/before") <(ls "$CACHE") | grep -v '^tokenizer')
[ "$(wc -w <<<"$NEW")" -eq 1 ] || fail "not one new file, but: $NEW"
LAYER=$(stat -c %s "$CACHE/$NEW")
[ "$FETCHED" -ge "$LAYER" ] && [ "$FETCHED" -lt $((LAYER + 2000)) ] || fail "$FETCHED bytes were fetched for one layer of $LAYER"
echo "only what was missing was fetched: $LAYER of $ALL bytes for a layer that is not dropped any more"
