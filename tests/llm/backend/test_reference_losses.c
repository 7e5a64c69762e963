/*
 * test_reference_losses.c - the reference backend's losses and their gradients,
 * against central differences.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gradbench.h"

/* Losses of 4 rows of 11 logits; scale 0 leaves the logits alone. */
static void losses(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->cross_entropy(be, out, act(bench->x), bench->ids, 4, 11,
                           &(llm_cross_entropy_t){.smoothing = bench->smoothing});
}

static void cross_entropy_gradient(llm_backend_t *be, float smoothing)
{
    bench_t bench = bench_new(4, 11);
    int32_t targets[] = {0, 10, 4, 4};
    bench.smoothing = smoothing;
    memcpy(bench.ids, targets, sizeof targets);
    for (size_t m = 0; m < 4; m++)
        bench.dout[m] = 0.25f;
    memcpy(bench.dx, bench.x, sizeof bench.dx);
    be->ops->cross_entropy(be, bench.out, act(bench.dx), bench.ids, 4, 11,
                           &(llm_cross_entropy_t){.scale = 0.25f, .smoothing = smoothing});
    gradcheck_t check = check_of(be, &bench, losses, 4);
    gradcheck(&check, "dlogits", bench.x, bench.dx, 44);
}

static void gradient_of_cross_entropy_replaces_the_logits(void **state)
{
    cross_entropy_gradient(*state, 0);
}

static void gradient_of_a_smoothed_cross_entropy_is_its_slope(void **state)
{
    cross_entropy_gradient(*state, 0.2f);
}

/* x holds the client's logits, w the full model's: 4 rows of 11. */
static void divergences(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->kl_divergence(be, out, act(bench->x), const_act(bench->w), 4, 11, 0.0f);
}

static void gradient_of_kl_divergence_replaces_the_clients_logits(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(4, 11);
    for (size_t m = 0; m < 4; m++)
        bench.dout[m] = 0.25f;
    memcpy(bench.dx, bench.x, sizeof bench.dx);
    be->ops->kl_divergence(be, bench.out, act(bench.dx), const_act(bench.w), 4, 11, 0.25f);
    gradcheck_t check = check_of(be, &bench, divergences, 4);
    gradcheck(&check, "dclient", bench.x, bench.dx, 44);
}

static void divergence_of_equal_rows_is_nothing(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(4, 11);
    memcpy(bench.dx, bench.x, sizeof bench.dx);
    be->ops->kl_divergence(be, bench.out, act(bench.dx), const_act(bench.x), 4, 11, 1.0f);
    for (size_t i = 0; i < 44; i++)
        assert_true(bench.dx[i] == 0.0f);
    for (size_t m = 0; m < 4; m++)
        assert_true(bench.out[m] == 0.0f);
}

/* x holds 5 rows of 9, w their targets. */
static void cosines(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->cosine(be, out, NULL, const_act(bench->w), const_act(bench->x), 5, 9, 1.0f);
}

static void gradient_of_cosine_is_right(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(5, 9);
    for (size_t t = 0; t < 5; t++)
        bench.dout[t] = -1.5f;
    be->ops->cosine(be, bench.out, act(bench.dx), const_act(bench.w), const_act(bench.x), 5, 9,
                    -1.5f);
    gradcheck_t check = check_of(be, &bench, cosines, 5);
    gradcheck(&check, "dx", bench.x, bench.dx, 45);
}

static void cosine_of_a_row_of_zeros_is_zero_without_a_gradient(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(3, 9);
    memset(bench.w, 0, 9 * sizeof(float));
    memset(bench.x + 9, 0, 9 * sizeof(float));
    be->ops->cosine(be, bench.out, act(bench.dx), const_act(bench.w), const_act(bench.x), 3, 9,
                    1.0f);
    assert_true(bench.out[0] == 0.0f && bench.out[1] == 0.0f && bench.out[2] != 0.0f);
    for (size_t i = 0; i < 18; i++)
        assert_true(bench.dx[i] == 0.0f);
    assert_true(bench.dx[18] != 0.0f);
    bench.x[3] = NAN; /* beside a row of zeros too */
    be->ops->cosine(be, bench.out, NULL, const_act(bench.w), const_act(bench.x), 3, 9, 1.0f);
    assert_true(isnan(bench.out[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_of_cross_entropy_replaces_the_logits),
        cmocka_unit_test(gradient_of_a_smoothed_cross_entropy_is_its_slope),
        cmocka_unit_test(gradient_of_kl_divergence_replaces_the_clients_logits),
        cmocka_unit_test(divergence_of_equal_rows_is_nothing),
        cmocka_unit_test(gradient_of_cosine_is_right),
        cmocka_unit_test(cosine_of_a_row_of_zeros_is_zero_without_a_gradient),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
