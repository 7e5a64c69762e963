#!/usr/bin/env bash
# What a server meets: noise on its port, idle connections, a client of another model or adapter, two
# with one name, one too many, another server on its port.  Each is refused by name; the run goes on
# and its adapter is that of a run without such company.
set -euo pipefail
. "$2/tests/integration/lib.sh"
PORT=$(free_port)
distributed "$PORT"
WITH=(--cfg $CFG "${OVER_TCP[@]}" outdir "$WORK")

# refused NAME STATUS PATTERN COMMAND...: must end so, with that in its output.
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    status_of "$name" "$@"
    [ $STATUS -eq "$wanted" ] || fail "$name: status $STATUS, not $wanted"
    grep -qE -- "$pattern" "$WORK/$name.log" || fail "$name: nothing says '$pattern'"
}

refused open-to-all 8 'insecure' "$FEDMQ" server "${WITH[@]}" distribute.server_host 0.0.0.0
refused open-to-all-too 8 'insecure' "$FEDMQ" run --cfg $CFG outdir "$WORK" --listen "tcp://0.0.0.0:$PORT"

start server "$FEDMQ" server "${WITH[@]}" expname run
SERVER=$PID
until_line "$WORK/run/run.log" 'server up' 60 $SERVER
refused same-port 4 'Address already in use' "$FEDMQ" server "${WITH[@]}"

"$FEDMQ" init --config configs/quickstart/model/config.json --tokenizer configs/quickstart/model \
    --seed 5 --out "$WORK/model" >"$WORK/init.log" 2>&1 || fail "fedmq init"
refused other-rank 7 "'r' is 4 at the server, 8 here" "$FEDMQ" client --id 1 "${WITH[@]}" \
    llm.adapter.args "[{adapter_package: peft, adapter_method: lora, r: 8, lora_alpha: 8}]"
refused other-model 7 'differ' "$FEDMQ" client --id 1 "${WITH[@]}" model.type "$WORK/model"
refused not-of-this-run 7 'none of this run' "$FEDMQ" client --id 4 "${WITH[@]}" federate.client_num 5
until_line "$WORK/server.log" 'client-refused name=client-4' 10
until_line "$WORK/server.log" "listening at tcp://127.0.0.1:$PORT" 10
until_line "$WORK/server.log" 'client-1, client-2, client-3 have not joined' 10
refused too-many 2 'client_num is 3' "$FEDMQ" client --id 9 "${WITH[@]}"

start client-1 "$FEDMQ" client --id 1 "${WITH[@]}"
until_line "$WORK/client-1.log" 'client-1 data' 60 "$PID"
refused same-name 8 "'client-1' is taken" "$FEDMQ" client --id 1 "${WITH[@]}"

for i in 1 2 3; do
    head -c 100000 /dev/urandom >"/dev/tcp/127.0.0.1/$PORT" || true
    # A good ZMTP greeting and then noise.
    { printf '\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL'; head -c 48 /dev/zero; head -c 100000 /dev/urandom; } \
        >"/dev/tcp/127.0.0.1/$PORT" || true
done 2>/dev/null
IDLE=()
for i in $(seq 50); do
    exec {descriptor}<>"/dev/tcp/127.0.0.1/$PORT"
    IDLE+=("$descriptor")
done

start client-2 "$FEDMQ" client --id 2 "${WITH[@]}"
start client-3 "$FEDMQ" client --id 3 "${WITH[@]}"
gone $SERVER 120 server
grep -q 'ended round=3' "$WORK/run/run.log" || fail "the server did not finish"
one alone
same alone run
echo "the server kept its own"
