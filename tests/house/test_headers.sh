#!/usr/bin/env bash
# Every public header compiles alone, included twice, as C17 and as C++17, without a warning.
set -euo pipefail
source=$1 cc=$2
command -v c++ >/dev/null || { echo "skipped: there is no C++ compiler (c++)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bad=0 headers=0
strict=(-Wall -Wextra -Wpedantic -Wstrict-aliasing -Werror -fsyntax-only -I "$source/include")
for header in $(cd "$source/include" && find fedmq -name '*.h' | sort); do
    headers=$((headers + 1))
    printf '#include <%s>\n#include <%s>\nint alone;\n' "$header" "$header" >"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cc"
    "$cc" -std=c17 "${strict[@]}" "$work/alone.c" || { echo "^ $header as C17"; bad=1; }
    c++ -std=c++17 "${strict[@]}" "$work/alone.cc" || { echo "^ $header as C++17"; bad=1; }
done
echo "$headers headers"
[ "$headers" -gt 30 ] && exit $bad
echo "these are not all the headers" && exit 1
