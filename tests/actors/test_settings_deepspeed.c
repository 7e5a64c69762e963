/*
 * test_settings_deepspeed.c - a DeepSpeed file becomes options, lists what it says
 * in vain, and is refused where it would ask for something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/actors/context.h"
#include "tests/actors/settings_room.h"

static char path[] = "/tmp/fedmq_deepspeed_XXXXXX";

static void write_file(const char *json)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    (void)fputs(json, out);
    assert_int_equal(fclose(out), 0);
}

static void given_file(const char *json, const char *more)
{
    char yaml[512];
    start_anew();
    write_file(json);
    (void)snprintf(yaml, sizeof yaml, "llm: {deepspeed: {use: True, ds_config: %s}}\n%s", path,
                   more);
    given(yaml);
}

static llm_train_options_t options(void)
{
    llm_train_options_t found;
    if (fmq_settings_train(config, &found, &err) < 0)
        fail_msg("%s", err.text);
    return found;
}

static fmq_compute_settings_t computed(void)
{
    fmq_compute_settings_t found;
    if (fmq_settings_compute(config, &found, &err) < 0)
        fail_msg("%s", err.text);
    return found;
}

/* The example of FS-LLM. */
static void the_file_counts_before_the_configuration(void **state)
{
    (void)state;
    given_file("{\"train_batch_size\": 4, \"optimizer\": {\"type\": \"Adam\", \"params\": "
               "{\"lr\": 0.002, \"betas\": [0.8, 0.99], \"eps\": 1e-6, \"weight_decay\": 0.1}},"
               "\"scheduler\": {\"type\": \"WarmupLR\", \"params\": {\"warmup_min_lr\": 0, "
               "\"warmup_max_lr\": 0.003, \"warmup_num_steps\": 10}},"
               "\"fp16\": {\"enabled\": true, \"loss_scale\": 0}, \"gradient_clipping\": 0.7,"
               "\"wall_clock_breakdown\": false,"
               "\"zero_optimization\": {\"stage\": 3, \"offload_optimizer\": {\"device\": "
               "\"cpu\"}}}",
               "dataloader: {batch_size: 64}\ntrain: {data_para_dids: [0, 1]}");
    llm_train_options_t found = options();
    assert_int_equal(found.batch_size, 4);
    assert_int_equal(found.grad_accum, 1);
    assert_int_equal(found.optimizer.kind, LLM_ADAMW);
    assert_true(found.optimizer.lr == 0.003 && found.optimizer.beta1 == 0.8);
    assert_true(found.optimizer.eps == 1e-6 && found.optimizer.weight_decay == 0.1);
    assert_true(found.grad_clip == 0.7);
    assert_int_equal(found.schedule.kind, LLM_SCHEDULE_WARMUP);
    assert_true(llm_schedule_lr(&found.schedule, 0.003, 0) == 0);
    assert_true(llm_schedule_lr(&found.schedule, 0.003, 11) == 0.003);
    fmq_compute_settings_t compute = computed();
    assert_string_equal(compute.device, "cpu:bf16");
    assert_true(compute.sharded);
    static const char *const told[] = {"wall_clock_breakdown", "fp16.loss_scale",
                                       "zero_optimization.offload_optimizer",
                                       "zero_optimization.stage 3"};
    for (size_t i = 0; i < 4; i++)
        if (!strstr(compute.told, told[i]))
            fail_msg("'%s' does not tell of %s", compute.told, told[i]);
    assert_null(strstr(compute.told, "betas"));
}

static void what_the_file_leaves_out_is_the_configurations(void **state)
{
    (void)state;
    given_file("{\"train_batch_size\": \"auto\", \"optimizer\": {\"type\": \"SGD\", \"params\": "
               "{\"momentum\": 0.9}}, \"bf16\": {\"enabled\": false}}",
               "train: {is_enable_half: True}\ndataloader: {batch_size: 6}\ngrad: {grad_clip: 2}");
    llm_train_options_t found = options();
    assert_int_equal(found.batch_size, 6);
    assert_true(found.grad_clip == 2);
    assert_int_equal(found.optimizer.kind, LLM_SGD);
    assert_true(found.optimizer.momentum == 0.9 && found.optimizer.lr == 1e-3);
    fmq_compute_settings_t compute = computed();
    assert_string_equal(compute.device, "cpu");
    assert_false(compute.sharded); /* stage 0, as DeepSpeed has it */
    assert_string_equal(compute.told, "");
}

static void batches_follow_from_each_other(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        uint32_t batch, accumulated;
    } cases[] = {
        {"{\"train_batch_size\": 24, \"train_micro_batch_size_per_gpu\": 3}", 6, 4},
        {"{\"train_batch_size\": 24, \"gradient_accumulation_steps\": 3}", 8, 3},
        {"{\"train_micro_batch_size_per_gpu\": 5, \"gradient_accumulation_steps\": 2}", 10, 2},
        {"{\"gradient_accumulation_steps\": 2}", 64, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        given_file(cases[i].json, "train: {data_para_dids: [0, 1]}");
        llm_train_options_t found = options();
        assert_int_equal(found.batch_size, cases[i].batch);
        assert_int_equal(found.grad_accum, cases[i].accumulated);
    }
}

static void what_cannot_be_done_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"train_batch_size\": 7}", "train_batch_size 7 is not"},
        {"{\"train_batch_size\": 0}", "train_batch_size is not a whole number"},
        {"{\"optimizer\": {\"type\": \"OneBitAdam\"}}", "optimizer.type is none of"},
        {"{\"optimizer\": 3}", "optimizer is not an object"},
        {"{\"optimizer\": {\"type\": \"Adam\", \"params\": {\"lr\": \"x\"}}}",
         "lr is not a number"},
        {"{\"scheduler\": {\"type\": \"OneCycle\"}}", "scheduler.type is neither"},
        {"{\"scheduler\": {\"type\": \"WarmupDecayLR\"}}", "total_num_steps is missing"},
        {"{\"zero_optimization\": {\"stage\": 4}}", "zero_optimization.stage is none of"},
        {"{\"bf16\": {\"enabled\": 1}}", "bf16 has an 'enabled'"},
        {"[1]", "is not an object"},
        {"{\"fp16\": ", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_train_options_t found;
        given_file(cases[i][0], "train: {data_para_dids: [0, 1]}");
        assert_int_equal(fmq_settings_train(config, &found, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("'%s' does not say '%s'", err.text, cases[i][1]);
    }
    given_file("{}", "");
    (void)remove(path);
    fmq_compute_settings_t compute;
    assert_int_equal(fmq_settings_compute(config, &compute, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, path));
}

static void a_warm_up_rises_holds_and_falls_as_deepspeeds(void **state)
{
    (void)state;
    llm_schedule_t schedule = {.kind = LLM_SCHEDULE_WARMUP, .warmup = 4, .eta_min = 0.1};
    static const double linear[] = {0.1, 0.1, 0.325, 0.55, 0.775, 1, 1};
    for (uint64_t s = 0; s < 7; s++)
        assert_true(llm_schedule_lr(&schedule, 1, s) - linear[s] < 1e-12 &&
                    linear[s] - llm_schedule_lr(&schedule, 1, s) < 1e-12);
    schedule.total = 8;
    assert_true(llm_schedule_lr(&schedule, 1, 5) == 1);
    assert_true(llm_schedule_lr(&schedule, 1, 9) == 0.1);
    assert_true(llm_schedule_lr(&schedule, 1, 7) > 0.54 && llm_schedule_lr(&schedule, 1, 7) < 0.56);
    schedule.logarithmic = true;
    assert_true(llm_schedule_lr(&schedule, 1, 1) == 0.1);
    double half_way = llm_schedule_lr(&schedule, 1, 2); /* log 2 / log 4 */
    assert_true(half_way > 0.5499 && half_way < 0.5501);
}

static void assert_computes(const char *what)
{
    char out[FMQ_REASON_MAX];
    const fmq_context_t context = {.config = config};
    fmq_context_computes(&context, out);
    assert_string_equal(out, what);
}

static void what_members_say_they_compute_with_is_the_files(void **state)
{
    (void)state;
    given_file("{\"bf16\": {\"enabled\": true}}", "");
    assert_computes("train.is_enable_half=True fedmq.weights=bf16");
    given_file("{\"fp16\": {\"enabled\": false}}", "train: {is_enable_half: True}\n");
    assert_computes("train.is_enable_half=False fedmq.weights=f32");
    given_file("{}", "train: {is_enable_half: True}\n");
    assert_computes("train.is_enable_half=True fedmq.weights=bf16");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_file_counts_before_the_configuration),
        CASE(what_the_file_leaves_out_is_the_configurations),
        CASE(batches_follow_from_each_other),
        CASE(what_cannot_be_done_is_refused_by_name),
        CASE(a_warm_up_rises_holds_and_falls_as_deepspeeds),
        CASE(what_members_say_they_compute_with_is_the_files),
    };
    int made = mkstemp(path);
    if (made < 0)
        return 1;
    (void)close(made);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)remove(path);
    return failed;
}
