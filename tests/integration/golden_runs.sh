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
declare -A EMULATORS=([fedbiot]=30d53cfb733508bc [last]=a7f30211ece1e7a1 [released]=db3fe13711f0e54a)
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
# Its own placement (only the last layers are trained), and as its released code: the emulator is sent once.
golden last 0ecb0d0856350e1f $OFFSITE "${DEALT[@]}" llm.offsite_tuning.emu_l 0 llm.offsite_tuning.emu_r 2
golden released 8c5fdf143cb091f8 $OFFSITE "${DEALT[@]}" fedmq.released_fedbiot True
# A client whose updates are not finite is left out of every round; another weighs as much as any.
golden rejected 72e9618030d5e15a tests/integration/federation.yaml "${DEALT[@]}" client_2.train.optimizer.lr 1e30 client_3.train.local_update_steps 1 federate.ignore_weight True
golden near 577255dbd6eb0b51 tests/integration/federation.yaml "${DEALT[@]}" fedprox.use True fedprox.mu 0.5 federate.sample_client_rate 0.7 fedmq.codec bf16

# The emulators of the last round lie in its checkpoint, behind the adapters.
for name in fedbiot last released; do
    wanted $name || continue
    compare "$name" "${EMULATORS[$name]}" "$(vectors $name | sha256sum | cut -c1-16)"
done

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
