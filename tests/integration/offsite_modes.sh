#!/usr/bin/env bash
# FedBiOT in one process, and over tcp with clients that hold no model and have an empty home: the
# same adapter, emulator and alignments.  The clients get another emulator each round and train with
# the regulariser.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml

one whole --permits 1 --threads 1
one threads --permits 2 --threads 1
same_pair whole threads

PORT=$(free_port)
distributed "$PORT"
start server "$FEDMQ" server --cfg $CFG --directory "$WORK/tcp" outdir "$WORK" "${OVER_TCP[@]}"
SERVER=$PID
# One is told nothing but the address, one has the configuration, whose model it does not find.
for k in 1 3; do bare "client-$k" "$FEDMQ" client --id $k --broker "tcp://127.0.0.1:$PORT"; done
bare client-2 "$FEDMQ" client --id 2 --cfg "$SOURCE/$CFG" "${OVER_TCP[@]}"
gone "$SERVER" 120 server
for pid in "${STARTED[@]}"; do gone "$pid" 20 client; done
grep -q 'ended round=3' "$WORK/tcp/run.log" || fail "the server did not finish"
same_pair whole tcp

for k in 1 2 3; do
    LOG=$WORK/client-$k.log
    grep -q 'fetching-layers part=1 of=6' "$LOG" || fail "client $k did not fetch its layers"
    grep -q 'engine full-model=none layers=3 of=4' "$LOG" || fail "client $k is not without a model"
    grep -q 'the run has ended: finished after 3 rounds' "$LOG" || fail "client $k did not finish"
    NEW=$(sed -nE 's/.* trained .*emulator=([0-9a-f]{12}).*/\1/p' "$LOG" | sort -u | wc -l)
    [ "$NEW" -eq 3 ] || fail "client $k saw $NEW emulators in 3 rounds"
    # The first step has nothing to pull back to; the metric is that of the last.
    grep "\"source\":\"client-$k\"" "$WORK/tcp/metrics.jsonl" |
        grep -qE '"train_proximal_loss":[0-9.]*[1-9]' || fail "client $k trained without the regulariser"
done
[ "$(losses tcp | wc -l)" -eq 5 ] || fail "there are not 2 + 3 blocks of alignment"
cmp <(grep -o '"emulator.test_avg_loss":[^,]*' "$WORK/whole/metrics.jsonl" | sort) \
    <(grep -o '"emulator.test_avg_loss":[^,]*' "$WORK/tcp/metrics.jsonl" | sort) || fail "the runs measured differently"
echo "three runs, one adapter, one emulator; clients without a model"
