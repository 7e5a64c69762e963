#!/usr/bin/env bash
# Where a server listens and clients find it: host names, IPv6, interfaces, every address; what is
# not this machine's, not there, or taken is refused by saying what to give.
set -euo pipefail
. "$2/tests/integration/lib.sh"
WITH=(--cfg $CFG federate.mode distributed federate.client_num 1 federate.total_round_num 1
    train.local_update_steps 1 eval.freq 100 outdir "$WORK")

# meet NAME SERVER_HOST CLIENT_HOST [OPTION]: a server at one finds a client at the other.
meet() {
    local port
    port=$(free_port)
    start "$1-server" "$FEDMQ" server "${WITH[@]}" "${@:4}" --directory "$WORK/$1" \
        distribute.server_host "$2" distribute.server_port "$port"
    local server=$PID
    status_of "$1-client" "$FEDMQ" client --id 1 "${WITH[@]}" "${@:4}" \
        distribute.server_host "$3" distribute.server_port "$port"
    [ $STATUS -eq 0 ] || fail "$1: a client at '$3' of a server at '$2' ended with $STATUS"
    gone $server 20 "the server of $1"
}

# refused NAME STATUS PATTERN COMMAND...: must end so, with that in its output.
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    status_of "$name" "$@"
    [ $STATUS -eq "$wanted" ] || fail "$name: status $STATUS, not $wanted"
    grep -qE -- "$pattern" "$WORK/$name.log" || fail "$name: nothing says '$pattern'"
}

meet name localhost localhost
meet name-and-number localhost 127.0.0.1
meet interface lo 127.0.0.1
meet everywhere 0.0.0.0 0.0.0.0 --insecure
SIX=$( (exec 3<>/dev/tcp/::1/1) 2>&1 || true)
if [[ $SIX == *refused* ]]; then
    meet six ::1 '[::1]'
    meet six-everywhere '::' '::1' --insecure
else
    echo "skipped: this machine has no IPv6"
fi

SERVER=("$FEDMQ" server "${WITH[@]}")
refused no-such-host 3 "nowhere.invalid.* has no address" "${SERVER[@]}" distribute.server_host nowhere.invalid
refused client-no-such-host 3 "nowhere.invalid.* has no address" "$FEDMQ" client --id 1 "${WITH[@]}" \
    distribute.server_host nowhere.invalid
refused not-ours 4 'no address of this machine' "${SERVER[@]}" --insecure distribute.server_host 192.0.2.1
refused beyond 8 'insecure' "${SERVER[@]}" distribute.server_host 192.0.2.1
refused all-of-six 8 'insecure' "${SERVER[@]}" distribute.server_host '::'
refused host-and-port 2 'server_host' "${SERVER[@]}" distribute.server_host 127.0.0.1:50050
refused no-brackets 2 'brackets' "$FEDMQ" evaluator --attach tcp://::1:50050
refused no-scheme 2 'tcp://' "$FEDMQ" evaluator --attach 127.0.0.1:50050
refused no-port 2 'no port' "$FEDMQ" evaluator --attach tcp://127.0.0.1
PORT=$(free_port)
exec {descriptor}< <(exec python3 -c "
import socket, time
s = socket.socket(); s.bind(('127.0.0.1', $PORT)); s.listen(); print('here', flush=True); time.sleep(60)" 2>/dev/null)
read -r -t 10 _ <&$descriptor || skip "there is no python3"
STARTED+=($!)
refused taken 4 'distribute.server_port' "${SERVER[@]}" distribute.server_host 127.0.0.1 \
    distribute.server_port "$PORT"
echo "names and numbers meet, and what is wrong is refused"
