#!/usr/bin/env bash
# scripts/device-check on the emulated device: every stage that can run without a GPU is right, the
# others say why they are skipped, a stage that fails is told, and a stage's name is checked.
set -euo pipefail
cd "$1"
export OUT=$2/device-check/logs
mkdir -p "$OUT"
fail() { echo "rehearse: $*" >&2; exit 1; }
scripts/device-check --emulated "$2" --skip peers >"$OUT/all.log" 2>&1 || { tail -n 30 "$OUT/all.log"; fail "a stage went wrong"; }
sed -n '/^== device-check/,$p' "$OUT/all.log"
for stage in build conformance ops goldens curve federation steps; do
    grep -qE "^$stage +[0-9]+ s  right" "$OUT/all.log" || fail "the stage '$stage' is not right"
done
for stage in probe memcheck racecheck bench ncu; do
    grep -qE "^$stage +[0-9]+ s  SKIPPED +skipped: " "$OUT/all.log" || fail "the stage '$stage' does not say why it is skipped"
done
FEDMQ_PYTHON=/nowhere/python scripts/device-check --emulated "$2" --only peers >"$OUT/peers.log" 2>&1 || fail "a peer that is missing is wrong"
grep -q 'SKIPPED.*lacks torch' "$OUT/peers.log" || fail "a peer that is missing is not told"
# A device whose module does not answer.
if FEDMQ_PROGRAM=/bin/false scripts/device-check --emulated "$2" --only federation >"$OUT/wrong.log" 2>&1; then
    grep -q 'SKIPPED' "$OUT/wrong.log" || fail "a program that does not run is not told"
fi
rm -f "$2/device-check/golden"
scripts/device-check --emulated "$2" --only goldens >"$OUT/wrong.log" 2>&1 && fail "a stage that fails is right"
grep -q 'WRONG' "$OUT/wrong.log" || fail "a stage that fails is not told"
status=0
scripts/device-check --only nonsense >"$OUT/wrong.log" 2>&1 || status=$?
[ $status -eq 2 ] || fail "a stage that does not exist is taken"
echo "device-check: rehearsed"
