#!/usr/bin/env bash
# What a configuration asks for is what happens: methods, samplers, splitters, starts and ends of a
# run, each looked up in the files that it leaves.
set -euo pipefail
. "$2/tests/integration/lib.sh"

# lines NAME PATTERN: how many of run.log;  losses NAME: the clients' validation losses, one a round.
lines() { grep -cE -- "$2" "$WORK/$1/run.log" || true; }
losses() {
    grep '"source":"clients","form":"weighted_avg"' "$WORK/$1/metrics.jsonl" | grep -oE '"val_avg_loss":[0-9.]+' | cut -d: -f2
}
# below A B: the number A is less than B.
below() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -g | head -n 1)" = "$1" ] && [ "$1" != "$2" ]; }
# is WHAT GOT WANTED
is() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
# share NAME CLIENT: training records of a client.
share() { grep -oE "shard reader=client-$2 train=[0-9]+" "$WORK/$1/run.log" | grep -oE '[0-9]+$'; }

one plain federate.save_freq 2 federate.save_to "$WORK/saved/here/state"
for name in state 2_state final_state; do
    [ -s "$WORK/saved/here/$name/adapter_config.json" ] || fail "save_to left no '$name'"
done
[ ! -e "$WORK/saved/here/3_state" ] || fail "save_freq 2 saved round 3"
is "clients that trained" "$(lines plain 'trained round=')" 9

one continued federate.restore_from "$WORK/plain/adapter" federate.total_round_num 1
below "$(losses continued | head -n 1)" "$(losses plain | tail -n 1)" || fail "the run did not start from its PEFT directory"
one still federate.restore_from "$WORK/plain/adapter" federate.total_round_num 1 train.optimizer.lr 1e-12
cmp "$WORK/still/adapter/adapter_config.json" "$WORK/plain/adapter/adapter_config.json"

one full llm.adapter.use False federate.total_round_num 2
for name in config.json model.safetensors tokenizer.json; do
    [ -s "$WORK/full/adapter/$name" ] || fail "full fine-tuning left no $name"
done
one from-full model.type "$WORK/full/adapter" federate.total_round_num 1
below "$(losses from-full | head -n 1)" "$(losses plain | head -n 1)" || fail "the fully tuned model does not load as one"

one local federate.method local
is "rounds of method local" "$(lines local 'trained round=')" 9
[ ! -e "$WORK/local/adapter" ] || fail "method local left an adapter of all"
one global federate.method global
is "clients of method global" "$(lines global 'member-joined name=client')" 1
is "records of method global" "$(share global 1)" $(($(share plain 1) + $(share plain 2) + $(share plain 3)))

one sampled federate.sample_client_num 2 federate.total_round_num 4
is "clients of a round" "$(lines sampled 'round-began.*clients=2')" 4
is "clients that trained" "$(lines sampled 'trained round=')" 8
one unseen federate.unseen_clients_rate 0.34
is "rounds of the unseen client" "$(lines unseen 'client-3 trained')" 0
grep -q '"source":"unseen"' "$WORK/unseen/metrics.jsonl" || fail "the unseen client was not measured"

one proximal fedprox.use True fedprox.mu 100
below "$(losses plain | tail -n 1)" "$(losses proximal | tail -n 1)" || fail "fedprox does not hold clients back"
one dealt data.splitter iid federate.total_round_num 1
[ $(($(share dealt 1) - $(share dealt 3))) -le 1 ] || fail "iid shares differ"
one skewed data.splitter lda data.splitter_args '[{alpha: 0.05}]' federate.total_round_num 1
is "records of lda" $(($(share skewed 1) + $(share skewed 2) + $(share skewed 3))) \
    $(($(share dealt 1) + $(share dealt 2) + $(share dealt 3)))
[ "$(share skewed 1) $(share skewed 2)" != "$(share dealt 1) $(share dealt 2)" ] || fail "lda deals as iid does"

one early early_stop.patience 2 train.optimizer.lr 1e-9 federate.total_round_num 30
grep -q 'reason="early stop"' "$WORK/early/run.log" || fail "no early stop"
one rare eval.freq 2 federate.total_round_num 4
is "evaluations" "$(losses rare | grep -c .)" 2
echo "what was asked for was done"
