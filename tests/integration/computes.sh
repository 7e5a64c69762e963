#!/usr/bin/env bash
# Clients and evaluators may compute with other frozen weights, or in another precision, than the
# server's settings say: the run goes on, the server's log names each, its terminal the first.
set -euo pipefail
. "$2/tests/integration/lib.sh"
distributed "$(free_port)"
WITH=(--cfg $CFG "${OVER_TCP[@]}" outdir "$WORK" federate.total_round_num 1)

start server "$FEDMQ" server "${WITH[@]}" expname run
SERVER=$PID
start client-1 "$FEDMQ" client --id 1 "${WITH[@]}" fedmq.weights f32 # what auto is at the server
start client-2 "$FEDMQ" client --id 2 "${WITH[@]}" fedmq.weights nf4
until_line "$WORK/run/run.log" 'computes-otherwise name=client-2 key=fedmq.weights there=nf4 here=f32' 60 $SERVER
start evaluator "$FEDMQ" evaluator --attach "tcp://127.0.0.1:${OVER_TCP[5]}" train.is_enable_half True
until_line "$WORK/run/run.log" 'computes-otherwise name=evaluator-[^ ]* key=[^ ]* there=' 60 $SERVER
start client-3 "$FEDMQ" client --id 3 "${WITH[@]}" train.is_enable_half True
gone $SERVER 60 server

grep -q 'ended round=1' "$WORK/run/run.log" || fail "the server did not finish"
grep -q 'computes-otherwise name=client-3 key=train.is_enable_half there=True here=False' "$WORK/run/run.log" ||
    fail "the log does not name client 3"
[ "$(grep -c computes-otherwise "$WORK/run/run.log")" -eq 3 ] || fail "somebody is named twice, or without need"
[ "$(grep -c 'client-2 computes with fedmq.weights nf4, the settings here say f32' "$WORK/server.log")" -eq 1 ] ||
    fail "the terminal does not say once who computes otherwise"
grep -q 'client-3 computes with' "$WORK/server.log" && fail "the terminal says it again"
echo "who computes with something else is named"
