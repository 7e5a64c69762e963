/*
 * test_client_routine.c - a client's task, computed: training, evaluation,
 * stopping, with the embedded model.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "actors/client/routine.h"
#include "actors/runtime/kept_workspace.h"
#include "actors/settings/settings.h"
#include "broker/lent_state.h"
#include "fedmq/actors/shard.h"
#include "llm/backend/instance.h"

static llm_backend_t *loader;
static llm_model_t *model;
static llm_tokenizer_t *tokenizer;

static int open_model(void **state)
{
    static const char path[] = FEDMQ_SOURCE_DIR "/configs/quickstart/model";
    fmq_error_t err;
    (void)state;
    loader = llm_backend_cpu_new(1, &err);
    model = llm_model_open(path, loader, &err);
    tokenizer = llm_tokenizer_open(path, &err);
    return model && tokenizer ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    llm_tokenizer_destroy(&tokenizer);
    llm_model_destroy(&model);
    llm_backend_destroy(&loader);
    return 0;
}

/* Everything a routine needs, made anew for each test. */
typedef struct {
    fmq_config_t *config;
    llm_adapter_t *adapter;
    fmq_devices_t *permits;
    fmq_examples_t examples;
    fmq_context_t context;
    fmq_routine_t routine;
    fmq_task_state_t state;
    size_t elements;
    uint64_t steps_seen, stop_at;
    fmq_error_t err;
} stage_t;

static int count_step(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    stage_t *stage = argument;
    (void)step, (void)steps, (void)tokens;
    stage->steps_seen++;
    return stage->stop_at > 0 && stage->steps_seen >= stage->stop_at;
}

static int never(void *argument)
{
    (void)argument;
    return 0;
}

static llm_records_t *some_records(int first, int size)
{
    static const char *const animals[] = {"cat", "dog", "bird", "frog", "bear"};
    llm_records_t *records = llm_records_new();
    for (int i = first; i < first + size; i++) {
        char question[64], answer[64];
        snprintf(question, sizeof question, "What did the %s number %d do?", animals[i % 5], i);
        snprintf(answer, sizeof answer, "The %s went to the park.", animals[i % 5]);
        llm_record_t record = {.instruction = question, .output = answer};
        llm_records_add(records, &record, NULL);
    }
    return records;
}

static void make_examples(stage_t *stage, int train, int val, int test)
{
    llm_records_t *records[3] = {some_records(0, train), some_records(100, val),
                                 some_records(200, test)};
    fmq_examples_how_t how = {.tokenizer = tokenizer, .tok_len = 128};
    if (fmq_examples_make(&stage->examples, (const llm_records_t *const *)records, &how,
                          &stage->err) < 0)
        fail_msg("%s", stage->err.text);
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&records[i]);
}

static void build(stage_t *stage, unsigned threads, const char *more)
{
    char yaml[1024];
    llm_adapter_spec_t spec;
    *stage = (stage_t){.config = fmq_config_new()};
    snprintf(yaml, sizeof yaml,
             "seed: 3\n"
             "federate: {client_num: 2, use_diff: True}\n"
             "llm: {adapter: {use: True, args: [{r: 4, lora_alpha: 8, lora_dropout: 0.1}]}}\n"
             "dataloader: {batch_size: 4}\n"
             "train:\n  local_update_steps: 6\n  optimizer: {type: AdamW, lr: 0.01}\n%s",
             more);
    assert_int_equal(fmq_config_parse(stage->config, "test", yaml, strlen(yaml), &stage->err), 0);
    assert_int_equal(fmq_settings_adapter(stage->config, &spec, &stage->err), 0);
    stage->adapter = llm_adapter_new(llm_model_shape(model), &spec, &stage->err);
    stage->permits = fmq_devices_new(1, threads, &stage->err);
    assert_non_null(stage->adapter);
    assert_non_null(stage->permits);
    stage->context = (fmq_context_t){.config = stage->config,
                                     .model = model,
                                     .adapter = stage->adapter,
                                     .tokenizer = tokenizer,
                                     .permits = stage->permits};
    stage->elements = (size_t)fmq_schema_elements(llm_adapter_schema(stage->adapter));
    stage->state.vector = calloc(stage->elements, sizeof *stage->state.vector);
    assert_int_equal(llm_adapter_init(stage->adapter, model, 3, stage->state.vector, &stage->err),
                     0);
    stage->routine = (fmq_routine_t){.context = &stage->context,
                                     .config = stage->config,
                                     .examples = &stage->examples,
                                     .keeps = true,
                                     .progress = count_step,
                                     .stop = never,
                                     .argument = stage};
    assert_int_equal(fmq_settings_train(stage->config, &stage->routine.train, &stage->err), 0);
    stage->routine.train.client = 1;
}

static void release(stage_t *stage)
{
    fmq_task_state_release(&stage->state);
    fmq_examples_release(&stage->examples);
    fmq_devices_destroy(&stage->permits);
    llm_adapter_destroy(&stage->adapter);
    fmq_config_destroy(&stage->config);
}

static double metric(const fmq_message_report_t *report, const char *name)
{
    const double *value = fmq_metrics_get(&report->metrics, name);
    if (!value)
        fail_msg("there is no metric %s", name);
    return value ? *value : 0;
}

static void training_lowers_the_loss_and_says_what_it_used(void **state)
{
    (void)state;
    stage_t stage;
    fmq_message_report_t report = {0};
    build(&stage, 1, "");
    make_examples(&stage, 24, 8, 8);
    if (fmq_routine_train(&stage.routine, 1, &stage.state, &report, &stage.err) < 0)
        fail_msg("%s", stage.err.text);
    assert_int_equal(report.samples, 24);
    assert_true(metric(&report, "train_total") == 24);
    assert_true(metric(&report, "train_steps") == 6);
    assert_true(metric(&report, "train_avg_loss") > 0);
    assert_true(report.seconds > 0);
    assert_true(metric(&report, "val_avg_loss_after") < metric(&report, "val_avg_loss_before"));
    release(&stage);
}

static void the_same_task_gives_the_same_bytes_at_any_number_of_threads(void **state)
{
    (void)state;
    stage_t one, two;
    fmq_message_report_t report = {0};
    build(&one, 1, "");
    build(&two, 2, "");
    make_examples(&one, 10, 3, 0);
    make_examples(&two, 10, 3, 0);
    assert_int_equal(fmq_routine_train(&one.routine, 4, &one.state, &report, &one.err), 0);
    assert_int_equal(fmq_routine_train(&two.routine, 4, &two.state, &report, &two.err), 0);
    assert_memory_equal(one.state.vector, two.state.vector,
                        one.elements * sizeof *one.state.vector);
    release(&one);
    release(&two);
}

/* What the workspace of a training computed again. */
static llm_recompute_t planned;

static void note_plan(void *argument, llm_recompute_t recompute, size_t spared)
{
    (void)argument;
    planned = recompute;
    assert_true((spared > 0) == (recompute != LLM_RECOMPUTE_NONE));
}

static void what_is_computed_again_is_as_asked_for_and_gives_the_same_bytes(void **state)
{
    (void)state;
    static const char *const texts[] = {"none", "norms", "layers", "auto"};
    static const llm_recompute_t expected[] = {LLM_RECOMPUTE_NONE, LLM_RECOMPUTE_NORMS,
                                               LLM_RECOMPUTE_LAYERS, LLM_RECOMPUTE_NONE};
    stage_t stages[4];
    fmq_message_report_t report = {0};
    for (int i = 0; i < 4; i++) {
        char more[64];
        snprintf(more, sizeof more, "fedmq: {recompute: %s}\n", texts[i]);
        build(&stages[i], 1, more);
        make_examples(&stages[i], 10, 3, 0);
        stages[i].routine.planned = note_plan;
        assert_int_equal(
            fmq_routine_train(&stages[i].routine, 4, &stages[i].state, &report, &stages[i].err), 0);
        assert_int_equal(planned, expected[i]);
        assert_memory_equal(stages[i].state.vector, stages[0].state.vector,
                            stages[0].elements * sizeof *stages[0].state.vector);
    }
    for (int i = 0; i < 4; i++)
        release(&stages[i]);
}

static size_t little(const llm_backend_t *be)
{
    (void)be;
    return 4096;
}

static void where_little_is_free_as_much_as_possible_is_computed_again(void **state)
{
    (void)state;
    stage_t stage;
    fmq_message_report_t report = {0};
    build(&stage, 1, "");
    make_examples(&stage, 4, 0, 0);
    stage.routine.planned = note_plan;
    llm_backend_t *permit = fmq_devices_take(stage.permits, NULL, NULL);
    llm_instance(permit)->ops.memory_free = little;
    fmq_devices_give(stage.permits, &permit);
    assert_int_equal(fmq_routine_train(&stage.routine, 4, &stage.state, &report, &stage.err), 0);
    assert_int_equal(planned, LLM_RECOMPUTE_LAYERS);
    release(&stage);
}

static void another_round_or_client_draws_other_batches(void **state)
{
    (void)state;
    stage_t one, two;
    fmq_message_report_t report = {0};
    build(&one, 1, "");
    build(&two, 1, "");
    make_examples(&one, 40, 0, 0);
    make_examples(&two, 40, 0, 0);
    assert_int_equal(fmq_routine_train(&one.routine, 1, &one.state, &report, &one.err), 0);
    assert_int_equal(fmq_routine_train(&two.routine, 2, &two.state, &report, &two.err), 0);
    assert_memory_not_equal(one.state.vector, two.state.vector,
                            one.elements * sizeof *one.state.vector);
    release(&one);
    release(&two);
}

static void a_stopped_routine_leaves_the_state_as_it_was(void **state)
{
    (void)state;
    stage_t stage;
    fmq_message_report_t report = {0};
    build(&stage, 1, "");
    make_examples(&stage, 24, 0, 0);
    float *before = malloc(stage.elements * sizeof *before);
    memcpy(before, stage.state.vector, stage.elements * sizeof *before);
    stage.stop_at = 2;
    assert_int_equal(fmq_routine_train(&stage.routine, 1, &stage.state, &report, &stage.err), -1);
    assert_int_equal(stage.err.code, FMQ_ERR_STOPPED);
    assert_memory_equal(before, stage.state.vector, stage.elements * sizeof *before);
    stage.stop_at = 0; /* the permit is back: another routine can run */
    assert_int_equal(fmq_routine_train(&stage.routine, 1, &stage.state, &report, &stage.err), 0);
    free(before);
    release(&stage);
}

static void without_training_examples_nothing_is_trained(void **state)
{
    (void)state;
    stage_t stage;
    fmq_message_report_t report = {.samples = 9};
    build(&stage, 1, "");
    make_examples(&stage, 0, 3, 0);
    float first = stage.state.vector[0];
    assert_int_equal(fmq_routine_train(&stage.routine, 1, &stage.state, &report, &stage.err), 0);
    assert_int_equal(report.samples, 0);
    assert_true(stage.state.vector[0] == first);
    release(&stage);
}

static void evaluation_measures_the_parts_that_are_asked_for(void **state)
{
    (void)state;
    stage_t stage;
    fmq_message_report_t report = {0};
    build(&stage, 1, "eval: {split: [val, test]}\n");
    make_examples(&stage, 4, 6, 5);
    assert_int_equal(fmq_routine_evaluate(&stage.routine, &stage.state, &report, &stage.err), 0);
    assert_true(metric(&report, "val_total") == 6);
    assert_true(metric(&report, "test_total") == 5);
    double sum = metric(&report, "val_loss"), average = metric(&report, "val_avg_loss");
    assert_true(sum > average * 5.99 && sum < average * 6.01);
    assert_true(metric(&report, "val_token_loss") > 0);
    assert_null(fmq_metrics_get(&report.metrics, "train_loss"));
    release(&stage);

    report = (fmq_message_report_t){0};
    build(&stage, 1, "eval: {split: [test]}\n");
    make_examples(&stage, 4, 6, 0);
    assert_int_equal(fmq_routine_evaluate(&stage.routine, &stage.state, &report, &stage.err), 0);
    assert_int_equal(report.metrics.size, 0);
    release(&stage);
}

static int note_thread(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    pthread_t *thread = argument;
    (void)step, (void)steps, (void)tokens;
    *thread = pthread_self();
    return 0;
}

/* So that a client that has trained holds no more than one that has not. */
static void all_who_compute_do_it_in_the_permits_thread(void **state)
{
    (void)state;
    stage_t stage;
    fmq_message_report_t report = {0};
    pthread_t trained = pthread_self(), measured = pthread_self();
    build(&stage, 1, "eval: {split: [val]}\n");
    make_examples(&stage, 8, 4, 0);
    stage.routine.progress = note_thread;
    stage.routine.argument = &trained;
    assert_int_equal(fmq_routine_train(&stage.routine, 1, &stage.state, &report, &stage.err), 0);
    stage.routine.argument = &measured;
    assert_int_equal(fmq_routine_evaluate(&stage.routine, &stage.state, &report, &stage.err), 0);
    assert_false(pthread_equal(trained, pthread_self()));
    assert_true(pthread_equal(trained, measured));
    release(&stage);
}

/* What lies with the only permit, which stays there. */
static const void *lying(stage_t *stage)
{
    llm_backend_t *permit = fmq_devices_take(stage->permits, NULL, NULL);
    llm_team_t *team = fmq_devices_pick_up(stage->permits, permit);
    const void *same = team;
    fmq_workspace_give(stage->permits, permit, &team);
    fmq_devices_give(stage->permits, &permit);
    return same;
}

/* Puts a team of workers of one thread in the permits' place. */
static void give_team(stage_t *stage, size_t size, bool sharded)
{
    static const char *const cpu[] = {"cpu", "cpu", "cpu"};
    fmq_devices_plan_t plan = {.devices = cpu,
                               .devices_size = 1,
                               .team = cpu,
                               .team_size = size,
                               .sharded = sharded,
                               .permits = 1,
                               .threads = (unsigned)size};
    fmq_devices_destroy(&stage->permits);
    stage->permits = fmq_devices_open(&plan, &stage->err);
    assert_non_null(stage->permits);
    stage->context.permits = stage->permits;
}

/* One device, two, two that share the optimizer, three. */
static void train_and_measure(stage_t *stage, size_t number, fmq_message_report_t *report)
{
    build(stage, 1, "eval: {split: [val]}\n");
    make_examples(stage, 10, 5, 0);
    if (number > 0)
        give_team(stage, number == 3 ? 3 : 2, number == 2);
    assert_int_equal(fmq_routine_train(&stage->routine, 4, &stage->state, report, &stage->err), 0);
    assert_int_equal(fmq_routine_evaluate(&stage->routine, &stage->state, report, &stage->err), 0);
}

static void a_team_trains_and_measures_what_one_device_does(void **state)
{
    (void)state;
    stage_t stages[4];
    fmq_message_report_t reports[4];
    memset(reports, 0, sizeof reports);
    for (size_t i = 0; i < 4; i++) {
        train_and_measure(&stages[i], i, &reports[i]);
        assert_true(metric(&reports[i], "val_avg_loss_before") ==
                    metric(&reports[0], "val_avg_loss_before"));
        assert_true(
            fabs(metric(&reports[i], "val_avg_loss") - metric(&reports[0], "val_avg_loss")) < 1e-4);
        for (size_t e = 0; e < stages[0].elements; e++)
            assert_true(
                fabs((double)stages[i].state.vector[e] - (double)stages[0].state.vector[e]) < 1e-4);
    }
    assert_memory_equal(stages[1].state.vector, stages[2].state.vector,
                        stages[1].elements * sizeof *stages[1].state.vector);
    for (size_t i = 0; i < 4; i++)
        release(&stages[i]);
}

static void a_client_that_moves_to_the_cpu_leaves_nothing_on_its_device(void **state)
{
    (void)state;
    for (int moves = 0; moves < 2; moves++) {
        stage_t stage;
        fmq_message_report_t report = {0};
        build(&stage, 1, "eval: {split: [val]}\n");
        fmq_config_set(stage.config, "llm.adapter.mv_to_cpu", moves ? "True" : "False", NULL);
        make_examples(&stage, 8, 4, 0);
        assert_int_equal(fmq_routine_train(&stage.routine, 1, &stage.state, &report, &stage.err),
                         0);
        assert_true((lying(&stage) == NULL) == (moves == 1));
        assert_int_equal(fmq_routine_evaluate(&stage.routine, &stage.state, &report, &stage.err),
                         0);
        assert_true((lying(&stage) == NULL) == (moves == 1));
        release(&stage);
    }
}

static void a_task_takes_the_workspace_of_one_before_it_and_gives_the_same_bytes(void **state)
{
    (void)state;
    stage_t one, two;
    fmq_message_report_t report = {0};
    build(&one, 1, "");
    build(&two, 1, "");
    one.routine.train.batch_size = two.routine.train.batch_size = 12; /* more rows than a block */
    make_examples(&one, 24, 0, 0);
    make_examples(&two, 20, 0, 0);
    assert_int_equal(fmq_routine_train(&one.routine, 1, &one.state, &report, &one.err), 0);
    const void *workspace = lying(&one);
    assert_non_null(workspace);
    fmq_routine_t work = two.routine; /* another client of the process */
    work.context = &one.context;
    assert_int_equal(llm_adapter_init(one.adapter, model, 3, one.state.vector, &one.err), 0);
    assert_int_equal(fmq_routine_train(&work, 2, &one.state, &report, &one.err), 0);
    assert_ptr_equal(lying(&one), workspace);
    assert_int_equal(fmq_routine_train(&two.routine, 2, &two.state, &report, &two.err), 0);
    assert_memory_equal(one.state.vector, two.state.vector,
                        one.elements * sizeof *one.state.vector);
    one.stop_at = one.steps_seen + 1; /* what failed is not used again */
    assert_int_equal(fmq_routine_train(&one.routine, 3, &one.state, &report, &one.err), -1);
    assert_null(lying(&one));
    release(&one);
    release(&two);
}

/* Training gives a state up that nobody wants any more. */
static int see_no_state(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    stage_t *stage = argument;
    (void)step, (void)steps, (void)tokens;
    assert_null(stage->state.vector);
    assert_null(stage->state.object);
    return count_step(argument, step, steps, tokens);
}

static void a_state_that_is_computed_with_is_not_held_as_a_copy_too(void **state)
{
    (void)state;
    stage_t one, two;
    fmq_message_report_t report = {0};
    build(&one, 1, "eval: {split: [val]}\n");
    build(&two, 1, "eval: {split: [val]}\n");
    make_examples(&one, 10, 3, 0);
    make_examples(&two, 10, 3, 0);
    fmq_object_t *object =
        fmq_state_give(llm_adapter_schema(two.adapter), &two.state.vector, FMQ_CODEC_F32, &two.err);
    two.state.object = object;
    assert_int_equal(fmq_routine_evaluate(&one.routine, &one.state, &report, &one.err), 0);
    double loss = metric(&report, "val_loss");
    report = (fmq_message_report_t){0};
    assert_int_equal(fmq_routine_evaluate(&two.routine, &two.state, &report, &two.err), 0);
    assert_true(metric(&report, "val_loss") == loss);
    assert_null(two.state.vector);
    assert_ptr_equal(two.state.object, object);
    two.routine.keeps = false;
    two.routine.progress = see_no_state;
    assert_int_equal(fmq_routine_train(&one.routine, 1, &one.state, &report, &one.err), 0);
    assert_int_equal(fmq_routine_train(&two.routine, 1, &two.state, &report, &two.err), 0);
    assert_int_equal(fmq_routine_train(&one.routine, 2, &one.state, &report, &one.err), 0);
    assert_int_equal(fmq_routine_train(&two.routine, 2, &two.state, &report, &two.err), 0);
    assert_true(two.steps_seen > 0);
    assert_null(two.state.object);
    assert_memory_equal(one.state.vector, two.state.vector,
                        one.elements * sizeof *one.state.vector);
    release(&one);
    release(&two);
}

static void a_shards_bytes_become_examples(void **state)
{
    (void)state;
    stage_t stage;
    build(&stage, 1, "");
    llm_records_t *records[3] = {some_records(0, 5), some_records(5, 2), NULL};
    fmq_object_t *object = fmq_shard_encode((const llm_records_t *const *)records, &stage.err);
    assert_non_null(object);
    size_t size = 0;
    const void *bytes = fmq_object_chunk(object, 0, &size);
    fmq_examples_how_t how = {.tokenizer = tokenizer, .tok_len = 128};
    assert_int_equal(fmq_examples_decode(&stage.examples, bytes, size, &how, &stage.err), 0);
    assert_int_equal(fmq_examples_size(&stage.examples, FMQ_PART_TRAIN), 5);
    assert_int_equal(fmq_examples_size(&stage.examples, FMQ_PART_VAL), 2);
    assert_int_equal(fmq_examples_size(&stage.examples, FMQ_PART_TEST), 0);
    assert_int_equal(fmq_examples_fit_all(&stage.examples).too_long, 0);

    fmq_examples_t broken;
    assert_int_equal(fmq_examples_decode(&broken, bytes, size / 2, &how, &stage.err), -1);
    assert_null(broken.parts[FMQ_PART_TRAIN]);
    fmq_object_drop(&object);
    llm_records_destroy(&records[0]);
    llm_records_destroy(&records[1]);
    release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_lowers_the_loss_and_says_what_it_used),
        cmocka_unit_test(the_same_task_gives_the_same_bytes_at_any_number_of_threads),
        cmocka_unit_test(what_is_computed_again_is_as_asked_for_and_gives_the_same_bytes),
        cmocka_unit_test(where_little_is_free_as_much_as_possible_is_computed_again),
        cmocka_unit_test(another_round_or_client_draws_other_batches),
        cmocka_unit_test(a_stopped_routine_leaves_the_state_as_it_was),
        cmocka_unit_test(without_training_examples_nothing_is_trained),
        cmocka_unit_test(evaluation_measures_the_parts_that_are_asked_for),
        cmocka_unit_test(all_who_compute_do_it_in_the_permits_thread),
        cmocka_unit_test(a_team_trains_and_measures_what_one_device_does),
        cmocka_unit_test(a_client_that_moves_to_the_cpu_leaves_nothing_on_its_device),
        cmocka_unit_test(a_task_takes_the_workspace_of_one_before_it_and_gives_the_same_bytes),
        cmocka_unit_test(a_state_that_is_computed_with_is_not_held_as_a_copy_too),
        cmocka_unit_test(a_shards_bytes_become_examples),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
