/*
 * test_reference_bf16.c - the reference backend with activations in bf16: every
 * op stays near the one with floats, rounds to what bf16 has, and refuses what
 * it does not store.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "cases.h"
#include "gradcheck.h"

#define NMSE_MAX 1e-3 /* of one rounding it is 3e-6; softmax of large logits makes more of it */

static void every_op_stays_near_the_one_with_floats(void **state)
{
    (void)state;
    llm_backend_t *floats = llm_backend_reference_new(NULL);
    llm_backend_t *halves = llm_backend_reference_act_new(FMQ_BF16, NULL);
    assert_true(floats && halves);
    for (size_t c = 0; c < cases_count; c++) {
        trace_t expected = trace_of(&cases[c], floats);
        trace_t actual = trace_of(&cases[c], halves);
        bool differs = false;
        assert_int_equal(actual.size, expected.size);
        for (size_t i = 0; i < actual.size; i++) {
            const trace_entry_t *a = &actual.entries[i], *e = &expected.entries[i];
            double error = nmse(a->data, e->data, e->count);
            bool index = strncmp(e->label, "argmax", 6) == 0; /* of equals after rounding */
            if (!index && !(error <= NMSE_MAX))
                fail_msg("%s, %s: NMSE %g", cases[c].name, e->label, error);
            differs |= error > 0;
        }
        bool plain = strstr(cases[c].name, "gemm") || strcmp(cases[c].name, "optimizers") == 0;
        assert_int_equal(differs, !plain);
        trace_release(&expected);
        trace_release(&actual);
    }
    llm_backend_destroy(&floats);
    llm_backend_destroy(&halves);
}

static void what_is_stored_is_bf16_and_comes_back_as_floats(void **state)
{
    (void)state;
    enum { N = 5001 }; /* more than one piece of an upload, and odd */
    static float host[N], back[N];
    llm_backend_t *be = llm_backend_reference_act_new(FMQ_BF16, NULL);
    assert_int_equal(be->ops->act, FMQ_BF16);
    assert_int_equal(llm_act_bytes(be, N), N * 2);
    llm_act_t *x = be->ops->alloc(be, llm_act_bytes(be, N));
    random_floats(host, N, 5);
    llm_act_upload(be, x, host, N);
    llm_act_download(be, back, x, N);
    for (size_t i = 0; i < N; i++)
        assert_true(back[i] == fmq_float_of_bf16(fmq_bf16_of_float(host[i])));
    llm_act_download(be, back, llm_act_at(be, x, N - 1), 1);
    assert_true(back[0] == fmq_float_of_bf16(fmq_bf16_of_float(host[N - 1])));
    be->ops->release(be, x);
    llm_backend_destroy(&be);
}

static void other_types_are_refused_by_name(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_null(llm_backend_reference_act_new(FMQ_F16, &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "'f16'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_stays_near_the_one_with_floats),
        cmocka_unit_test(what_is_stored_is_bf16_and_comes_back_as_floats),
        cmocka_unit_test(other_types_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
