/*
 * test_rope.c - rotary frequencies of every scaling are those of transformers'
 * ROPE_INIT_FUNCTIONS, and survive being written.  Goldens by
 * scripts/goldens/make_rope_goldens.py.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "fedmq/llm/shape.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/hub/goldens/rope.json"
#define PAIRS   12

static void expect_frequencies(const llm_shape_t *shape, const json_t *golden)
{
    const json_t *inverse = json_object_get(golden, "inv_freq");
    float frequencies[PAIRS];
    assert_int_equal(json_array_size(inverse), PAIRS);
    llm_shape_rope_frequencies(shape, frequencies);
    for (size_t i = 0; i < PAIRS; i++) {
        double expected = json_number_value(json_array_get(inverse, i));
        if (!(fabs((double)frequencies[i] / expected - 1) < 1e-6))
            fail_msg("pair %zu turns by %.9g, not %.9g", i, (double)frequencies[i], expected);
    }
    double attention = json_number_value(json_object_get(golden, "attention"));
    assert_true(fabs((double)llm_shape_rope_attention(shape) / attention - 1) < 1e-6);
}

static llm_shape_t shape_of(const char *text)
{
    llm_shape_t shape;
    fmq_error_t err = {0};
    if (llm_shape_parse(&shape, "config.json", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    return shape;
}

static void frequencies_of_every_scaling_are_those_of_transformers(void **state)
{
    (void)state;
    json_t *goldens = json_load_file(GOLDENS, 0, NULL);
    assert_true(json_array_size(goldens) >= 18);
    for (size_t i = 0; i < json_array_size(goldens); i++) {
        const json_t *golden = json_array_get(goldens, i);
        char *text = json_dumps(json_object_get(golden, "config"), 0);
        llm_shape_t shape = shape_of(text);
        expect_frequencies(&shape, golden);
        fmq_error_t err;
        char *again = llm_shape_text(&shape, &err);
        assert_non_null(again);
        llm_shape_t read = shape_of(again);
        expect_frequencies(&read, golden);
        assert_true(llm_shape_same_family(&shape, &read));
        free(again);
        free(text);
    }
    json_decref(goldens);
}

#define CONFIG                                                                                     \
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"num_attention_heads\":4,"                      \
    "\"intermediate_size\":40,\"num_hidden_layers\":1,\"vocab_size\":50,"                          \
    "\"max_position_embeddings\":256,\"rope_scaling\":"

static void longrope_reaches_as_far_as_its_short_factors(void **state)
{
    (void)state;
    llm_shape_t shape =
        shape_of(CONFIG "{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":64,"
                        "\"short_factor\":[1,1,1,1,1,1,1,1],\"long_factor\":[2,2,2,2,2,2,2,2]}}");
    assert_int_equal(llm_shape_reach(&shape), 64);
    shape = shape_of(CONFIG "{\"rope_type\":\"dynamic\",\"factor\":2}}");
    assert_int_equal(llm_shape_reach(&shape), 256);
}

static void scalings_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {CONFIG "{\"rope_type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1]}}",
         "short_factor"},
        {CONFIG "{\"rope_type\":\"longrope\",\"short_factor\":[1,1,1,1,1,1,1,1],"
                "\"long_factor\":[1,1,1,1,1,1,1,0]}}",
         "long_factor"},
        {CONFIG "{\"rope_type\":\"yarn\"}}", "factor"},
        {CONFIG "{\"rope_type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":0}}",
         "original_max_position_embeddings"},
        {CONFIG "{\"rope_type\":\"proportional\",\"factor\":2}}", "known: linear"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        llm_shape_t shape;
        fmq_error_t err = {0};
        assert_int_equal(llm_shape_parse(&shape, "config.json", bad[i][0], strlen(bad[i][0]), &err),
                         -1);
        assert_non_null(strstr(err.text, bad[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_of_every_scaling_are_those_of_transformers),
        cmocka_unit_test(longrope_reaches_as_far_as_its_short_factors),
        cmocka_unit_test(scalings_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
