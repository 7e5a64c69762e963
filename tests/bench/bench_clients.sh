#!/usr/bin/env bash
# Many clients in one process: what a client costs that waits, what a client's round costs, and whether
# memory grows with the rounds.  Prints figures, and fails where memory still grows by more than half a
# KiB a client-round after every client has had a hundred tasks, by when a thread has met all there is
# to keep.
#
# usage: tests/bench/bench_clients.sh [CLIENTS [ROUNDS [SAMPLED]]]     (1000 500 50)
# FEDMQ names the program (build/release/actors/fedmq).
set -euo pipefail
cd "$(dirname "$0")/../.."
clients=${1:-1000} rounds=${2:-500} sampled=${3:-50}
program=${FEDMQ:-build/release/actors/fedmq}
work=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Four records a client are enough for a batch of two.
for ((i = 0; i < 4 * clients + 20; i++)); do
    echo "{\"instruction\": \"Say the number.\", \"input\": \"\", \"output\": \"$i\"}"
done >"$work/data.jsonl"

now() { date +%s.%N; }
seconds() { echo "$1 $2" | awk '{printf "%.2f", $2 - $1}'; }
status() { awk -v name="$1:" '$1 == name {print $2}' "/proc/$pid/status"; } # status NAME: kB
cpu() { awk '{print $14 + $15}' "/proc/$pid/stat"; }                       # 1/100 s
round() { grep -oE 'round-closed round=[0-9]+' "$log" 2>/dev/null | tail -n 1 | grep -oE '[0-9]+$' || echo -1; }

log=$work/run/run.log
begun=$(now)
"$program" run --cfg tests/integration/federation.yaml outdir "$work" expname run \
    data.root "$work" data.type data.jsonl@llm data.splitter iid data.splits '[0.998, 0.001, 0.001]' \
    federate.client_num "$clients" federate.sample_client_num "$sampled" federate.total_round_num "$rounds" \
    train.local_update_steps 1 dataloader.batch_size 2 eval.freq 1000000 llm.tok_len 64 >"$work/out" 2>&1 &
pid=$!
first=-1
while kill -0 "$pid" 2>/dev/null; do
    at=$(round)
    if [ "$at" -ge 0 ] && [ "$first" -lt 0 ]; then
        first=$at first_at=$(now) first_cpu=$(cpu)
        echo "first round closed after $(seconds "$begun" "$first_at") s: $clients clients started and given data"
        echo "threads $(status Threads), files $(ls "/proc/$pid/fd" | wc -l)"
    fi
    if [ "$at" -ge 0 ] && resident=$(status RssAnon) && [ -n "$resident" ]; then
        echo "$at $resident $(now) $(cpu)" >>"$work/samples"
    fi
    sleep 0.5
done 2>/dev/null
ended=$(now)
code=0
wait "$pid" || code=$?
pid=
[ $code -eq 0 ] || { tail -n 3 "$work/out"; exit $code; }

awk -v sampled="$sampled" -v clients="$clients" '
    NR == 1 {r = $1; t = $3; c = $4; m = $2}
    {last = $1; end = $3; cpu = $4; kb = $2; n++; x[n] = $1; y[n] = $2}
    END {
        turns = (last - r) * sampled
        printf "rounds %d to %d: %.2f ms and %.2f ms of a processor a client-round (%d of %d clients a round)\n",
               r, last, (end - t) * 1000 / turns, (cpu - c) * 10 / turns, sampled, clients
        printf "anonymous memory: %.1f MiB at round %d, %.1f MiB at round %d: %.1f KiB a client\n",
               m / 1024, r, kb / 1024, last, kb / clients
        printf "slope over the last four fifths: %.3f KiB a client-round\n", slope(last / 5)
        warm = 100 * clients / sampled
        if (last < 2 * warm) {
            printf "no verdict on leaks: that takes %d rounds\n", 2 * warm
            exit 0
        }
        printf "slope after a hundred tasks a client: %.3f KiB a client-round\n", slope(warm)
        exit slope(warm) > 0.5
    }
    # Of memory, least squares, from that round on.
    function slope(from,    i, k, sx, sy, sxx, sxy) {
        for (i = 1; i <= n; i++)
            if (x[i] >= from) {k++; sx += x[i]; sy += y[i]; sxx += x[i] ^ 2; sxy += x[i] * y[i]}
        return k < 2 ? 0 : (k * sxy - sx * sy) / (k * sxx - sx ^ 2) / sampled
    }' "$work/samples" || { echo "memory grows with the rounds"; leaks=1; }
echo "from the last round to the end of the process: $(seconds "$(tail -n 1 "$work/samples" | cut -d' ' -f3)" "$ended") s"
exit "${leaks:-0}"
