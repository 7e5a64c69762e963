#!/usr/bin/env bash
# Who joins says where it looks for its server, what it finds there, and gives up where a limit says
# so: nobody, another program that is silent or speaks, another version of fedmq, a router without a
# run; and it joins a server that comes later.
set -euo pipefail
. "$2/tests/integration/lib.sh"
PORT=$(free_port)
distributed "$PORT"
WITH=(--cfg $CFG "${OVER_TCP[@]}" federate.client_num 1 federate.total_round_num 1 eval.freq 100
    train.local_update_steps 1 outdir "$WORK")
HERE="127\\.0\\.0\\.1:$PORT"

# gives_up NAME PATTERN COMMAND...: ends with status 9, naming the address and what is there.
gives_up() {
    local name=$1 pattern=$2
    shift 2
    status_of "$name" "$@" fedmq.connect_timeout 1
    [ $STATUS -eq 9 ] || fail "$name: status $STATUS, not 9"
    grep -E -- "$HERE" "$WORK/$name.log" | grep -qE -- "$pattern" || fail "$name: nothing says '$pattern'"
}

# A client that waits without a limit, for the line after 5 s and the server that comes in the end.
start patient "$FEDMQ" client --id 1 "${WITH[@]}"
PATIENT=$PID

gives_up client 'refused' "$FEDMQ" client --id 1 "${WITH[@]}"
gives_up client-asks 'refused' "$FEDMQ" client --id 1 --broker "tcp://127.0.0.1:$PORT"
gives_up evaluator 'refused' "$FEDMQ" evaluator --attach "tcp://127.0.0.1:$PORT"
gives_up splitter 'refused' "$FEDMQ" splitter "${WITH[@]}"
gives_up server 'refused' "$FEDMQ" server "${WITH[@]}" --broker "tcp://127.0.0.1:$PORT" \
    --directory "$WORK/alone"

until_line "$WORK/patient.log" "no-answer endpoint=tcp://$HERE.*refused" 30 $PATIENT
start real "$FEDMQ" server "${WITH[@]}" expname run
gone $PATIENT 60 "the client that was there first"
grep -q 'the run has ended: finished' "$WORK/patient.log" || fail "the patient client did not take part"
gone "$PID" 20 server

# stranger NAME: another program at the port, in python.
STRANGER='
import socket, sys, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[2]))); s.listen(); print("listens", flush=True)
def host(c):
    if sys.argv[1] == "ssh": c.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    while c.recv(4096):
        if sys.argv[1] == "http": c.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
while True: threading.Thread(target=host, args=(s.accept()[0],), daemon=True).start()'
for kind in ssh http silent; do
    start "$kind" python3 -c "$STRANGER" $kind "$PORT"
    until_line "$WORK/$kind.log" listens 10 "$PID"
    case $kind in
    ssh) gives_up client-ssh 'SSH-2.0-OpenSSH' "$FEDMQ" client --id 1 "${WITH[@]}" ;;
    http) gives_up client-http 'HTTP/1.0 400|another program' "$FEDMQ" client --id 1 "${WITH[@]}" ;;
    silent) gives_up client-silent 'says nothing' "$FEDMQ" client --id 1 "${WITH[@]}" ;;
    esac
    killed "$PID"
done

# A router whose server never comes.
start broker "$FEDMQ" broker --listen "tcp://127.0.0.1:$PORT"
gives_up no-run 'no run' "$FEDMQ" evaluator --attach "tcp://127.0.0.1:$PORT"
echo "nobody waited in silence"
