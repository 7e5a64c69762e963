/*
 * test_settings_offsite.c - llm.offsite_tuning.* becomes an emulator, what
 * aligns it, and what its clients do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/actors/settings_room.h"

static void set(const char *key, const char *value)
{
    if (fmq_config_set(config, key, value, &err) < 0)
        fail_msg("%s", err.text);
}

#define SWITCH_ON "llm.offsite_tuning.use"

static fmq_offsite_settings_t offsite(void)
{
    fmq_offsite_settings_t out;
    set(SWITCH_ON, "True");
    if (fmq_settings_offsite(config, &out, &err) < 0)
        fail_msg("%s", err.text);
    return out;
}

/* Refused with a text that names the word and where it stands; out is kept. */
static void refused(const char *yaml, const char *word)
{
    fmq_offsite_settings_t before, out;
    memset(&out, 0x5a, sizeof out);
    before = out;
    fmq_config_destroy(&config);
    set_up(NULL);
    set(SWITCH_ON, "True");
    given(yaml);
    assert_int_equal(fmq_settings_offsite(config, &out, &err), -1);
    if (!strstr(err.text, word) || !strstr(err.text, "given.yaml:1:"))
        fail_msg("'%s' does not name %s and its place", err.text, word);
    assert_memory_equal(&before, &out, sizeof before);
}

static void it_is_off_by_default_and_says_so(void **state)
{
    (void)state;
    fmq_offsite_settings_t out;
    assert_int_equal(fmq_settings_offsite(config, &out, &err), 0);
    assert_false(out.use);
    assert_false(out.align);
    assert_string_equal(out.restore_from, "");
}

static void what_waits_for_its_switch_is_not_even_read(void **state)
{
    (void)state;
    fmq_offsite_settings_t out;
    given("llm: {offsite_tuning: {emu_l: 9, emu_r: 3, emu_align: {use: True}}}");
    assert_int_equal(fmq_settings_offsite(config, &out, &err), 0);
    assert_false(out.align);
}

static void the_defaults_are_those_of_fs_llm(void **state)
{
    (void)state;
    fmq_offsite_settings_t out = offsite();
    assert_int_equal(out.emulator.strategy, LLM_DROP_LAYER);
    assert_int_equal(out.emulator.emu_l, 1);
    assert_int_equal(out.emulator.emu_r, 10);
    assert_true(out.emulator.drop_ratio == 0.5);
    assert_int_equal(out.emulator.adapter.kind, LLM_ADAPTER_FULL);
    assert_false(out.align);
    assert_int_equal(out.first_blocks, 0);
    assert_false(out.full);
    assert_false(out.released);
    assert_true(out.proximal == 0);
    assert_true(out.generated == 0);
    assert_string_equal(out.public_type, "alpaca@llm");
    assert_true(out.public_train == 0.8);
    assert_true(out.public_val == 0.1);
}

static void the_adapter_is_that_of_the_run(void **state)
{
    (void)state;
    given("llm: {adapter: {use: True, args: [{r: 4, lora_alpha: 16}]}}");
    fmq_offsite_settings_t out = offsite();
    assert_int_equal(out.emulator.adapter.kind, LLM_ADAPTER_LORA);
    assert_int_equal(out.emulator.adapter.rank, 4);
    assert_false(out.emulator.adapter.layers.some);
}

static void one_shot_alignment_distils_and_speaks_once(void **state)
{
    (void)state;
    given("seed: 9\n"
          "dataloader: {batch_size: 3}\n"
          "grad: {grad_clip: 2.0, grad_accum_count: 2}\n"
          "train: {local_update_steps: 77, optimizer: {type: Adam, lr: 0.5},\n"
          "        scheduler: {type: StepLR, step_size: 3}}\n"
          "fedprox: {use: True, mu: 0.5}\n"
          "llm: {offsite_tuning: {emu_align: {use: True, layerwise_distill: True, sim_loss: cos,\n"
          "  train: {lm_loss_weight: 0.25, kd_loss_weight: 0.75, local_update_steps: 500,\n"
          "          enable_ground_truth: True}}}}\n");
    fmq_offsite_settings_t out = offsite();
    assert_true(out.align);
    assert_false(out.bilevel);
    assert_int_equal(out.first_blocks, 1);
    assert_int_equal(out.first.sim, LLM_SIM_COS);
    assert_true(out.first.layerwise);
    assert_true(out.first.sim_weight == 0.75);
    assert_true(out.first.lm_weight == 0.25);
    assert_true(out.first.kl_weight == 0);
    assert_int_equal(out.first.train.steps, 500);
    assert_int_equal(out.first.train.batch_size, 3);
    assert_int_equal(out.first.train.grad_accum, 2);
    assert_true(out.first.train.grad_clip == 2.0);
    assert_int_equal(out.first.train.seed, 9);
    assert_int_equal(out.first.train.schedule.kind, LLM_SCHEDULE_NONE);
    assert_true(out.first.train.proximal_mu == 0);
    assert_true(out.proximal == 0); /* lm_loss_weight is not the clients' epsilon here */
}

/* Defect 5 of the released code: there the clients' optimizer aligns. */
static void the_alignment_has_an_optimizer_of_its_own(void **state)
{
    (void)state;
    given("train: {optimizer: {type: SGD, lr: 0.5}}\n"
          "llm: {offsite_tuning: {emu_align: {use: True, train:\n"
          "  {optimizer: {type: AdamW, lr: 1e-4, betas: [0.9, 0.95]}}}}}\n");
    fmq_offsite_settings_t out = offsite();
    assert_int_equal(out.first.train.optimizer.kind, LLM_ADAMW);
    assert_true(out.first.train.optimizer.lr == 1e-4);
    assert_true(out.first.train.optimizer.beta2 == 0.95);
    assert_int_equal(out.later.train.optimizer.kind, LLM_ADAMW);
}

static void fedbiot_weighs_anew_before_and_after_the_first_round(void **state)
{
    (void)state;
    given("llm: {offsite_tuning: {emu_l: 0, emu_r: 30, eval_type: full, save_full_model: True,\n"
          "  emu_align: {use: True, initial_only: False, init_enable_ground_truth: True,\n"
          "    kl_divergence: logps, save_to: e.ckpt, exit_after_align: True,\n"
          "    data: {root: public, type: 'my.jsonl@llm', splits: [.9, .05, .05]},\n"
          "    train: {local_update_steps: 5, initial_update_rounds: 50, lm_loss_weight: 1.5,\n"
          "            kd_loss_weight: 0.25, batch_or_epoch: epoch}}}}\n"
          "fedmq: {released_fedbiot: True}\n");
    fmq_offsite_settings_t out = offsite();
    assert_true(out.bilevel);
    assert_int_equal(out.first_blocks, 50);
    assert_true(out.first.sim_weight == 1);
    assert_true(out.first.kl_weight == 0.25);
    assert_true(out.first.lm_weight == 1);
    assert_true(out.later.sim_weight == 1);
    assert_true(out.later.kl_weight == 0.25);
    assert_true(out.later.lm_weight == 0);
    assert_int_equal(out.later.kl, LLM_KL_LOGPS);
    assert_int_equal(out.later.train.steps, 5);
    assert_true(out.later.train.by_epoch);
    assert_true(out.proximal == 1.5);
    assert_true(out.full);
    assert_true(out.exit_after_align);
    assert_true(out.released);
    assert_true(out.first.released);
    assert_string_equal(out.save_to, "e.ckpt");
    assert_string_equal(out.public_root, "public");
    assert_string_equal(out.public_type, "my.jsonl@llm");
    assert_true(out.public_train == .9);
}

static void ground_truth_after_each_round_is_a_key_of_its_own(void **state)
{
    (void)state;
    given("llm: {offsite_tuning: {emu_align: {use: True, initial_only: False,\n"
          "  train: {enable_ground_truth: True}}}}\n");
    fmq_offsite_settings_t out = offsite();
    assert_true(out.first.lm_weight == 0);
    assert_true(out.later.lm_weight == 1);
}

static void the_model_may_write_labels(void **state)
{
    (void)state;
    given("llm: {max_new_token: 12, offsite_tuning: {llm_generated: {use: True, ratio: 0.3}}}");
    fmq_offsite_settings_t out = offsite();
    assert_true(out.generated == 0.3);
    assert_int_equal(out.generated_tokens_max, 12);
}

static void every_strategy_takes_its_own_arguments(void **state)
{
    (void)state;
    given("llm: {offsite_tuning: {kwargs: [{drop_ratio: 0.2}]}}");
    assert_true(offsite().emulator.drop_ratio == 0.2);
    set("llm.offsite_tuning.strategy", "pruning");
    set("llm.offsite_tuning.kwargs", "[{ratio: 0.3, method: structured}]");
    assert_true(offsite().emulator.prune_ratio == 0.3);
    assert_true(offsite().emulator.structured);
    set("llm.offsite_tuning.strategy", "quantization");
    set("llm.offsite_tuning.kwargs", "[{bits: 4, group: 32}]");
    assert_int_equal(offsite().emulator.bits, 4);
    assert_int_equal(offsite().emulator.group, 32);
    set("llm.offsite_tuning.strategy", "distillation");
    set("llm.offsite_tuning.kwargs", "[{drop_ratio: 0.25, steps: 20, lr: 0.01, batch_size: 2}]");
    assert_true(offsite().emulator.drop_ratio == 0.25);
    assert_int_equal(offsite().distil.train.steps, 20);
    assert_true(offsite().distil.train.optimizer.lr == 0.01);
    assert_int_equal(offsite().distil.train.batch_size, 2);
    assert_true(offsite().distil.sim_weight == 1);
}

static void strategies_without_arguments_have_defaults(void **state)
{
    (void)state;
    set("dataloader.batch_size", "6");
    set("llm.offsite_tuning.strategy", "pruning");
    assert_true(offsite().emulator.prune_ratio == 0.5);
    assert_false(offsite().emulator.structured);
    set("llm.offsite_tuning.strategy", "quantization");
    assert_int_equal(offsite().emulator.bits, 8);
    assert_int_equal(offsite().emulator.group, 64);
    set("llm.offsite_tuning.strategy", "distillation");
    assert_int_equal(offsite().distil.train.steps, 500);
    assert_true(offsite().distil.train.optimizer.lr == 1e-3);
    assert_int_equal(offsite().distil.train.batch_size, 6);
}

static void arguments_that_do_not_fit_are_refused_with_their_place(void **state)
{
    (void)state;
    refused("llm: {offsite_tuning: {kwargs: [{bits: 4}]}}", "llm.offsite_tuning.kwargs.0.bits");
    refused("llm: {offsite_tuning: {kwargs: [{drop_ratio: 0.2}], strategy: quantization}}",
            "llm.offsite_tuning.kwargs.0.drop_ratio");
    refused("llm: {offsite_tuning: {kwargs: [{drop_ratio: 1.0}]}}", "drop_ratio");
    refused("llm: {offsite_tuning: {kwargs: [{drop_ratio: -0.1}]}}", "drop_ratio");
    refused("llm: {offsite_tuning: {kwargs: [{drop_ratio: half}]}}", "drop_ratio");
    refused("llm: {offsite_tuning: {strategy: quantization, kwargs: [{bits: 5}]}}", "8 or 4");
    refused("llm: {offsite_tuning: {strategy: pruning, kwargs: [{method: random}]}}", "structured");
    refused("llm: {offsite_tuning: {strategy: distillation, kwargs: [{steps: 0}]}}", "steps");
    refused("llm: {offsite_tuning: {kwargs: [{drop_ratio: 0.2}, {drop_ratio: 0.3}]}}", "one map");
}

static void ranges_shares_and_weights_that_leave_nothing_are_refused(void **state)
{
    (void)state;
    refused("llm: {offsite_tuning: {emu_l: 3, emu_r: 3}}", "emu_r = 3");
    refused("llm: {offsite_tuning: {emu_align: {data: {splits: [0.9, 0.2]}}}}", "data.splits");
    refused("llm: {offsite_tuning: {emu_align: {use: True, train: {kd_loss_weight: 0, "
            "lm_loss_weight: 0}}}}",
            "nothing to align by");
    refused("llm: {offsite_tuning: {emu_align: {use: True, train: {optimizer: {type: AdamW, "
            "momentum: 1}}}}}",
            "emu_align.train.optimizer.momentum");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_is_off_by_default_and_says_so),
        CASE(what_waits_for_its_switch_is_not_even_read),
        CASE(the_defaults_are_those_of_fs_llm),
        CASE(the_adapter_is_that_of_the_run),
        CASE(one_shot_alignment_distils_and_speaks_once),
        CASE(the_alignment_has_an_optimizer_of_its_own),
        CASE(fedbiot_weighs_anew_before_and_after_the_first_round),
        CASE(ground_truth_after_each_round_is_a_key_of_its_own),
        CASE(the_model_may_write_labels),
        CASE(every_strategy_takes_its_own_arguments),
        CASE(strategies_without_arguments_have_defaults),
        CASE(arguments_that_do_not_fit_are_refused_with_their_place),
        CASE(ranges_shares_and_weights_that_leave_nothing_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
