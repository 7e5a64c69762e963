/*
 * test_pruning.c - which weights and which MLP channels go, what is stored of
 * the others, and what the thinner layers compute.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/activations.h"
#include "llm/offsite/magnitude.h"
#include "tests/llm/offsite/workshop.h"

#define WIDTH 16

static llm_emulator_spec_t pruned(bool structured, double ratio)
{
    llm_emulator_spec_t spec = small_spec(1, 3, 0.0);
    spec.strategy = LLM_PRUNING;
    spec.structured = structured;
    spec.prune_ratio = ratio;
    return spec;
}

static void check_mask(const float *values, uint64_t count, uint64_t drop, const char *expected)
{
    uint8_t mask[16];
    assert_int_equal(llm_magnitude_mask(values, count, drop, mask, NULL), 0);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(mask[i / 8] >> (i % 8) & 1, expected[i] == '1');
    if (count % 8)
        assert_int_equal(mask[count / 8] >> (count % 8), 0);
}

static void the_smallest_magnitudes_are_dropped_and_the_first_of_equal_ones(void **state)
{
    (void)state;
    const float values[] = {3, -1, 0.5f, -4, 0, 2, 1, -0.25f, 1, 1e-30f};
    check_mask(values, 10, 0, "1111111111");
    check_mask(values, 10, 1, "1111011111");
    check_mask(values, 10, 2, "1111011110");
    check_mask(values, 10, 4, "1101011010");
    check_mask(values, 10, 5, "1001011010");
    check_mask(values, 10, 6, "1001010010");
    check_mask(values, 10, 9, "0001000000");
    check_mask(values, 10, 10, "0000000000");
    const float equal[] = {2, 2, 2, 2};
    check_mask(equal, 4, 3, "0001");
}

static void what_is_dropped_is_below_what_stays(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    float *values = malloc(COUNT * sizeof *values);
    uint8_t mask[COUNT / 8];
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 2, .purpose = FMQ_RNG_TEST};
    fmq_rng_init(&rng, &name);
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)fmq_rng_normal(&rng);
    for (uint64_t drop = 0; drop <= COUNT; drop += 617) {
        uint64_t dropped = 0;
        float highest = 0.0f, lowest = INFINITY;
        assert_int_equal(llm_magnitude_mask(values, COUNT, drop, mask, NULL), 0);
        for (int i = 0; i < COUNT; i++) {
            float one = fabsf(values[i]);
            bool kept = mask[i / 8] >> (i % 8) & 1;
            dropped += !kept;
            if (kept)
                lowest = one < lowest ? one : lowest;
            else
                highest = one > highest ? one : highest;
        }
        assert_int_equal(dropped, drop);
        assert_true(highest <= lowest);
    }
    free(values);
}

/* The student's weight is the teacher's, or zero for just that share. */
static void check_pruned(const llm_offsite_t *offsite, const char *name, size_t count, double ratio)
{
    float *theirs = workshop_read(offsite->teacher, 2, name, count);
    float *mine = workshop_read(offsite->student, 2, name, count);
    size_t zeros = 0;
    float highest = 0.0f, lowest = INFINITY;
    for (size_t i = 0; i < count; i++) {
        float one = fabsf(theirs[i]);
        if (mine[i] == 0.0f) {
            zeros++;
            highest = one > highest ? one : highest;
        } else {
            assert_true(mine[i] == theirs[i]);
            lowest = one < lowest ? one : lowest;
        }
    }
    assert_int_equal(zeros, (size_t)(ratio * (double)count));
    assert_true(highest <= lowest);
    free(theirs);
    free(mine);
}

static void magnitude_pruning_zeroes_a_share_of_every_matrix(void **state)
{
    (void)state;
    const struct {
        const char *family, *name;
        size_t count;
    } cases[] = {{"llama", "self_attn.q_proj.weight", 16 * 16},
                 {"llama", "mlp.down_proj.weight", 16 * 20},
                 {"gpt2", "attn.c_attn.weight", 16 * 48},
                 {"gpt2", "mlp.c_proj.weight", 24 * 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        workshop_t shop;
        workshop_open(&shop, cases[i].family, 4, NULL);
        llm_emulator_spec_t spec = pruned(false, 0.3);
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        check_pruned(offsite, cases[i].name, cases[i].count, 0.3);
        double teacher = small_model_loss(shop.small.model, shop.small.be);
        double student = small_model_loss(offsite->student, shop.small.be);
        assert_true(student != teacher && fabs(student - teacher) < 0.05 * teacher);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
}

static void pruning_nothing_changes_nothing(void **state)
{
    (void)state;
    for (int structured = 0; structured < 2; structured++) {
        workshop_t shop;
        workshop_open(&shop, "gpt2", 4, NULL);
        llm_emulator_spec_t spec = pruned(structured, 0.0);
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        double teacher = small_model_loss(shop.small.model, shop.small.be);
        assert_true(small_model_loss(llm_emulator_offsite(emulator)->student, shop.small.be) ==
                    teacher);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
}

static void the_more_is_pruned_the_smaller_the_files(void **state)
{
    (void)state;
    uint64_t last[2] = {UINT64_MAX, UINT64_MAX};
    const double ratios[] = {0.25, 0.5, 0.75};
    for (size_t i = 0; i < 3; i++) {
        for (int structured = 0; structured < 2; structured++) {
            workshop_t shop;
            workshop_open(&shop, "llama", 4, NULL);
            llm_emulator_spec_t spec = pruned(structured, ratios[i]);
            llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
            uint64_t bytes = workshop_bytes(&shop);
            assert_true(bytes < last[structured]);
            last[structured] = bytes;
            llm_emulator_destroy(&emulator);
            workshop_close(&shop);
        }
    }
}

/* Silences every second MLP channel of all layers. */
static void silence_llama(const char *name, float *values, uint64_t rows, uint64_t columns)
{
    if (!strstr(name, "gate_proj"))
        return;
    for (uint64_t r = 0; r < rows; r += 2)
        memset(values + r * columns, 0, columns * sizeof *values);
}

static void silence_gpt2(const char *name, float *values, uint64_t rows, uint64_t columns)
{
    if (!strstr(name, "c_fc.weight"))
        return;
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < columns; c += 2)
            values[r * columns + c] = 0.0f;
}

static void channels_that_are_silent_go_first_and_are_not_missed(void **state)
{
    (void)state;
    const struct {
        const char *family, *up;
        workshop_edit_fn *silence;
        size_t channels;
        bool input_major;
    } cases[] = {{"llama", "mlp.up_proj.weight", silence_llama, 20, false},
                 {"gpt2", "mlp.c_fc.weight", silence_gpt2, 24, true}};
    for (size_t i = 0; i < 2; i++) {
        workshop_t shop;
        workshop_open(&shop, cases[i].family, 4, cases[i].silence);
        llm_emulator_spec_t spec = pruned(true, 0.5);
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        size_t channels = cases[i].channels, kept = channels / 2;
        float *theirs = workshop_read(offsite->teacher, 1, cases[i].up, WIDTH * channels);
        float *mine = workshop_read(offsite->student, 1, cases[i].up, WIDTH * channels);
        for (size_t c = 0; c < kept; c++) /* the odd ones, in order */
            for (size_t w = 0; w < WIDTH; w++)
                assert_true(cases[i].input_major
                                ? mine[w * channels + c] == theirs[w * channels + 2 * c + 1]
                                : mine[c * WIDTH + w] == theirs[(2 * c + 1) * WIDTH + w]);
        double teacher = small_model_loss(shop.small.model, shop.small.be);
        double student = small_model_loss(offsite->student, shop.small.be);
        assert_true(fabs(student - teacher) < 1e-5 * teacher);
        free(theirs);
        free(mine);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
}

/* Channel c of layer 1 is loud by its number, and its column of down alike. */
static void grade_llama(const char *name, float *values, uint64_t rows, uint64_t columns)
{
    bool up = strstr(name, "up_proj") != NULL, down = strstr(name, "down_proj") != NULL;
    for (uint64_t r = 0; up && r < rows; r++)
        for (uint64_t c = 0; c < columns; c++)
            values[r * columns + c] *= (float)((r * 7) % 20 + 1) * 10.0f;
    for (uint64_t i = 0; down && i < rows * columns; i++)
        values[i] = i % 3 ? 0.02f : -0.02f;
}

static void loud_channels_stay(void **state)
{
    (void)state;
    workshop_t shop;
    fmq_error_t err;
    workshop_open(&shop, "llama", 4, grade_llama);
    llm_loudness_t how = {shop.small.model, 1, 3, shop.data, shop.small.be, 1};
    float *loudness = llm_loudness_new(&how, &err);
    assert_non_null(loudness);
    llm_emulator_spec_t spec = pruned(true, 0.7);
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
    float *theirs = workshop_read(offsite->teacher, 2, "mlp.up_proj.weight", 20 * WIDTH);
    float *mine = workshop_read(offsite->student, 2, "mlp.up_proj.weight", 20 * WIDTH);
    float highest = 0.0f, lowest = INFINITY;
    size_t next = 0;
    for (size_t c = 0; c < 20; c++) { /* columns of down weigh the same: loudness decides */
        float loud = loudness[20 + c];
        if (next < 6 && memcmp(mine + next * WIDTH, theirs + c * WIDTH, WIDTH * 4) == 0) {
            lowest = loud < lowest ? loud : lowest;
            next++;
        } else {
            highest = loud > highest ? loud : highest;
        }
    }
    assert_int_equal(next, 6);
    assert_true(lowest >= highest && highest > 0.0f);
    free(loudness);
    free(theirs);
    free(mine);
    llm_emulator_destroy(&emulator);
    workshop_close(&shop);
}

static void loudness_does_not_depend_on_where_layers_begin(void **state)
{
    (void)state;
    workshop_t shop;
    fmq_error_t err;
    workshop_open(&shop, "gpt2", 4, NULL);
    llm_loudness_t all = {shop.small.model, 0, 4, shop.data, shop.small.be, 1};
    llm_loudness_t one = {shop.small.model, 2, 3, shop.data, shop.small.be, 1};
    float *wide = llm_loudness_new(&all, &err), *narrow = llm_loudness_new(&one, &err);
    assert_memory_equal(narrow, wide + 2 * 24, 24 * sizeof *narrow);
    for (size_t i = 0; i < 4 * 24; i++)
        assert_true(isfinite(wide[i]) && wide[i] > 0.0f);
    free(wide);
    free(narrow);
    workshop_close(&shop);
}

static void name_targets(llm_adapter_spec_t *spec, const char *first, const char *second)
{
    spec->targets = second ? 2 : 1;
    (void)snprintf(spec->target[0], sizeof spec->target[0], "%s", first);
    if (second)
        (void)snprintf(spec->target[1], sizeof spec->target[1], "%s", second);
}

static void adapters_fit_narrower_layers_too(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        workshop_t shop;
        fmq_error_t err;
        workshop_open(&shop, "gpt2", 4, NULL);
        llm_emulator_spec_t spec = pruned(true, 0.5);
        name_targets(&spec.adapter, "c_proj", "c_fc");
        if (full)
            spec.adapter = (llm_adapter_spec_t){.kind = LLM_ADAPTER_FULL};
        llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
        const llm_offsite_t *offsite = llm_emulator_offsite(emulator);
        float *vector = small_vector(offsite->adapter, 0.1, 0);
        float *fixed = small_vector(offsite->state, 0.1, 1);
        llm_stack_t bare = {.model = offsite->student, .adapter = offsite->adapter};
        llm_stack_t both = {offsite->student, offsite->adapter, offsite->state};
        double without = small_loss(&bare, vector, NULL, shop.small.be);
        assert_true(small_loss(&both, vector, fixed, shop.small.be) != without);
        assert_int_equal(llm_offsite_init_state(offsite, 1, fixed, &err), 0);
        double with = small_loss(&both, vector, fixed, shop.small.be);
        assert_true(fabs(with - without) < 1e-5 * without);
        free(vector);
        free(fixed);
        llm_emulator_destroy(&emulator);
        workshop_close(&shop);
    }
}

static void pruning_by_activations_needs_examples(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    workshop_t shop;
    workshop_open(&shop, "llama", 4, NULL);
    llm_emulator_spec_t spec = pruned(true, 0.5);
    shop.how.data = NULL;
    assert_null(llm_emulator_new(shop.small.model, &spec, &shop.how, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_non_null(strstr(err.text, "public examples"));
    assert_int_equal(workshop_files(&shop), 0);
    workshop_close(&shop);
}

static void files_are_found_again_unless_the_examples_are_others(void **state)
{
    (void)state;
    workshop_t shop;
    workshop_open(&shop, "llama", 4, NULL);
    llm_emulator_spec_t spec = pruned(true, 0.5);
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    uint64_t times = workshop_times(&shop);
    llm_emulator_t *again = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_times(&shop), times);
    llm_emulator_destroy(&again);
    shop.how.seed = 2;
    again = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_files(&shop), 4);
    llm_emulator_destroy(&again);
    llm_emulator_destroy(&emulator);
    workshop_close(&shop);
}

static void a_teacher_that_computes_in_bf16_has_files_of_its_own(void **state)
{
    (void)state;
    workshop_t shop;
    workshop_open(&shop, "llama", 4, NULL);
    llm_emulator_spec_t spec = pruned(true, 0.5);
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_files(&shop), 2);
    shop.how.be = llm_backend_cpu_new_half(1, NULL);
    assert_non_null(shop.how.be);
    llm_emulator_t *narrow = small_emulator(&shop.small, &spec, &shop.how);
    assert_int_equal(workshop_files(&shop), 4);
    llm_emulator_destroy(&narrow);
    llm_emulator_destroy(&emulator);
    llm_backend_destroy(&shop.how.be);
    workshop_close(&shop);
}

static void a_broken_file_is_made_anew(void **state)
{
    (void)state;
    workshop_t shop;
    workshop_open(&shop, "llama", 4, NULL);
    llm_emulator_spec_t spec = pruned(false, 0.5);
    llm_emulator_t *emulator = small_emulator(&shop.small, &spec, &shop.how);
    uint64_t bytes = workshop_bytes(&shop);
    fmq_digest_t digest = llm_model_digest(llm_emulator_offsite(emulator)->student);
    llm_emulator_destroy(&emulator);
    workshop_cut_one(&shop);
    assert_true(workshop_bytes(&shop) < bytes);
    emulator = small_emulator(&shop.small, &spec, &shop.how);
    fmq_digest_t again = llm_model_digest(llm_emulator_offsite(emulator)->student);
    assert_int_equal(workshop_bytes(&shop), bytes);
    assert_true(fmq_digest_equal(&digest, &again));
    llm_emulator_destroy(&emulator);
    workshop_close(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_magnitudes_are_dropped_and_the_first_of_equal_ones),
        cmocka_unit_test(what_is_dropped_is_below_what_stays),
        cmocka_unit_test(magnitude_pruning_zeroes_a_share_of_every_matrix),
        cmocka_unit_test(pruning_nothing_changes_nothing),
        cmocka_unit_test(the_more_is_pruned_the_smaller_the_files),
        cmocka_unit_test(channels_that_are_silent_go_first_and_are_not_missed),
        cmocka_unit_test(loud_channels_stay),
        cmocka_unit_test(loudness_does_not_depend_on_where_layers_begin),
        cmocka_unit_test(adapters_fit_narrower_layers_too),
        cmocka_unit_test(pruning_by_activations_needs_examples),
        cmocka_unit_test(files_are_found_again_unless_the_examples_are_others),
        cmocka_unit_test(a_teacher_that_computes_in_bf16_has_files_of_its_own),
        cmocka_unit_test(a_broken_file_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
