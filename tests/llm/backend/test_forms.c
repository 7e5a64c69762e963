/*
 * test_forms.c - the codes of narrow weights: the nearest ones, the whole range,
 * and what cannot be coded.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gradcheck.h"
#include "llm/backend/forms.h"

static const llm_matrix_form_t forms[] = {LLM_FORM_INT8, LLM_FORM_INT4, LLM_FORM_NF4};

static void every_code_is_the_nearest_of_its_form(void **state)
{
    (void)state;
    float values[LLM_FORM_GROUP];
    uint8_t codes[LLM_FORM_GROUP];
    for (int f = 0; f < 3; f++)
        for (uint64_t seed = 1; seed < 50; seed++) {
            random_floats(values, LLM_FORM_GROUP, seed);
            float scale = llm_form_encode(forms[f], codes, values, LLM_FORM_GROUP);
            for (size_t i = 0; i < LLM_FORM_GROUP; i++) {
                float error = fabsf(llm_form_value(forms[f], codes[i], scale) - values[i]);
                for (unsigned c = 0; c < 1u << llm_form_bits(forms[f]); c++) {
                    float other = fabsf(llm_form_value(forms[f], c, scale) - values[i]);
                    assert_true(error <= other * 1.000001f + 1e-6f * fabsf(scale));
                }
            }
        }
}

static void the_value_of_largest_size_is_kept(void **state)
{
    (void)state;
    uint8_t codes[4];
    for (int f = 0; f < 3; f++)
        for (int sign = -1; sign < 2; sign += 2) {
            float values[4] = {0.3f, 0.0f, (float)sign * 5.6f, -0.1f};
            float scale = llm_form_encode(forms[f], codes, values, 4);
            float kept = llm_form_value(forms[f], codes[2], scale);
            assert_true(fabsf(kept - values[2]) < 1e-6f);
            assert_true(llm_form_value(forms[f], codes[1], scale) == 0.0f);
        }
}

static void zeros_stay_zeros_and_what_is_not_finite_is_not_hidden(void **state)
{
    (void)state;
    uint8_t codes[3];
    for (int f = 0; f < 3; f++) {
        float zeros[3] = {0}, bad[3] = {1, INFINITY, 2}, worse[3] = {NAN, 1, 2};
        assert_true(llm_form_encode(forms[f], codes, zeros, 3) == 0.0f);
        assert_true(llm_form_value(forms[f], codes[1], 0) == 0.0f);
        float scale = llm_form_encode(forms[f], codes, bad, 3);
        assert_true(isnan(llm_form_value(forms[f], codes[1], scale)));
        scale = llm_form_encode(forms[f], codes, worse, 3);
        assert_true(isnan(llm_form_value(forms[f], codes[0], scale)));
    }
}

static void the_smallest_numbers_are_coded_within_their_range(void **state)
{
    (void)state;
    uint8_t codes[2];
    for (int f = 0; f < 3; f++) {
        float tiny[2] = {1e-45f, -3e-44f};
        float scale = llm_form_encode(forms[f], codes, tiny, 2);
        for (int i = 0; i < 2; i++)
            assert_true(fabsf(llm_form_value(forms[f], codes[i], scale)) <= 2e-43f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_the_nearest_of_its_form),
        cmocka_unit_test(the_value_of_largest_size_is_kept),
        cmocka_unit_test(zeros_stay_zeros_and_what_is_not_finite_is_not_hidden),
        cmocka_unit_test(the_smallest_numbers_are_coded_within_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
