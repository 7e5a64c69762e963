#!/usr/bin/env bash
# Evaluators that cannot measure, with the configuration that is shipped for several processes: one
# without records, one whose records are of no use, one of another adapter.  Each says why on both
# sides and ends so, and the server does not wait for it; for one that measures it does, aloud.
set -euo pipefail
. "$2/tests/integration/lib.sh"
PORT=$(free_port)
distributed "$PORT"
HOST=tcp://127.0.0.1:$PORT
DATA=configs/quickstart/data
WITH=("${OVER_TCP[@]}" federate.client_num 1 federate.total_round_num 2)
LONG=$WORK/long.jsonl
echo "{\"instruction\": \"$(printf 'word %.0s' $(seq 300))\", \"output\": \"never\"}" >"$LONG"

# serve NAME OPTION...: the shipped server without a splitter; its evaluator has no records then.
serve() {
    local name=$1
    shift
    start "$name" "$FEDMQ" server --cfg configs/quickstart/server.yaml --directory "$WORK/$name" \
        --no-splitter "${WITH[@]}" "$@"
    SERVER=$PID
    LOG=$WORK/$name/run.log
    until_line "$LOG" 'server up' 60 "$SERVER"
}
# train NAME: the only client, with data of its own; the run goes on to its end.
train() {
    start "$1" "$FEDMQ" client --cfg configs/quickstart/client.yaml --id 1 --data $DATA/heldout.jsonl "${WITH[@]}"
}
# ended NAME STATUS PATTERN SECONDS PID: that evaluator's end and last line.
ended() {
    local status=0
    gone "$5" "$4" "$1"
    wait "$5" 2>/dev/null || status=$?
    [ $status -eq "$2" ] || fail "$1 ended with status $status, not $2"
    tail -n 1 "$WORK/$1.log" | grep -qE -- "$3" || fail "$1: its last line does not say '$3'"
}
# attach NAME OPTION...: an evaluator, a child of this shell.
attach() {
    local name=$1
    shift
    "$FEDMQ" evaluator --attach "$HOST" --name "$name" "$@" >"$WORK/$name.log" 2>&1 &
    PID=$!
    STARTED+=("$PID")
}

serve idle
attach waits
WAITS=$PID
attach useless --data "$LONG"
ended useless 2 'there is nothing to evaluate.*llm.tok_len' 60 "$PID"
attach other llm.adapter.args "[{adapter_package: peft, adapter_method: lora, r: 2, lora_alpha: 4}]"
ended other 7 'at the server' 60 "$PID"
until_line "$LOG" 'warning server evaluator-failed name=evaluator-useless reason=".*llm.tok_len' 20 "$SERVER"
until_line "$LOG" 'warning server evaluator-failed name=evaluator-other reason=".*at the server' 20 "$SERVER"
for who in 1 waits; do
    until_line "$LOG" "warning server evaluator-measures-nothing name=evaluator-$who reason=\"it has no records" 20 "$SERVER"
done
until_line "$WORK/waits.log" 'warning evaluator-waits measures-nothing reason="it has no records.*--data FILE' 20 "$WAITS"
train idle-client
gone "$SERVER" 60 "the server of evaluators without records"
! grep -qE 'waiting for evaluator|evaluator-given-up' "$WORK/idle.log" || fail "the server waited for who measures nothing"
ended waits 9 'before anything was measured: it has no records' 20 "$WAITS"

serve own --no-evaluator
attach measures --data $DATA/heldout.jsonl fedmq.match_tokens 64
MEASURES=$PID
until_line "$LOG" 'server evaluator-ready name=evaluator-measures' 60 "$SERVER"
until_line "$WORK/measures.log" '"round":0' 60 "$MEASURES"
kill -STOP "$MEASURES"
train own-client
until_line "$WORK/own.log" 'waiting for evaluator-measures to measure round 2: [0-9]+ s at most without a step' 60 "$SERVER"
kill -CONT "$MEASURES"
gone "$SERVER" 60 "the server of an evaluator that measures"
ended measures 0 '"round":2' 20 "$MEASURES"
echo "nobody waited for who measures nothing"
