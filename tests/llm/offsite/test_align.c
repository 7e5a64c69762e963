/*
 * test_align.c - what alignment does to an emulator and what it leaves alone,
 * over small models: losses fall, bytes depend on what they should depend on,
 * and nothing is changed by failure.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/offsite/aligning.h"

static fmq_error_t err;

static int open_usual(void **state)
{
    aligning_t *room = calloc(1, sizeof *room);
    assert_non_null(room);
    aligning_how_t how = aligning_usual();
    aligning_open(room, &how, llm_backend_cpu_new(2, &err));
    *state = room;
    return 0;
}

static int close_usual(void **state)
{
    aligning_close(*state);
    free(*state);
    return 0;
}

static bool same(const aligning_t *room, const float *a, const float *b)
{
    return memcmp(a, b, room->state_size * sizeof *a) == 0;
}

/* The loss after training, as a share of the one before. */
static double share_left(aligning_t *room)
{
    double before = aligning_measure(room, room->state).loss;
    float *state = aligning_run(room, NULL);
    double after = aligning_measure(room, state).loss;
    free(state);
    return after / before;
}

static void alignment_brings_the_streams_together(void **state)
{
    aligning_t *room = *state;
    room->options.train.steps = 30;
    assert_true(share_left(room) < 0.1);
    room->options.layerwise = true;
    assert_true(share_left(room) < 0.2);
    room->options.layerwise = false;
    room->options.sim = LLM_SIM_COS;
    double before = aligning_measure(room, room->state).sim;
    float *trained = aligning_run(room, NULL);
    assert_true(aligning_measure(room, trained).sim + 1.0 < 0.1 * (before + 1.0));
    free(trained);
}

static void alignment_brings_the_words_together(void **state)
{
    aligning_t *room = *state;
    room->options.sim_weight = 0.0;
    room->options.kl_weight = 2.0;
    room->options.train.steps = 30;
    assert_true(share_left(room) < 0.2);
    room->options.kl_weight = 0.0;
    room->options.lm_weight = 1.0;
    assert_true(share_left(room) < 0.98);
}

static void the_released_sign_makes_the_client_less_likely(void **state)
{
    aligning_t *room = *state;
    room->options =
        (llm_align_options_t){.kl = LLM_KL_LOGPS, .kl_weight = 1.0, .train = room->options.train};
    double before = aligning_measure(room, room->state).kl;
    float *right = aligning_run(room, NULL);
    room->options.released = true;
    assert_true(aligning_measure(room, room->state).kl == -before);
    float *released = aligning_run(room, NULL);
    room->options.released = false;
    /* log p_full - log p_client */
    assert_true(aligning_measure(room, right).kl < before - 1e-3);
    assert_true(aligning_measure(room, released).kl > before + 1e-3);
    free(right);
    free(released);
}

static void an_emulator_of_all_layers_is_its_teacher(void **state)
{
    aligning_t *room = *state;
    llm_emulator_spec_t spec = small_spec(1, 5, 0.0);
    llm_emulator_building_t how = {.be = room->be};
    llm_emulator_t *whole = llm_emulator_new(room->teacher, &spec, &how, &err);
    assert_non_null(whole);
    const llm_offsite_t *offsite = llm_emulator_offsite(whole);
    float *adapter = small_vector(offsite->adapter, 0.1, 1);
    uint64_t size = fmq_schema_elements(llm_adapter_schema(offsite->state));
    float *nothing = calloc((size_t)size, sizeof *nothing);
    room->align.offsite = offsite;
    for (int layerwise = 0; layerwise < 2; layerwise++) {
        llm_align_stats_t stats;
        room->options = (llm_align_options_t){.sim_weight = 1.0,
                                              .layerwise = layerwise,
                                              .kl_weight = 1.0,
                                              .train = room->options.train};
        assert_int_equal(llm_align_measure(&room->align, adapter, nothing, &stats, &err), 0);
        assert_true(stats.sim == 0.0);
        assert_true(stats.kl == 0.0);
        assert_int_equal(stats.samples, ALIGNING_EXAMPLES);
    }
    free(adapter);
    free(nothing);
    llm_emulator_destroy(&whole);
}

static void statistics_are_means_of_what_was_computed(void **state)
{
    aligning_t *room = *state;
    llm_align_stats_t stats;
    room->options = (llm_align_options_t){
        .sim_weight = 0.5, .kl_weight = 3.0, .lm_weight = 0.25, .train = room->options.train};
    room->options.train.grad_accum = 2;
    free(aligning_run(room, &stats));
    assert_int_equal(stats.steps, 6);
    assert_int_equal(stats.nan_batches, 0);
    /* Twelve batches: three epochs of 3 + 3 + 3 + 1 examples. */
    assert_int_equal(stats.samples, 3 * ALIGNING_EXAMPLES);
    assert_int_equal(stats.tokens, 3 * llm_dataset_tokens(room->data));
    double sum = 0.5 * stats.sim + 3.0 * stats.kl + 0.25 * stats.lm;
    assert_true(fabs(stats.loss - sum) < 1e-12 * fabs(sum) + 1e-15);
    assert_true(stats.sim > 0.0 && stats.kl > 0.0 && stats.lm > 0.0 && stats.seconds > 0.0);
    room->options = (llm_align_options_t){.lm_weight = 1.0, .train = room->options.train};
    stats = aligning_measure(room, room->state);
    assert_true(stats.sim == 0.0 && stats.kl == 0.0 && stats.lm == stats.loss);
}

static void the_optimizer_and_the_batches_asked_for_are_those_used(void **state)
{
    aligning_t *room = *state;
    float *usual = aligning_run(room, NULL), *again = aligning_run(room, NULL);
    assert_true(same(room, usual, again));
    assert_false(same(room, usual, room->state));
    llm_train_options_t *train = &room->options.train;
    const llm_train_options_t kept = *train;
    for (int way = 0; way < 7; way++) {
        *train = kept;
        switch (way) {
        case 0:
            train->optimizer.lr = 0.02;
            break;
        case 1:
            train->optimizer.kind = LLM_SGD;
            break;
        case 2:
            train->schedule = (llm_schedule_t){.kind = LLM_SCHEDULE_EXPONENTIAL, .gamma = 0.5};
            break;
        case 3:
            train->grad_clip = 1e-6;
            train->optimizer = (llm_optimizer_t){.kind = LLM_SGD, .lr = 0.01};
            break;
        case 4:
            train->seed++;
            break;
        case 5:
            train->round++;
            break;
        default:
            train->batch_size = 2;
        }
        float *other = aligning_run(room, NULL);
        assert_false(same(room, usual, other));
        free(other);
    }
    *train = kept;
    train->client = 5; /* the server's alignment is nobody's */
    float *other = aligning_run(room, NULL);
    assert_true(same(room, usual, other));
    free(other);
    free(usual);
    free(again);
}

/* E's vector after a run with the usual room's options but that backend. */
static float *run_on(llm_backend_t *be, const llm_align_options_t *options)
{
    aligning_t room;
    aligning_how_t how = aligning_usual();
    how.adapter.dropout = 0.1f;
    aligning_open(&room, &how, be);
    llm_train_options_t train = room.options.train;
    room.options = *options;
    room.options.train = train;
    float *trained = aligning_run(&room, NULL);
    aligning_close(&room);
    return trained;
}

static void bytes_do_not_depend_on_threads(void **state)
{
    aligning_t *room = *state;
    const llm_align_options_t kinds[] = {{.sim_weight = 1.0, .kl_weight = 0.5, .lm_weight = 0.1},
                                         {.sim_weight = 1.0, .sim = LLM_SIM_COS, .layerwise = true},
                                         {.kl_weight = 1.0, .kl = LLM_KL_LOGPS}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        float *one = run_on(llm_backend_cpu_new(1, NULL), &kinds[i]);
        float *two = run_on(llm_backend_cpu_new(2, NULL), &kinds[i]);
        assert_true(same(room, one, two));
        free(one);
        free(two);
    }
}

static void all_families_and_adapters_can_be_aligned(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        aligning_t room;
        aligning_how_t how = {.family = way % 2 ? "llama" : "gpt2", .l = 0, .r = 4};
        how.adapter = small_lora();
        if (way >= 2)
            how.adapter = (llm_adapter_spec_t){.kind = LLM_ADAPTER_FULL};
        aligning_open(&room, &how, llm_backend_cpu_new(2, NULL));
        if (way >= 2) { /* A as it is in the model, not small numbers */
            room.options.train.optimizer.lr = 5e-4;
            const llm_offsite_t *offsite = llm_emulator_offsite(room.emulator);
            assert_int_equal(
                llm_adapter_init(offsite->adapter, offsite->student, 0, room.adapter, &err), 0);
        }
        room.options.kl_weight = 0.5;
        room.options.train.steps = 20;
        assert_true(share_left(&room) < 0.8);
        aligning_close(&room);
    }
}

static int stop_at_three(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    uint64_t *last = argument;
    assert_int_equal(step, *last + 1);
    assert_int_equal(steps, 6);
    assert_true(tokens > 0);
    *last = step;
    return step == 3;
}

static void a_stop_and_failures_leave_the_vectors_as_they_were(void **state)
{
    aligning_t *room = *state;
    size_t bytes = room->adapter_size * sizeof(float);
    float *adapter = malloc(bytes), *trained = malloc(room->state_size * sizeof *trained);
    memcpy(adapter, room->adapter, bytes);
    memcpy(trained, room->state, room->state_size * sizeof *trained);
    uint64_t last = 0;
    llm_align_stats_t stats = {.steps = 77};
    room->align.progress = stop_at_three;
    room->align.argument = &last;
    assert_int_equal(llm_align_run(&room->align, room->adapter, trained, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    assert_int_equal(last, 3);
    assert_int_equal(stats.steps, 77);
    assert_true(same(room, trained, room->state));
    room->align.progress = NULL;
    room->options.train.optimizer = (llm_optimizer_t){.kind = LLM_SGD, .lr = 1e300};
    assert_int_equal(llm_align_run(&room->align, room->adapter, trained, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_true(same(room, trained, room->state));
    assert_memory_equal(adapter, room->adapter, bytes);
    free(adapter);
    free(trained);
}

static void a_run_does_not_touch_the_adapter(void **state)
{
    aligning_t *room = *state;
    size_t bytes = room->adapter_size * sizeof(float);
    float *adapter = malloc(bytes);
    memcpy(adapter, room->adapter, bytes);
    room->options.kl_weight = 1.0;
    room->options.lm_weight = 1.0;
    free(aligning_run(room, NULL));
    assert_memory_equal(adapter, room->adapter, bytes);
    /* ... and sees it: another A, another E. */
    float *with = aligning_run(room, NULL);
    for (size_t i = 0; i < room->adapter_size; i++)
        room->adapter[i] *= 2.0f;
    float *without = aligning_run(room, NULL);
    assert_false(same(room, with, without));
    free(with);
    free(without);
    free(adapter);
}

static void a_loss_that_is_not_a_number_is_an_error_whatever_the_batch(void **state)
{
    aligning_t *room = *state;
    llm_align_stats_t stats;
    float *broken = malloc(room->state_size * sizeof *broken);
    for (int way = 0; way < 4; way++) {
        memcpy(broken, room->state, room->state_size * sizeof *broken);
        broken[room->state_size - 1] = NAN;
        room->options.sim = way % 2 ? LLM_SIM_COS : LLM_SIM_L2;
        room->options.train.batch_size = way < 2 ? 1 : 4;
        assert_int_equal(llm_align_run(&room->align, room->adapter, broken, &stats, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_NUMERIC);
        assert_int_equal(llm_align_measure(&room->align, room->adapter, broken, &stats, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    }
    free(broken);
}

static void assert_refused(aligning_t *room, const char *word)
{
    llm_align_stats_t stats;
    float *trained = malloc(room->state_size * sizeof *trained);
    memcpy(trained, room->state, room->state_size * sizeof *trained);
    assert_int_equal(llm_align_run(&room->align, room->adapter, trained, &stats, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
    assert_true(same(room, trained, room->state));
    free(trained);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    aligning_t *room = *state;
    const llm_align_options_t good = room->options;
    room->options.sim_weight = -1.0;
    assert_refused(room, "similarity is -1");
    room->options.sim_weight = 0.0;
    assert_refused(room, "nothing to align");
    room->options.kl_weight = NAN;
    assert_refused(room, "divergence is nan");
    room->options = good;
    room->options.train.steps = 0;
    assert_refused(room, "local_update_steps");
    room->options = good;
    room->options.train.optimizer.lr = -1;
    assert_refused(room, "lr");
    room->options = good;
    uint32_t source[6] = {0, 0, 4, 5}; /* layer 0 is not emulated */
    llm_offsite_t other = *room->align.offsite;
    other.source = source;
    room->align.offsite = &other;
    room->options.layerwise = true;
    assert_refused(room, "layer 0");
    llm_records_t *records = llm_records_new();
    llm_dataset_t *empty = llm_dataset_new(records, NULL, NULL, 100, &err);
    room->options = good;
    if (empty) {
        room->align.data = empty;
        assert_refused(room, "no public example");
    }
    llm_dataset_destroy(&empty);
    llm_records_destroy(&records);
}

static void only_a_comparison_needs_the_full_model(void **state)
{
    aligning_t *room = *state;
    llm_offsite_t client = *room->align.offsite;
    client.teacher = NULL;
    room->align.offsite = &client;
    assert_refused(room, "full model");
    room->options = (llm_align_options_t){.lm_weight = 1.0, .train = room->options.train};
    free(aligning_run(room, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_usual, close_usual)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(alignment_brings_the_streams_together),
        TEST(alignment_brings_the_words_together),
        TEST(the_released_sign_makes_the_client_less_likely),
        TEST(an_emulator_of_all_layers_is_its_teacher),
        TEST(statistics_are_means_of_what_was_computed),
        TEST(the_optimizer_and_the_batches_asked_for_are_those_used),
        TEST(bytes_do_not_depend_on_threads),
        cmocka_unit_test(all_families_and_adapters_can_be_aligned),
        TEST(a_stop_and_failures_leave_the_vectors_as_they_were),
        TEST(a_run_does_not_touch_the_adapter),
        TEST(a_loss_that_is_not_a_number_is_an_error_whatever_the_batch),
        TEST(options_that_make_no_sense_are_refused),
        TEST(only_a_comparison_needs_the_full_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
