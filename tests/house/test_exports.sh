#!/usr/bin/env bash
# libfedmq exports the functions that the public headers declare: each of them, and no other; and a
# C++ program that includes those headers finds them all.
set -euo pipefail
source=$1 library=$2 sanitize=${3:-}
if [ -n "$sanitize" ]; then
    echo "skipped: a library with sanitizers ($sanitize) exports what they need too"
    exit 77
fi
command -v gcc >/dev/null || { echo "skipped: only gcc lists what a header declares (-aux-info)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$source/include"
find fedmq -name '*.h' | sort | sed 's/.*/#include "&"/' >"$work/all.c"
gcc -std=c17 -I. -fsyntax-only -aux-info "$work/declared.all" "$work/all.c"
# /* fedmq/base/clock.h:18:NC */ extern int64_t fmq_clock_ms (void);
grep -E '^/\* (\./)?fedmq/[^:]*:[0-9]+:N[A-Z] \*/ extern ' "$work/declared.all" |
    sed -E 's/^[^*]*\*[^*]*\*\/ extern //; s/__attribute__ *\(\([^)]*\)\)//g; s/[(;].*//; s/ *$//; s/.*[ *]//' |
    sort -u >"$work/declared"
nm -D --defined-only "$library" | awk '{print $3}' | sort -u >"$work/exported"

bad=0
[ -s "$work/declared" ] || { echo "no function is declared in $source/include"; bad=1; }
if comm -13 "$work/declared" "$work/exported" | grep .; then
    echo "^ exported, but no header in include/ declares it: is its declaration between FMQ_API_BEGIN"
    echo "  and FMQ_API_END of a header that is not public?"
    bad=1
fi
if comm -23 "$work/declared" "$work/exported" | grep .; then
    echo "^ declared in include/, but not exported: its header lacks FMQ_API_BEGIN, or nothing defines it"
    bad=1
fi
if [ $bad -eq 0 ] && command -v c++ >/dev/null; then
    {
        cat "$work/all.c"
        echo 'void (*const all[])(void) = {'
        sed 's/.*/reinterpret_cast<void (*)(void)>(\&&),/' "$work/declared"
        echo '}; int main() { return all[0] == nullptr; }'
    } >"$work/all.cc"
    c++ -std=c++17 -I. -o "$work/all" "$work/all.cc" "$library" -Wl,--unresolved-symbols=ignore-in-shared-libs ||
        { echo "^ a C++ program cannot use the library"; bad=1; }
fi
echo "$(wc -l <"$work/declared") functions declared, $(wc -l <"$work/exported") exported"
exit $bad
