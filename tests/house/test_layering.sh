#!/usr/bin/env bash
# The walls of the house: arrows point down only (actors -> {llm, broker} -> base).
# Fails with the offending lines.
set -u
cd "$1"
bad=0

# forbid WHERE PATTERN WHY: no #include in WHERE may match PATTERN.
forbid() {
    local rows
    rows=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)" $1 --include='*.[ch]' --include='*.cu')
    if [ -n "$rows" ]; then
        printf '%s\n%s\n' "$3:" "$rows"
        bad=1
    fi
}

fabric='zmq|czmq|zyre|msgpack'
forbid "base include/fedmq/base" "$fabric|(fedmq/)?(llm|broker|actors)/" \
       "base/ may know nothing above it"
forbid "llm include/fedmq/llm" "$fabric|yaml|(fedmq/)?(broker|actors)/|fedmq/base/config" \
       "llm/ may know no sockets, no YAML and no configuration"
forbid "broker include/fedmq/broker" "yaml|(fedmq/)?(llm|actors)/|fedmq/base/config" \
       "broker/ may know no language models and no configuration"
forbid "base llm broker actors" "(\.\./)+tests/" "code may not include tests"

# The rooms of actors/, from the ground up: none includes a room above it.
above='actors/(launcher|server|client|evaluator|splitter)/'
forbid "actors/protocol actors/settings" "$above|actors/(strategy|model_transfer|storage|evaluation|runtime)/" \
       "what actors say, and their settings, stand on no other room"
forbid "actors/runtime" "$above|actors/(strategy|model_transfer|storage|evaluation|settings)/" \
       "runtime/ stands on protocol/ alone"
forbid "actors/evaluation" "$above|actors/(strategy|model_transfer|storage)/" \
       "evaluation/ may know no disk, no method and no actor"
forbid "actors/storage" "zmq|czmq|fedmq/broker/(link|router)|$above|actors/(strategy|model_transfer|runtime)/" \
       "storage/ may know no socket, no method and no actor"
forbid "actors/strategy actors/model_transfer" "$above" "methods and the transfer of models may know no actor"

# What is said to an actor is in its table (protocol/inbound.h), and nowhere else.
rows=$(grep -rnE 'event(->|\.)topic' actors/client actors/evaluator actors/splitter actors/model_transfer actors/launcher \
       --include='*.c')
if [ -n "$rows" ]; then
    printf 'messages are taken by a table of fmq_inbound_t:\n%s\n' "$rows"
    bad=1
fi

# Only main ends the process; what a peer or a file says is never asserted.
rows=$(grep -rnE '\b(exit|_exit|quick_exit)[[:space:]]*\(' base llm broker actors --include='*.[ch]' |
       grep -v '^actors/launcher/main\.c:' | grep -vE '^\S+\s*(\*|/\*|//)')
if [ -n "$rows" ]; then
    printf 'only actors/launcher/main.c may end the process:\n%s\n' "$rows"
    bad=1
fi
exit $bad
