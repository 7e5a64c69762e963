#!/usr/bin/env bash
# examples/extension.c, which docs/extending.md shows, is built against the public headers alone and
# loaded: a run with its method, rule, sampler, splitter and codec ends in the same bytes in one
# process, over tcp and killed twice, and in others than without.  What is no extension is refused.
set -euo pipefail
. "$2/tests/integration/lib.sh"
CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "there is no C compiler ($CC)"

sed -n '/^```c$/,/^```$/{/^```/d;p}' docs/extending.md | cmp - examples/extension.c ||
    fail "the example of docs/extending.md is not examples/extension.c"
cp -r include "$WORK/include"
# built NAME [FLAG ...]: $WORK/NAME.so from $WORK/NAME.c
built() {
    local name=$1
    shift
    "$CC" -std=c17 -Wall -Wextra -Wpedantic -Werror -O2 -fPIC -shared -I "$WORK/include" "$@" \
        -o "$WORK/$name.so" "$WORK/$name.c" 2>>"$WORK/cc.log" || fail "'$name' cannot be built"
}
cp examples/extension.c "$WORK/mine.c"
built mine
MINE=(--load "$WORK/mine.so")

# What it brings is listed, and is part of a configuration only where it is loaded.
for word in 'strategies heavy-ball' 'rules midrange' 'samplers in-turn' 'splitters stripes' 'codecs q8'; do
    read -r kind name <<<"$word"
    "$FEDMQ" list "$kind" "${MINE[@]}" 2>/dev/null | grep -qE "^  $name +[a-zA-Z0-9]" || fail "list $kind has no $name"
    "$FEDMQ" list "$kind" "${MINE[@]}" --json 2>/dev/null | grep -q "\"name\":\"$name\",\"help\":\"" || fail "list --json has no $name"
    [ "$("$FEDMQ" list "$kind" | grep -c " $name ")" = 0 ] || fail "$name is there without --load"
done
HOW=(federate.total_round_num 4 federate.sample_client_num 2 eval.freq 4 train.local_update_steps 4
     federate.method heavy-ball fedmq.extension.momentum 0.5 aggregator.robust_rule midrange
     federate.sampler in-turn data.splitter stripes fedmq.codec q8)
status_of bare "$FEDMQ" run --cfg $CFG outdir "$WORK" expname bare "${HOW[@]}"
[ $STATUS = 2 ] && grep -q "'heavy-ball' is none of .*--load" "$WORK/bare.log" || fail "a method that is not loaded is not refused"
status_of key "$FEDMQ" config check "${MINE[@]}" --cfg $CFG "${HOW[@]}" fedmq.extension.speed 3
[ $STATUS = 2 ] && grep -q 'the extensions that are loaded know momentum here' "$WORK/key.log" || fail "a key that nobody reads is taken"
status_of right "$FEDMQ" config check "${MINE[@]}" --cfg $CFG "${HOW[@]}"
[ $STATUS = 0 ] || fail "config check knows no extensions"
status_of value "$FEDMQ" run "${MINE[@]}" --cfg $CFG outdir "$WORK" expname value "${HOW[@]}" fedmq.extension.momentum 2
[ $STATUS = 2 ] && grep -q "'fedmq.extension.momentum' is 2" "$WORK/value.log" || fail "what an extension refuses is not refused"

one mine "${MINE[@]}" "${HOW[@]}"
grep -q "^loaded $WORK/mine.so (example): federate.method heavy-ball, .*, fedmq.codec q8" "$WORK/mine.log" || fail "it is not said what was loaded"
grep -q 'launcher extension .*heavy-ball' "$WORK/mine/run.log" || fail "run.log does not say what was loaded"
grep -q 'stripes over 3 clients' "$WORK/mine.log" || fail "the splitter was not asked"
# Each part of it makes a difference.
for without in 'federate.method FedAvg' 'federate.sampler uniform' 'data.splitter iid' \
               'fedmq.codec f32' 'fedmq.extension.momentum 0.4'; do
    read -r key value <<<"$without"
    one other "${MINE[@]}" "${HOW[@]}" "$key" "$value"
    ! cmp -s "$WORK/mine/adapter/adapter_model.safetensors" "$WORK/other/adapter/adapter_model.safetensors" ||
        fail "with $without nothing is different"
    rm -r "$WORK/other"
done
one three "${MINE[@]}" "${HOW[@]}" federate.sample_client_num 3 # the middle of two is their mean
one mean "${MINE[@]}" "${HOW[@]}" federate.sample_client_num 3 aggregator.robust_rule fedavg
! cmp -s "$WORK/three/adapter/adapter_model.safetensors" "$WORK/mean/adapter/adapter_model.safetensors" ||
    fail "the rule makes no difference"
# Two of three take turns.
for turn in '0 1 2' '1 1 3' '2 2 3' '3 1 2'; do
    read -r round a b <<<"$turn"
    for k in 1 2 3; do
        trained=$(grep -c "client-$k trained round=$round " "$WORK/mine/run.log" || true)
        [ "$trained" = "$([[ " $a $b " = *" $k "* ]] && echo 1 || echo 0)" ] || fail "client $k trained $trained times in round $round"
    done
done

# Killed in rounds 1 and 3 of one process, and over tcp with the server killed once.
start killed "$FEDMQ" run "${MINE[@]}" --cfg $CFG outdir "$WORK" expname killed "${HOW[@]}"
for round in 1 3; do
    until_line "$WORK/killed/run.log" "round-began round=$round" 60 "$PID"
    killed "$PID"
    [ $round = 3 ] || { status_of unloaded "$FEDMQ" run --resume --directory "$WORK/killed"
                        [ $STATUS != 0 ] || fail "a run goes on without its extension"; }
    start killed "$FEDMQ" run "${MINE[@]}" --resume --directory "$WORK/killed"
done
gone "$PID" 60 killed
same mine killed

distributed "$(free_port)"
WITH=(--cfg $CFG outdir "$WORK" expname apart "${HOW[@]}" "${OVER_TCP[@]}")
start server "$FEDMQ" server "${MINE[@]}" --directory "$WORK/served" "${WITH[@]}"
SERVER=$PID
start client-1 "$FEDMQ" client "${MINE[@]}" --id 1 "${WITH[@]}"
start client-2 "$FEDMQ" client "${MINE[@]}" --id 2 "${WITH[@]}"
start client-3 "$FEDMQ" client "${MINE[@]}" --id 3 --broker "tcp://127.0.0.1:${OVER_TCP[5]}" # the run's own configuration
start watcher "$FEDMQ" evaluator "${MINE[@]}" --attach "tcp://127.0.0.1:${OVER_TCP[5]}"
until_line "$WORK/served/run.log" 'round-began round=2' 60 "$SERVER"
killed "$SERVER"
start server "$FEDMQ" server "${MINE[@]}" --resume --directory "$WORK/served" "${WITH[@]}"
gone "$PID" 60 server
same mine served
until_line "$WORK/watcher.log" '"source":"evaluator-' 30 || fail "an evaluator cannot read what travels"

# What is no extension, or not a right one, in the terminal and as JSON.
refused() {
    local name=$1 status=$2 text=$3
    shift 3
    status_of "$name" "$FEDMQ" list --json "$@"
    [ $STATUS = "$status" ] && grep -qE "$text" "$WORK/$name.log" || fail "'$name' ended with $STATUS, without '$text'"
}
echo "no ELF" >"$WORK/text.so"
mkfifo "$WORK/fifo.so"
echo 'int nothing;' >"$WORK/nothing.c"
built nothing
refused missing 3 "extension 'nowhere.so': No such file" --load nowhere.so
refused text 5 'it cannot be loaded: .*(invalid ELF header|file too short)' --load "$WORK/text.so"
refused fifo 5 'it is no file' --load "$WORK/fifo.so"
refused folder 5 'it is no file' --load "$WORK"
refused nothing 7 'no extension of fedmq: it has no fmq_extension' --load "$WORK/nothing.so"
refused twice 2 "there is a strategy 'heavy-ball' already" "${MINE[@]}" "${MINE[@]}"
# changed NAME SED-SCRIPT: the example with a difference.
changed() { sed -E "$2" examples/extension.c >"$WORK/$1.c"; cmp -s "$WORK/$1.c" examples/extension.c && fail "'$1' changes nothing"; built "$1" -Wno-unused -Wno-error; }
changed old 's/^FMQ_EXTENSION\("example",/&\n              .table = 99,/'
changed sizes 's/^FMQ_EXTENSION\("example",/&\n              .sizes = {1},/'
changed magic 's/^FMQ_EXTENSION\("example",/&\n              .magic = 5,/'
changed clash 's/"in-turn"/"uniform"/'
changed clash_case 's/"heavy-ball"/"fedopt"/'
changed choose 's/in_turn_choose\};/NULL};/'
changed helpless 's/"every client the same of every category"/NULL/'
changed number 's/\.number = 64/.number = 2/'
changed wide 's/return sizeof\(float\) \+ count;/return 5 * count;/'
changed undefined 's/return sizeof\(float\) \+ count;/extern size_t nobody_has_this(void); return nobody_has_this();/'
refused old 7 'version 99 of the extensions.* table, this is version [0-9]+; build it again' --load "$WORK/old.so"
refused sizes 7 'built with other headers' --load "$WORK/sizes.so"
refused magic 7 'no table of an extension' --load "$WORK/magic.so"
refused clash 2 "there is a sampler 'uniform' already" --load "$WORK/clash.so"
refused clash_case 2 "there is a strategy 'fedopt' already" --load "$WORK/clash_case.so"
refused choose 10 "sampler 'in-turn' has no choose\(\)" --load "$WORK/choose.so"
refused helpless 10 "splitter 'stripes' has no help" --load "$WORK/helpless.so"
refused number 10 "codec 'q8' has number 2; extensions' are 64 to 127" --load "$WORK/number.so"
refused wide 10 "codec 'q8' takes 5 bytes for one element" --load "$WORK/wide.so"
refused undefined 5 'nobody_has_this' --load "$WORK/undefined.so"

# What is wrong only when it is asked ends the run with its name.
changed too_many 's/\*count = wanted;/*count = wanted + 1;/'
changed nobody 's/i % deal->clients\)/i)/'
changed deserted 's/i % deal->clients\)/0 * i)/'
for bad in "too_many sampler 'in-turn' was asked for 2 of 3 clients" "nobody splitter 'stripes': .*gave a record to client" \
           "deserted splitter 'stripes': .*left 2 of 3 clients without"; do
    read -r name text <<<"$bad"
    status_of "$name" "$FEDMQ" run --load "$WORK/$name.so" --cfg $CFG outdir "$WORK" expname "$name" "${HOW[@]}"
    [ $STATUS != 0 ] && grep -qE "$text" "$WORK/$name.log" || fail "'$name' ended with $STATUS, without '$text'"
done
echo "a method, rule, sampler, splitter and codec from outside, to the same bytes"
