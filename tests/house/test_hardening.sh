#!/usr/bin/env bash
# Reads the program and the library as they were linked: position independent, addresses read-only
# after the start, no executable stack, guarded stacks, checked buffer functions, and nowhere the path
# of who built them.
set -euo pipefail
source=$1 program=$2 library=$3 type=$4 sanitize=${5:-}
case "$type:$sanitize" in
Release: | RelWithDebInfo: | MinSizeRel:) ;;
*) echo "skipped: build type '$type' with sanitizers '$sanitize' is not what users install"; exit 77 ;;
esac
for tool in readelf strings objcopy; do
    command -v $tool >/dev/null || { echo "skipped: there is no $tool (binutils)"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bad=0
count() { { LC_ALL=C grep -aoP "$2" "$1" || true; } | wc -l; } # count FILE BYTES
wrong() { echo "$(basename "$binary"): $*"; bad=1; }
for binary in "$program" "$library"; do
    readelf -hW "$binary" >"$work/header"
    readelf -lW "$binary" >"$work/segments"
    readelf -dW "$binary" >"$work/dynamic"
    readelf --dyn-syms -W "$binary" >"$work/symbols"
    grep -q 'Type: *DYN' "$work/header" || wrong "is not position independent (-fPIE -pie)"
    grep -q 'GNU_RELRO' "$work/segments" || wrong "has no read-only relocations (-z relro)"
    grep -qE 'BIND_NOW|Flags:.* NOW' "$work/dynamic" || wrong "binds lazily (-z now)"
    grep 'GNU_STACK' "$work/segments" | grep -qE 'RW +0x' || wrong "has an executable stack (-z noexecstack)"
    grep -qE 'RPATH|RUNPATH|TEXTREL' "$work/dynamic" && wrong "has an RPATH, RUNPATH or text relocations"
    grep -q '__stack_chk_fail' "$work/symbols" || wrong "does not guard its stack (-fstack-protector-strong)"
    grep -qE '__(snprintf|vsnprintf|memcpy|read)_chk' "$work/symbols" ||
        wrong "does not check sizes (-D_FORTIFY_SOURCE)"
    if grep -q 'Machine: *Advanced Micro Devices X86-64' "$work/header"; then
        # endbr64 where calls may land, and probes "orq $0, (%rsp)" of large frames.
        [ "$(count "$binary" '\xf3\x0f\x1e\xfa')" -gt 100 ] ||
            wrong "does not mark where jumps may land (-fcf-protection)"
        [ "$(count "$binary" '\x48\x83\x0c\x24\x00')" -gt 5 ] ||
            wrong "does not touch its stack page by page (-fstack-clash-protection)"
    fi
    objcopy --strip-debug "$binary" "$work/stripped"
    if strings -a "$work/stripped" | grep -F "$source/" | head -n 3 | grep .; then
        wrong "tells where it was built (-fmacro-prefix-map)"
    fi
    if [ "$type" = Release ] && strings -a "$binary" | grep -F "$source/" | head -n 3 | grep .; then
        wrong "tells where it was built (-ffile-prefix-map)"
    fi
done
exit $bad
