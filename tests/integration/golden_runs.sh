#!/usr/bin/env bash
# A handful of small runs give the bytes that they gave when they were recorded.  A change that is
# not meant to change results leaves this alone; one that is meant to brings the new digests, which
# the test prints.  With the kernels of the machine: all of them compute the same.  $FEDMQ_RUNS: only
# those of the runs.
set -euo pipefail
. "$2/tests/integration/lib.sh"
OFFSITE=tests/integration/offsite.yaml

# golden NAME DIGEST CFG KEY VALUE...: the adapter of a run.
CHANGED=0 DONE=0
compare() {
    [ "$3" = "$2" ] && return
    echo "run '$1' gave $3 where $2 was recorded"
    CHANGED=1
}
wanted() { [[ -z "${FEDMQ_RUNS:-}" || " $FEDMQ_RUNS " = *" $1 "* ]]; }
golden() {
    local name=$1 digest=$2
    wanted "$name" || return 0
    DONE=$((DONE + 1))
    CFG=$3
    shift 3
    one "$name" "$@"
    compare "$name" "$digest" "$(sha256sum "$WORK/$name"/adapter/*.safetensors | cut -c1-16)"
}

DEALT=(data.splitter iid)
golden meta 7219b9c61f685db9 $CFG
golden average 076675c75d8c01c3 tests/integration/federation.yaml "${DEALT[@]}"
golden sampled b199f535850bd905 tests/integration/federation.yaml "${DEALT[@]}" federate.sample_client_num 2 federate.total_round_num 4
golden halves 4e7d058054b64742 tests/integration/federation.yaml "${DEALT[@]}" fedmq.codec f16 train.optimizer.type SGD
golden full 2e7c17ed5c3a82e0 tests/integration/federation.yaml "${DEALT[@]}" llm.adapter.use False federate.total_round_num 1
golden fedbiot 85173cceac0cd2bb $OFFSITE "${DEALT[@]}"

# What each client has trained for itself shows in what it measures in the last round.
CFG=tests/integration/federation.yaml
if wanted local; then
    one local "${DEALT[@]}" federate.method local
    compare local ac91f8cc990ccd9f "$(grep -E '"round":3,"source":"client-[0-9]+","form":"raw"' "$WORK/local/metrics.jsonl" |
        grep -oE '"source":"[^"]+"|"(val|test)_avg_loss":[0-9.]+' | sha256sum | cut -c1-16)"
    DONE=$((DONE + 1))
fi

[ $CHANGED -eq 0 ] || fail "results have changed"
[ $DONE -gt 0 ] || fail "none of the runs is called '${FEDMQ_RUNS:-}'"
echo "$DONE runs as they were recorded"
