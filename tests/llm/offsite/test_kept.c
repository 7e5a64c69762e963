/*
 * test_kept.c - which layers drop_layer keeps, against FS-LLM's formula.
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/offsite.h"

#define LAYERS_MAX 128

/* Checks that of m layers just those in `dropped` (ended by -1) go. */
static void check_dropped(uint32_t m, double d, const int *dropped)
{
    uint32_t kept[LAYERS_MAX];
    uint32_t n = llm_drop_layer_kept(m, d, kept), next = 0;
    for (uint32_t layer = 0; layer < m; layer++) {
        if (*dropped == (int)layer)
            dropped++;
        else
            assert_int_equal(kept[next++], layer);
    }
    assert_int_equal(*dropped, -1);
    assert_int_equal(n, next);
}

static void the_worked_examples_of_the_reference_hold(void **state)
{
    (void)state;
    check_dropped(30, 0.2, (const int[]){4, 9, 14, 19, 24, 28, -1});
    check_dropped(30, 0.5,
                  (const int[]){1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 28, -1});
    check_dropped(28, 0.2, (const int[]){4, 8, 13, 17, 22, 26, -1});
    check_dropped(28, 0.5, (const int[]){1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 26, -1});
}

static void check_case(const json_t *golden)
{
    uint32_t m = (uint32_t)json_integer_value(json_object_get(golden, "m"));
    double d = json_number_value(json_object_get(golden, "d"));
    const json_t *expected = json_object_get(golden, "kept");
    uint32_t kept[LAYERS_MAX];
    assert_in_range(m, 1, LAYERS_MAX);
    uint32_t n = llm_drop_layer_kept(m, d, kept);
    if (n != json_array_size(expected))
        fail_msg("m %u, d %g: %u layers are kept, not %zu", m, d, n, json_array_size(expected));
    for (uint32_t i = 0; i < n; i++) {
        json_int_t layer = json_integer_value(json_array_get(expected, i));
        if (kept[i] != (uint32_t)layer)
            fail_msg("m %u, d %g: layer %u is kept as number %u, not %d", m, d, kept[i], i,
                     (int)layer);
    }
}

static void every_count_and_ratio_keeps_the_layers_that_python_keeps(void **state)
{
    (void)state;
    json_error_t broken;
    json_t *golden =
        json_load_file(FEDMQ_SOURCE_DIR "/tests/llm/offsite/goldens/drop_layer.json", 0, &broken);
    if (!golden)
        fail_msg("cannot read the golden file: %s", broken.text);
    const json_t *cases = json_object_get(golden, "cases");
    assert_true(json_array_size(cases) > 1000);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(golden);
}

static void what_is_kept_is_strictly_ascending_and_within_the_row(void **state)
{
    (void)state;
    for (uint32_t m = 1; m <= LAYERS_MAX; m++) {
        for (int percent = 0; percent < 100; percent++) {
            uint32_t kept[LAYERS_MAX];
            uint32_t n = llm_drop_layer_kept(m, percent / 100.0, kept);
            assert_in_range(n, 1, m);
            assert_int_equal(kept[0], 0);
            for (uint32_t i = 1; i < n; i++)
                assert_true(kept[i] > kept[i - 1] && kept[i] < m);
        }
    }
}

static void at_least_one_layer_is_kept_and_it_is_the_first(void **state)
{
    (void)state;
    uint32_t kept[LAYERS_MAX];
    const double ratios[] = {0.9, 0.99, 1.0, 2.0, NAN};
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        kept[0] = 77;
        assert_int_equal(llm_drop_layer_kept(3, ratios[i], kept), 1);
        assert_int_equal(kept[0], 0);
    }
    assert_int_equal(llm_drop_layer_kept(0, 0.5, kept), 0);
    assert_int_equal(llm_drop_layer_kept(4, -1.0, kept), 4); /* never more than there are */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_examples_of_the_reference_hold),
        cmocka_unit_test(every_count_and_ratio_keeps_the_layers_that_python_keeps),
        cmocka_unit_test(what_is_kept_is_strictly_ascending_and_within_the_row),
        cmocka_unit_test(at_least_one_layer_is_kept_and_it_is_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
