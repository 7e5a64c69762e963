#!/usr/bin/env bash
# Little memory, few files, few threads: a run ends as it should or with status 12 and what to raise.
# It never crashes, aborts or hangs, and it raises by itself what it may raise.
set -euo pipefail
. "$2/tests/integration/lib.sh"

# limited NAME 'ulimit ...' KEY VALUE...: a run under that limit; its status is then $STATUS.
limited() {
    local name=$1 limit=$2
    shift 2
    rm -rf "${WORK:?}/$name"
    status_of "$name" bash -c "$limit && exec \"\$@\"" bash \
        "$FEDMQ" run --cfg $CFG outdir "$WORK" expname "$name" federate.total_round_num 1 eval.freq 1000 \
        train.local_update_steps 1 "$@"
}

# refused NAME PATTERN: the last one ended with 12 and says so.
refused() {
    [ "$STATUS" -eq 12 ] || fail "$1: status $STATUS, not 12"
    tail -n 1 "$WORK/$1.log" | grep -qE -- "$2" || fail "$1: '$(tail -n 1 "$WORK/$1.log")' does not say '$2'"
}

# Files: what a process needs is known before the first actor is started, and clients need none.
limited files 'ulimit -n 32' federate.client_num 20
refused files "this process needs [0-9][0-9] open files, and 'ulimit -n' allows 32: raise it to [0-9][0-9]"
limited many 'ulimit -n 80' federate.client_num 100 federate.sample_client_num 3
[ "$STATUS" -eq 0 ] || fail "a hundred clients need more than 80 files: status $STATUS"
limited soft 'ulimit -Sn 40' federate.client_num 20
[ "$STATUS" -eq 0 ] || fail "a soft limit of files was not raised: status $STATUS"

# Threads: root has no such limit, so root tries as somebody else.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    chmod 711 "$WORK"
    mkdir -m 777 "$WORK/threads"
    if setpriv --reuid=65533 --clear-groups "$FEDMQ" version >"$WORK/version.log" 2>&1; then
        status_of threads setpriv --reuid=65533 --clear-groups bash -c 'ulimit -u 12 && exec "$@"' bash \
            "$FEDMQ" run --cfg $CFG outdir "$WORK/threads" expname threads
        refused threads "this process needs [0-9]+ threads, and the system gives [0-9]+ .*'ulimit -u' 12"
    else
        echo "threads: not tried, another user cannot run $FEDMQ"
    fi
else
    echo "threads: not tried, only root can become a user that nothing else runs as"
fi

# Memory: sanitizers take terabytes of address space, so a limit on it says nothing about them.
if nm -D "$FEDMQ" 2>/dev/null | grep -E '__(asan|tsan)_' >/dev/null; then # -q ends nm with a signal
    echo "memory: not tried with a sanitizer"
    exit 0
fi
few=0 enough=0
for kilobytes in $(seq 30000 10000 100000) $(seq 100000 1500 130000) $(seq 150000 50000 600000); do
    limited memory "ulimit -v $kilobytes"
    case $STATUS in
    0) enough=$((enough + 1)) ;;
    12)
        few=$((few + 1))
        tail -n 1 "$WORK/memory.log" | grep -qE "raise|libfedmq|shared libraries" ||
            fail "ulimit -v $kilobytes: '$(tail -n 1 "$WORK/memory.log")' does not say what to raise"
        ;;
    127) ;; # less than the libraries need: the loader's words
    *) fail "ulimit -v $kilobytes: status $STATUS" ;;
    esac
done
[ $few -gt 5 ] && [ $enough -gt 5 ] || fail "$few runs had too little memory and $enough enough: try other limits"

# What training needs is said, and the run of a process ends with its client.
limited training 'ulimit -v 300000' dataloader.batch_size 512
refused training "client-[0-9]: out of memory for .*workspace of [0-9]+ bytes.*raise 'ulimit -v' \\(300000 KiB\\)"

# A signal is heard under limits too.
start signal bash -c 'ulimit -v 300000 && exec "$@"' bash "$FEDMQ" run --cfg $CFG outdir "$WORK" expname signal \
    federate.total_round_num 1000
until_line "$WORK/signal/run.log" 'round-closed round=1 ' 30 "$PID"
kill "$PID"
gone "$PID" 10 "a run that was asked to stop"
grep -q 'interrupted; go on with' "$WORK/signal.log" || fail "a run under a limit did not hear SIGTERM"
echo "$few limits too low, $enough high enough, none of them a crash"
