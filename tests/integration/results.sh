#!/usr/bin/env bash
# The comparison of docs/results.md: scripts/offsite_results/run makes the runs that are missing,
# keeps their numbers, and writes the page's tables.
set -euo pipefail
. "$2/tests/integration/lib.sh"

PAGE=$WORK/page.md
OUT=$WORK/results.jsonl
printf 'before\n<!-- Written by scripts/offsite_results/run -->\n<!-- The end of what it writes -->\nafter\n' >"$PAGE"

# results WORDS [KEY VALUE ...]: the runs that have all of the words.
results() {
    local only=$1
    shift
    scripts/offsite_results/run --only "$only" --seeds 1 --out "$OUT" --page "$PAGE" "$@"
}
SHORT=(federate.total_round_num 1 train.local_update_steps 1
    llm.offsite_tuning.emu_align.train.initial_update_rounds 1
    llm.offsite_tuning.emu_align.train.local_update_steps 1)

export FEDMQ PYTHONDONTWRITEBYTECODE=1
results both,base
results both,meta,lora "${SHORT[@]}"
results both,meta,fedbiot,0.5 "${SHORT[@]}"
[ "$(wc -l <"$OUT")" -eq 3 ] || fail "3 runs were asked for: $(cat "$OUT")"
[ "$(head -n 1 "$PAGE") $(tail -n 1 "$PAGE")" = "before after" ] || fail "the page's own text is gone"

# Every number of the tables is one that was kept.
kept=$(sed -nE '1s/.*"exact": ([0-9.]+).*/\1/p' "$OUT" | awk '{ printf "%.1f", 100 * $1 }')
grep -q "^| base model | - | 1 |  |  | $kept | " "$PAGE" || fail "the base model's row: $(cat "$PAGE")"
row=$(grep '^| both/meta/fedbiot/0.5 | ' "$PAGE") || fail "FedBiOT has no row: $(cat "$PAGE")"
for what in plugin emulator; do
    kept=$(sed -nE "3s/.*\"$what\": \{\"loss\": ([0-9.]+).*/\1/p" "$OUT" | awk '{ printf "%.3f", $1 }')
    [[ "$row" == *"| $kept |"* ]] || fail "the loss of $what is $kept, and the row is $row"
done

# What is there is not made again, and what fails is not kept.
cp "$PAGE" "$WORK/page.before"
(FEDMQ=/bin/false results both,meta,lora "${SHORT[@]}") || fail "a run that is there was made again"
cmp "$PAGE" "$WORK/page.before" || fail "the same numbers gave another page"
if (FEDMQ=/bin/false results both,iid,lora "${SHORT[@]}") >"$WORK/refused.log" 2>&1; then fail "a run that failed passed"; fi
[ "$(wc -l <"$OUT")" -eq 3 ] || fail "a run that failed was kept"
