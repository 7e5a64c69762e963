#!/usr/bin/env bash
# With --json every line that a process writes, on standard output as on standard error, is one JSON
# object: of runs that end well, are interrupted or refused, and of command lines that are wrong.
set -euo pipefail
. "$2/tests/integration/lib.sh"
command -v python3 >/dev/null || skip "there is no python3, which parses the lines"

# objects NAME [EVENT...]: every line of both streams is an object with an event (but measurements,
# which have a source), and each EVENT is among them.
objects() {
    python3 - "$WORK/$1.out" "$WORK/$1.err" "${@:2}" <<'END' || fail "$1 does not speak JSON as it should"
import json, sys

events = set()
for path in sys.argv[1:3]:
    for number, line in enumerate(open(path, encoding="utf-8", newline="\n"), 1):
        where = f"{path}:{number}: {line!r}"
        try:
            value = json.loads(line, parse_constant=lambda word: sys.exit(f"{where}: {word}"))
        except ValueError as why:
            sys.exit(f"{where}: {why}")
        if not isinstance(value, dict) or not line.endswith("\n"):
            sys.exit(f"{where}: no object on a line")
        events.add(value.get("event", "measured" if "source" in value else "other"))
missing = set(sys.argv[3:]) - events
if missing or not events or "other" in events:
    sys.exit(f"{sys.argv[1]}: {sorted(missing)} missing among {sorted(events)}")
END
}

# said STATUS NAME COMMAND...: runs it to its end, each stream to a file of its own.
said() {
    local wanted=$1 name=$2 status=0
    shift 2
    timeout -k 5 $((60 * PATIENCE)) "$FEDMQ" "$@" >"$WORK/$name.out" 2>"$WORK/$name.err" || status=$?
    cat "$WORK/$name.out" "$WORK/$name.err" >"$WORK/$name.log"
    [ $status -eq "$wanted" ] || fail "$name ended with status $status, not $wanted"
}

# begun NAME COMMAND...: the same in the background; its pid is then $PID.
begun() {
    local name=$1
    shift
    "$FEDMQ" "$@" >"$WORK/$name.out" 2>"$WORK/$name.err" &
    PID=$!
    STARTED+=("$PID")
}

# A good run, with a key that has no effect.
RUN=(run --json --cfg $CFG)
said 0 good "${RUN[@]}" --directory "$WORK/good" fedmq.match_tokens 2 dataloader.pin_memory True
objects good goodbye round aggregated metrics ended line log keys-without-effect

# Mistakes of a configuration, of whoever reads it: those of the file and those of its meaning.
printf 'federate: {client_num: many}\nnobody: 1\n"\x1b[2J\xff": 2\n' >"$WORK/wrong.yaml"
printf 'federate: {client_num: 3}\nfedmq: {data_fields: "nobody=x"}\n' >"$WORK/strange.yaml"
for file in wrong strange; do
    for command in "run" "server" "client --id 1" "splitter" "config check" "emulator"; do
        # shellcheck disable=SC2086
        said 2 "$file ${command// /-}" $command --json --cfg "$WORK/$file.yaml"
        objects "$file ${command// /-}" mistake error
    done
done
said 0 "right file" config check --json $CFG dataloader.pin_memory True
objects "right file" no-mistakes log
said 0 "short answers" config check --json $CFG llm.tok_len 70
objects "short answers" no-mistakes note

# A resume that is refused leaves the run as it was, and says why.
said 7 refused run --json --resume --directory "$WORK/good" --cfg $CFG seed 8 train.optimizer.lr 3 fedmq.match_tokens 2
objects refused change error
said 3 "nothing to resume" run --json --resume --directory "$WORK/none" --cfg $CFG
objects "nothing to resume" error

# A model that is not there.
for command in "run --directory $WORK/homeless" "config check"; do
    # shellcheck disable=SC2086
    said 3 "no model ${command%% *}" $command --json --cfg $CFG model.type "$WORK/nowhere"
    objects "no model ${command%% *}" error
done
objects "no model config" cannot-start
cp -r configs/quickstart/model "$WORK/endless"
sed -i 's/"eos_token"/"no_token"/' "$WORK/endless/tokenizer_config.json"
for file in config generation_config; do
    [ ! -f "$WORK/endless/$file.json" ] || sed -i 's/"eos_token_id"/"no_token_id"/' "$WORK/endless/$file.json"
done
head -n 3 configs/quickstart/data/heldout.jsonl >"$WORK/three.jsonl"
said 0 endless eval --json --model "$WORK/endless" --data "$WORK/three.jsonl"
python3 -c 'import json, sys; [json.loads(line) for path in sys.argv[1:] for line in open(path)]' \
    "$WORK/endless.out" "$WORK/endless.err" || fail "eval does not speak JSON"
grep -q '"event":"warning"' "$WORK/endless.err" || fail "eval does not warn of a model without an end"

# Command lines that are wrong, also in FS-LLM's form and where --json comes after what is wrong.
said 2 "no option" run --nope --json
said 3 "no file" --cfg "$WORK/none.yaml" --json
said 2 "no command" runn --json
said 8 "not loopback" server --json --cfg $CFG distribute.server_host 0.0.0.0
for name in "no option" "no file" "no command" "not loopback"; do objects "$name" error; done

# A run that is interrupted.  Job control lets the background have SIGINT.
set -m
begun interrupted "${RUN[@]}" --directory "$WORK/interrupted" federate.total_round_num 500
set +m
until_line "$WORK/interrupted.out" '"aggregated"' 60 $PID
STATUS=0
kill -INT $PID
wait $PID || STATUS=$?
[ $STATUS -eq 130 ] || fail "the interrupted run ended with status $STATUS"
objects interrupted waiting round error

# Over tcp, each a process.
PORT=$(free_port)
distributed "$PORT"
WITH=(--json --cfg $CFG outdir "$WORK" federate.client_num 1 "${OVER_TCP[@]}")
begun server server --no-splitter --directory "$WORK/tcp" "${WITH[@]}" --evaluator
SERVER=$PID
begun client client --id 1 "${WITH[@]}"
begun evaluator evaluator --json --attach "tcp://127.0.0.1:$PORT"
EVALUATOR=$PID
until_line "$WORK/evaluator.err" '.' 60 $EVALUATOR
begun splitter splitter "${WITH[@]}"
gone "$SERVER" 120 server
wait
objects server line ended goodbye
objects client log line
objects splitter log
echo "every line is an object"
