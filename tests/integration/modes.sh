#!/usr/bin/env bash
# The same run in one process with several numbers of permits and threads, and as processes over
# tcp, named FS-LLM's way, whose clients start in another order: always the same adapter.
set -euo pipefail
. "$2/tests/integration/lib.sh"

one first --permits 1 --threads 1
one wide --permits 2 --threads 1
one deep --permits 1 --threads 2
one default

distributed "$(free_port)"
start server "$FEDMQ" --cfg $CFG outdir "$WORK" expname tcp "${OVER_TCP[@]}" distribute.role server
SERVER=$PID
for k in 3 1 2; do
    start "client-$k" "$FEDMQ" --cfg $CFG "${OVER_TCP[@]}" distribute.role client distribute.data_idx $k
    until_line "$WORK/tcp/run.log" "member-joined name=client-$k" 30 "$SERVER"
done
gone "$SERVER" 120 server
for pid in "${STARTED[@]}"; do gone "$pid" 20 client; done
grep -q 'ended round=3' "$WORK/tcp/run.log" || fail "the server did not finish"
for k in 1 2 3; do
    [ "$(grep -cx 'the run has ended: finished after 3 rounds' "$WORK/client-$k.log")" -eq 1 ] ||
        fail "client $k does not say how the run ended"
done

for name in wide deep default tcp; do same first $name; done
echo "five runs, one adapter"
