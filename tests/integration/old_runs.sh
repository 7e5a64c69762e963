#!/usr/bin/env bash
# Run directories of earlier programs, each as a kill -9 left it in its third round of four, go on and
# end in the bytes in which that program ended.  They are committed (old_runs/) and never made anew:
# what this test proves is that a newer program reads them.
set -euo pipefail
. "$2/tests/integration/lib.sh"

# goes_on NAME OLD: resumes a copy of an old run.
goes_on() {
    cp -r tests/integration/old_runs/"$2" "$WORK/$1"
    chmod -R u+w "$WORK/$1"
    [ "$1" = "$2" ] || "prepare_$1" "$WORK/$1"
    "$FEDMQ" run --resume --directory "$WORK/$1" >>"$WORK/$1.log" 2>&1 || fail "'$1' ended with status $?"
    grep -q 'ended round=4 reason="finished"' "$WORK/$1/run.log" || fail "'$1' has not finished"
    grep -q "resumed run=.* round=${3:-2} skipped=0" "$WORK/$1/run.log" || fail "'$1' began anew"
}
is() { [ "$(sha256sum <"$1" | cut -c1-16)" = "$2" ] || fail "$1 differs from what its own program made"; }

# Killed after one of three updates had come; and after the round before was closed, before its checkpoint.
goes_on average average
is "$WORK/average/adapter/adapter_model.safetensors" c5e25086ac39bb18
prepare_closed() { rm -r "$1/checkpoints/round-000002.state" "$1/journal/round-000002"; }
goes_on closed average 1
is "$WORK/closed/adapter/adapter_model.safetensors" c5e25086ac39bb18
grep -q 'trained round=1' "$WORK/closed/run.log" && fail "a closed round was trained again"

# Every client's own state, of which one is a round behind the others.
goes_on local local
is "$WORK/local/clients/client-1/adapter_model.safetensors" 0b63d050cf6bc964
is "$WORK/local/clients/client-2/adapter_model.safetensors" 5d769b7d34373365
is "$WORK/local/clients/client-3/adapter_model.safetensors" ad686ff727961f15

# An emulator, and the one of round 0 that clients keep.
goes_on released released
is "$WORK/released/adapter/adapter_model.safetensors" bc511d91242cf227
echo "runs of earlier programs go on"
