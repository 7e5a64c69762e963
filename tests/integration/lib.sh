# lib.sh - what the integration tests share.  A test is started as TEST FEDMQ SOURCE and sources
# this first: it then works from the source folder, has a folder $WORK of its own, and whatever it
# started is killed when it ends.  Waits are upper bounds and stretch with $FEDMQ_PATIENCE.

FEDMQ=$1 SOURCE=$2
PATIENCE=${FEDMQ_PATIENCE:-1}
WORK=$(mktemp -d)
CFG=tests/integration/federation.yaml
STARTED=()
cd "$SOURCE"

finish() {
    local status=$?
    set +e
    for pid in "${STARTED[@]}"; do kill -9 "$pid" 2>/dev/null; done
    wait 2>/dev/null
    if grep -qsE 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$WORK"/*.log; then
        echo "FAILED: a sanitizer complained"
        status=1
    fi
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        for log in "$WORK"/*.log; do
            [ -f "$log" ] && { echo "---- $(basename "$log")"; tail -n 25 "$log"; }
        done
    fi
    chmod -R u+w "$WORK"
    rm -rf "$WORK"
    exit $status
}
trap finish EXIT

fail() { echo "FAILED: $*"; exit 1; }
skip() { echo "SKIPPED: $*"; exit 77; }

# assets NAME: a folder of the shared assets, in $ASSETS/NAME, or the test is skipped.
assets() {
    ASSETS=${FEDMQ_ASSETS:-$SOURCE/../shared/assets}
    [ -e "$ASSETS/$1" ] || skip "there is no '$ASSETS/$1'; set FEDMQ_ASSETS to the folder that holds it"
}

# A port that nobody listens on now, below the range that the kernel hands out.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((10000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
    done
    fail "no free port"
}

# distributed PORT: sets OVER_TCP, the overrides that make processes of a run find each other.
distributed() {
    OVER_TCP=(federate.mode distributed distribute.server_host 127.0.0.1 distribute.server_port "$1")
}

# start NAME COMMAND...: in the background, output to $WORK/NAME.log; its pid is then $PID.
start() {
    local name=$1
    shift
    "$@" >>"$WORK/$name.log" 2>&1 &
    PID=$!
    disown "$PID" 2>/dev/null || true
    STARTED+=("$PID")
}

# one NAME KEY VALUE...: the test's run in one process, from start to end, in $WORK/NAME.
one() {
    local name=$1
    shift
    "$FEDMQ" run --cfg $CFG outdir "$WORK" expname "$name" "$@" >>"$WORK/$name.log" 2>&1 ||
        fail "run '$name' ended with status $?"
}

# killed PID: with SIGKILL, and gone when this returns.
killed() {
    kill -9 "$1" 2>/dev/null || fail "process $1 had ended before it could be killed"
    gone "$1" 10 "a killed process"
}

# gone PID SECONDS NAME: waits until a process is no more.
gone() {
    local i
    for ((i = 0; i < $2 * 10 * PATIENCE; i++)); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    fail "$3 is still running after $(($2 * PATIENCE)) s"
}

# status_of NAME COMMAND...: runs to the end (60 s at most), output to $WORK/NAME.log, status to $STATUS.
status_of() {
    local name=$1
    shift
    STATUS=0
    timeout -k 5 $((60 * PATIENCE)) "$@" >"$WORK/$name.log" 2>&1 || STATUS=$?
}

# until_line FILE PATTERN SECONDS [PID]: waits for a line, as long as PID lives.
until_line() {
    local i
    for ((i = 0; i < $3 * 10 * PATIENCE; i++)); do
        grep -qE -- "$2" "$1" 2>/dev/null && return 0
        [ -z "${4:-}" ] || kill -0 "$4" 2>/dev/null || {
            grep -qE -- "$2" "$1" 2>/dev/null && return 0
            fail "its process ended before the line '$2' in $(basename "$1")"
        }
        sleep 0.1
    done
    fail "no line '$2' in $(basename "$1") within $(($3 * PATIENCE)) s"
}

# same A B: two runs left the same adapter and the same metrics of the last round.
same() {
    local file
    for file in adapter_model.safetensors adapter_config.json; do
        [ -s "$WORK/$1/adapter/$file" ] || fail "run '$1' left no $file"
        cmp "$WORK/$1/adapter/$file" "$WORK/$2/adapter/$file" || fail "runs '$1' and '$2' differ in $file"
    done
}

# bare NAME COMMAND...: as start, but in an empty folder $WORK/NAME.home that is $HOME too: a process
# that finds no model and has no layers of former runs.
bare() {
    local name=$1
    shift
    mkdir -p "$WORK/$name.home"
    (cd "$WORK/$name.home" && HOME=$WORK/$name.home && unset XDG_CACHE_HOME HF_HOME HF_HUB_CACHE &&
        exec env HOME="$HOME" "$@") >>"$WORK/$name.log" 2>&1 &
    PID=$!
    disown "$PID" 2>/dev/null || true
    STARTED+=("$PID")
}

# vectors NAME: the adapter's and the emulator's vectors in the newest checkpoint of a run.
vectors() {
    local file bytes
    file=$WORK/$1/checkpoints/$(ls "$WORK/$1/checkpoints" | tail -n 1)
    bytes=$(sed -nE 's/.* engine .* trained=([0-9]+) emulator=([0-9]+) .*/\1 \2/p' "$WORK/$1/run.log" |
        tail -n 1 | awk '{print 4 * ($1 + $2) + 40}')
    [ -n "$bytes" ] || fail "run '$1' does not say how much it trains"
    tail -c $((bytes + 32)) "$file" | head -c "$bytes"
}

# same_pair A B: as same, and the emulators and how they were aligned too.
same_pair() {
    same "$1" "$2"
    cmp <(vectors "$1") <(vectors "$2") || fail "runs '$1' and '$2' differ in their emulators"
    cmp <(losses "$1") <(losses "$2") || fail "runs '$1' and '$2' were aligned differently"
}

# losses NAME: of every block of alignment, each once.
losses() {
    grep '"form":"align"' "$WORK/$1/metrics.jsonl" | sed -E 's/.*("round":[0-9]+).*("align_loss":[^,]+).*("align_block":[0-9.]+).*/\1 \3 \2/' | sort -u
}
