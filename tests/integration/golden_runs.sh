#!/usr/bin/env bash
# A handful of small runs give the bytes that they gave when they were recorded.  A change that is
# not meant to change results leaves this alone; one that is meant to brings the new digests, which
# the test prints.  With the portable kernels, so that every machine computes the same.
set -euo pipefail
. "$2/tests/integration/lib.sh"
export FEDMQ_CPU=portable
OFFSITE=tests/integration/offsite.yaml

# golden NAME DIGEST CFG KEY VALUE...: the adapter of a run.
CHANGED=0
compare() {
    [ "$3" = "$2" ] && return
    echo "run '$1' gave $3 where $2 was recorded"
    CHANGED=1
}
golden() {
    local name=$1 digest=$2
    CFG=$3
    shift 3
    one "$name" "$@"
    compare "$name" "$digest" "$(sha256sum "$WORK/$name"/adapter/*.safetensors | cut -c1-16)"
}

DEALT=(data.splitter iid)
golden meta f995c81fa18cb1cf $CFG
golden average 1ace427567a3a744 tests/integration/federation.yaml "${DEALT[@]}"
golden sampled d17bf6a1d28b975c tests/integration/federation.yaml "${DEALT[@]}" federate.sample_client_num 2 federate.total_round_num 4
golden halves 575eec7f265bb822 tests/integration/federation.yaml "${DEALT[@]}" fedmq.codec f16 train.optimizer.type SGD
golden full 00049d3559f984bf tests/integration/federation.yaml "${DEALT[@]}" llm.adapter.use False federate.total_round_num 1
golden fedbiot 5dcc041edd480f0c $OFFSITE "${DEALT[@]}"

# What each client has trained for itself shows in what it measures in the last round.
CFG=tests/integration/federation.yaml
one local "${DEALT[@]}" federate.method local
compare local 89eab43b388267cc "$(grep -E '"round":3,"source":"client-[0-9]+","form":"raw"' "$WORK/local/metrics.jsonl" |
    grep -oE '"source":"[^"]+"|"(val|test)_avg_loss":[0-9.]+' | sha256sum | cut -c1-16)"

[ $CHANGED -eq 0 ] || fail "results have changed"
echo "seven runs as they were recorded"
