#!/usr/bin/env bash
# Installs the build, moves the installed tree elsewhere, and builds programs against it as others do:
# one in C and one in C++, each with find_package(fedmq) and with pkg-config, which must all print the
# same; and examples/fine_tune.c, which must learn what it is shown.
set -euo pipefail
source=$1 build=$2 sanitize=$3
if [ -n "$sanitize" ]; then
    echo "skipped: a library with sanitizers ($sanitize) is not what users install"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
loud() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED: $*"; exit 1; }; }

loud cmake --install "$build" --prefix "$work/first"
mkdir "$work/moved here"
mv "$work/first" "$work/moved here/fedmq"
prefix="$work/moved here/fedmq"
if grep -rIlF "$work/first" "$prefix"; then
    echo "FAILED: these name the place where the tree was installed first"
    exit 1
fi

loud cmake -S "$source/tests/house/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix"
loud cmake --build "$work/build"

pc=$(dirname "$(find "$prefix" -name fedmq.pc)")
lib=$(dirname "$(find "$prefix" -name libfedmq.so)")
# with_pkg_config COMMAND...: pkg-config writes a space in a path as '\ '.
with_pkg_config() {
    local flags
    eval "flags=($(PKG_CONFIG_PATH="$pc" pkg-config --cflags --libs fedmq))"
    loud "$@" "${flags[@]}"
}
with_pkg_config cc -std=c17 -o "$work/consumer_c" "$source/tests/house/consumer/main.c"
with_pkg_config c++ -std=c++17 -o "$work/consumer_cc" "$source/tests/house/consumer/main.cc"

expected=
for consumer in "$work/build/consumer_c" "$work/build/consumer_cc" "$work/consumer_c" "$work/consumer_cc"; do
    said=$(LD_LIBRARY_PATH=$lib "$consumer")
    echo "${consumer#"$work/"}: $said"
    [ -n "$said" ] && [ "$said" = "${expected:=$said}" ] || { echo "FAILED: expected '$expected'"; exit 1; }
done
"$prefix/bin/fedmq" version

with_pkg_config cc -std=c17 -Wall -Wextra -Wpedantic -Werror -o "$work/fine_tune" "$(find "$prefix" -name fine_tune.c)"
# An extension needs the installed headers alone.
loud cc -std=c17 -Wall -Wextra -Wpedantic -Werror -shared -fPIC -I "$prefix/include" -o "$work/extension.so" \
    "$(find "$prefix" -name extension.c)"
"$prefix/bin/fedmq" list samplers --load "$work/extension.so" | grep -q in-turn || { echo "FAILED: an extension is not loaded"; exit 1; }
cat >"$work/data.jsonl" <<'END'
{"instruction": "Work out the total.", "input": "7,1", "output": "8"}
{"instruction": "Work out the total.", "input": "2,3", "output": "5"}
END
LD_LIBRARY_PATH=$lib "$work/fine_tune" "$source/configs/quickstart/model" "$work/data.jsonl" 30 "$work/adapter" |
    tee "$work/said"
grep -q '^before: ' "$work/said" && grep -qx 'after: 8' "$work/said" || { echo "FAILED: it did not learn"; exit 1; }
[ -s "$work/adapter/adapter_model.safetensors" ] || { echo "FAILED: no adapter was saved"; exit 1; }
