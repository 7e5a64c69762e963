#!/usr/bin/env bash
# The server of a FedBiOT run is killed while it aligns before the first round, between two rounds
# and in a round, and resumed each time; its clients hold no model and live on.  Adapter, emulator
# and alignments are those of a run that nothing happened to.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CFG=tests/integration/offsite.yaml
ALIGN=llm.offsite_tuning.emu_align.train
WITH=(--cfg $CFG outdir "$WORK" federate.total_round_num 5 $ALIGN.initial_update_rounds 5
      $ALIGN.local_update_steps 4 fedmq.heartbeat 0.3 fedmq.peer_timeout 3)

"$FEDMQ" run --directory "$WORK/whole" "${WITH[@]}" >"$WORK/whole.log" 2>&1 || fail "the whole run"

PORT=$(free_port)
distributed "$PORT"
LOG=$WORK/run/run.log
start server "$FEDMQ" server --directory "$WORK/run" "${WITH[@]}" "${OVER_TCP[@]}"
SERVER=$PID
for k in 1 2 3; do
    bare "client-$k" "$FEDMQ" client --id $k --broker "tcp://127.0.0.1:$PORT"
    CLIENTS[k]=$PID
done
resume() {
    killed "$SERVER"
    start server "$FEDMQ" server --resume --directory "$WORK/run" "${WITH[@]}" "${OVER_TCP[@]}"
    SERVER=$PID
}
until_line "$WORK/run/metrics.jsonl" '"align_block":2' 60 "$SERVER"
resume
! grep -q 'round-began' "$LOG" || fail "the first round had begun before the first kill"
until_line "$LOG" 'round-closed round=1' 60 "$SERVER"
resume
until_line "$LOG" 'round-began round=3' 60 "$SERVER"
sleep 0.1
resume
gone "$SERVER" 120 server
grep -q 'ended round=5' "$LOG" || fail "the server did not finish"
for k in 1 2 3; do gone "${CLIENTS[k]}" 20 "client-$k"; done
[ "$(losses run | wc -l)" -eq 10 ] || fail "there are not 5 + 5 different alignments"
same_pair whole run
echo "three kills, the same adapter and emulator"
