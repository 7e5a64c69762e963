/*
 * test_distillation.c - layers trained to do the work of more: that they come
 * closer to the teacher, always in the same way, and wholly or not at all.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/align.h"
#include "tests/llm/offsite/workshop.h"

#define STEPS 30

static llm_align_options_t gently(void)
{
    return (llm_align_options_t){
        .sim = LLM_SIM_L2,
        .sim_weight = 1.0,
        .train = {
            .optimizer = {.kind = LLM_ADAM, .lr = 2e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
            .steps = STEPS,
            .batch_size = 4,
            .shuffle = true,
            .grad_accum = 1,
            .seed = 3}};
}

static llm_emulator_spec_t distilled(void)
{
    llm_emulator_spec_t spec = small_spec(1, 4, 0.4);
    spec.strategy = LLM_DISTILLATION;
    return spec;
}

/* Layers as loud as trained ones: random ones hardly change the stream, and
 * leave nothing to be learnt. */
static void amplify(const char *name, float *values, uint64_t rows, uint64_t columns)
{
    if (!strstr(name, ".weight") || columns == 1 || strstr(name, "embed") || strstr(name, "wte"))
        return;
    for (uint64_t i = 0; i < rows * columns; i++)
        values[i] *= 6.0f;
}

/* The l2 similarity loss between teacher and client on the public examples. */
static double distance_of(const llm_emulator_t *emulator, const workshop_t *shop)
{
    fmq_error_t err = {0};
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    llm_align_options_t options = gently();
    llm_align_t align = {
        .offsite = offsite, .data = shop->data, .options = &options, .be = shop->small.be};
    float *adapter = small_vector(offsite->adapter, 0.0, 0);
    float *state = small_vector(offsite->state, 0.0, 0);
    llm_align_stats_t stats = {0};
    if (llm_align_measure(&align, adapter, state, &stats, &err) < 0)
        fail_msg("%s", err.text);
    free(adapter);
    free(state);
    return stats.sim;
}

static void a_distilled_client_is_closer_to_the_teacher_than_one_with_layers_dropped(void **state)
{
    (void)state;
    const char *const families[] = {"llama", "gpt2"};
    for (size_t f = 0; f < 2; f++) {
        workshop_t shop;
        workshop_open(&shop, families[f], 6, amplify);
        llm_align_options_t options = gently();
        shop.how.distil = &options;
        llm_emulator_spec_t drop = small_spec(1, 4, 0.4), spec = distilled();
        llm_emulator_t *plain = small_emulator(&shop.small, &drop, &shop.how);
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        assert_int_equal(llm_model_shape(llm_emulator_offsite(emulator)->student)->layers, 5);
        assert_int_equal(workshop_files(&shop), 2);
        double before = distance_of(plain, &shop), after = distance_of(emulator, &shop);
        if (!(after < 0.6 * before))
            fail_msg("%s: the distance went from %g to %g", families[f], before, after);
        llm_emulator_destroy(&plain);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
}

static fmq_digest_t digest_of(const workshop_t *shop)
{
    llm_emulator_spec_t spec = distilled();
    llm_emulator_t *emulator = small_emulator(&shop->small, &spec, &shop->how);
    fmq_digest_t digest = llm_model_digest(llm_emulator_offsite(emulator)->student);
    llm_emulator_destroy(&emulator);
    return digest;
}

static void the_same_inputs_give_the_same_bytes_and_others_do_not(void **state)
{
    (void)state;
    fmq_digest_t digests[3];
    for (uint32_t i = 0; i < 3; i++) {
        workshop_t shop;
        workshop_open(&shop, "llama", 6, NULL);
        llm_align_options_t options = gently();
        options.train.seed = i / 2;
        shop.how.distil = &options;
        digests[i] = digest_of(&shop);
        workshop_close(&shop);
    }
    assert_true(fmq_digest_equal(&digests[0], &digests[1]));
    assert_false(fmq_digest_equal(&digests[0], &digests[2]));
}

static void what_was_distilled_is_found_again(void **state)
{
    (void)state;
    workshop_t shop;
    workshop_open(&shop, "llama", 6, NULL);
    llm_align_options_t options = gently();
    shop.how.distil = &options;
    fmq_digest_t first = digest_of(&shop);
    uint64_t times = workshop_times(&shop);
    fmq_digest_t second = digest_of(&shop);
    assert_int_equal(workshop_times(&shop), times);
    assert_true(fmq_digest_equal(&first, &second));
    options.sim = LLM_SIM_COS;
    (void)digest_of(&shop);
    assert_int_equal(workshop_files(&shop), 4);
    workshop_close(&shop);
}

static int stop_in_the_middle(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    (void)tokens;
    assert_int_equal(steps, STEPS);
    *(uint64_t *)argument = step;
    return step == STEPS / 2;
}

static void stopping_leaves_nothing(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    workshop_t shop;
    uint64_t step = 0;
    workshop_open(&shop, "llama", 6, NULL);
    llm_align_options_t options = gently();
    shop.how.distil = &options;
    shop.how.progress = stop_in_the_middle;
    shop.how.argument = &step;
    llm_emulator_spec_t spec = distilled();
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_int_equal(err.code, FMQ_ERR_STOPPED);
    assert_int_equal(step, STEPS / 2);
    assert_int_equal(workshop_files(&shop), 0);
    workshop_close(&shop);
}

static void what_distillation_lacks_is_said(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    workshop_t shop;
    workshop_open(&shop, "llama", 6, NULL);
    llm_emulator_spec_t spec = distilled();
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_non_null(strstr(err.text, "how to train"));
    llm_align_options_t options = gently();
    shop.how.distil = &options;
    shop.how.data = NULL;
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_non_null(strstr(err.text, "public examples"));
    shop.how.data = shop.data;
    shop.how.directory = NULL;
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_non_null(strstr(err.text, "directory"));
    workshop_close(&shop);
}

static void layers_that_are_the_adapter_can_stand_on_distilled_ones(void **state)
{
    (void)state;
    workshop_t shop;
    workshop_open(&shop, "gpt2", 6, NULL);
    llm_align_options_t options = gently();
    options.train.steps = 2;
    shop.how.distil = &options;
    llm_emulator_spec_t spec = distilled();
    spec.adapter.kind = LLM_ADAPTER_FULL;
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_files(&shop), 2);
    llm_emulator_destroy(&emulator);
    workshop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_distilled_client_is_closer_to_the_teacher_than_one_with_layers_dropped),
        cmocka_unit_test(the_same_inputs_give_the_same_bytes_and_others_do_not),
        cmocka_unit_test(what_was_distilled_is_found_again),
        cmocka_unit_test(stopping_leaves_nothing),
        cmocka_unit_test(what_distillation_lacks_is_said),
        cmocka_unit_test(layers_that_are_the_adapter_can_stand_on_distilled_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
