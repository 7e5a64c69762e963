#!/usr/bin/env bash
# Installs the build into an empty prefix and builds a program against it twice: with
# find_package(fedmq) and with pkg-config.  Both must run and print the same.
set -euo pipefail
source=$1 build=$2 sanitize=$3
if [ -n "$sanitize" ]; then
    echo "skipped: a library with sanitizers ($sanitize) is not what users install"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake -S "$source/tests/house/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" \
      >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
by_cmake=$("$work/build/consumer")

pc=$(dirname "$(find "$work/prefix" -name fedmq.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$work/prefix" --cflags --libs fedmq)
# shellcheck disable=SC2086
cc -o "$work/consumer" "$source/tests/house/consumer/main.c" $flags
by_pkg_config=$(LD_LIBRARY_PATH=$(dirname "$pc") "$work/consumer")

echo "find_package: $by_cmake"
echo "pkg-config:   $by_pkg_config"
[ -n "$by_cmake" ] && [ "$by_cmake" = "$by_pkg_config" ]
"$work/prefix/bin/fedmq" version
