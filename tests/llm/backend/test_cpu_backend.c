/*
 * test_cpu_backend.c - what the CPU backend promises beside agreement with the
 * reference: refusals, rows that do not depend on their batch, extreme and
 * non-finite values, time spent in products.
 *
 * Usage: test_cpu_backend [VARIANT].  A machine that lacks the variant skips.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acts.h"
#include "gradcheck.h"

static llm_backend_t *fresh(unsigned threads)
{
    llm_backend_t *be = llm_backend_cpu_new(threads, NULL);
    assert_non_null(be);
    return be;
}

static float *randoms(llm_backend_t *be, size_t n, uint64_t seed)
{
    float *x = be->ops->alloc(be, n * sizeof(float));
    assert_non_null(x);
    random_floats(x, n, seed);
    return x;
}

static void an_unknown_variant_is_refused_with_its_name(void **state)
{
    (void)state;
    const char *set = getenv("FEDMQ_CPU");
    char kept[32] = "";
    if (set)
        snprintf(kept, sizeof kept, "%s", set);
    setenv("FEDMQ_CPU", "mmx", 1);
    fmq_error_t err;
    assert_null(llm_backend_cpu_new(1, &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "'mmx'"));
    setenv("FEDMQ_CPU", kept, 1);
    assert_null(llm_backend_cpu_new(0, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

static void memory_beyond_the_machine_is_refused(void **state)
{
    (void)state;
    llm_backend_t *be = fresh(1);
    float one = 1;
    assert_null(be->ops->alloc(be, SIZE_MAX));
    assert_null(be->ops->alloc(be, SIZE_MAX / 2));
    assert_null(be->ops->matrix_new(be, &one, FMQ_F32, SIZE_MAX / 8, SIZE_MAX / 8, false));
    assert_null(be->ops->matrix_new(be, &one, FMQ_F32, SIZE_MAX, 1, false));
    assert_null(be->ops->matrix_new(be, &one, FMQ_F32, 1, SIZE_MAX, true));
    void *nothing = be->ops->alloc(be, 0);
    assert_non_null(nothing);
    be->ops->release(be, nothing);
    be->ops->release(be, NULL);
    llm_backend_destroy(&be);
    assert_null(be);
    llm_backend_destroy(&be);
    llm_backend_destroy(NULL);
}

/* One row in place, a few packed, many packed in chunks: the same bytes. */
static void a_row_of_a_product_does_not_depend_on_its_batch(void **state)
{
    (void)state;
    enum { M = 600, IN = 800, OUT = 75 };
    llm_backend_t *be = fresh(2);
    float *weight = randoms(be, OUT * IN, 1);
    float *x = randoms(be, M * IN, 2);
    float *y = randoms(be, M * OUT, 3);
    float *dx = randoms(be, M * IN, 4);
    float one[IN];
    llm_matrix_t *w = be->ops->matrix_new(be, weight, FMQ_F32, OUT, IN, false);
    assert_non_null(w);
    be->ops->linear_forward(be, act(y), OUT, const_act(x), IN, w, weight, M);
    be->ops->linear_backward(be, act(dx), IN, const_act(y), OUT, w, M, false);
    for (size_t m = 0; m < M; m += 23) {
        be->ops->linear_backward(be, act(one), IN, const_act(y + m * OUT), OUT, w, 1, false);
        assert_memory_equal(one, dx + m * IN, IN * sizeof(float));
        be->ops->linear_forward(be, act(one), OUT, const_act(x + m * IN), IN, w, weight, 1);
        assert_memory_equal(one, y + m * OUT, OUT * sizeof(float));
    }
    be->ops->linear_forward(be, act(dx), OUT, const_act(x + 5 * IN), IN, w, weight, 40);
    assert_memory_equal(dx, y + 5 * OUT, 40 * OUT * sizeof(float));
    be->ops->matrix_destroy(be, &w);
    be->ops->release(be, weight);
    be->ops->release(be, x);
    be->ops->release(be, y);
    be->ops->release(be, dx);
    llm_backend_destroy(&be);
}

/* A mapped file may hold a tensor at any byte. */
static void a_matrix_is_read_from_unaligned_memory(void **state)
{
    (void)state;
    enum { OUT = 40, IN = 50 };
    static const fmq_dtype_t dtypes[] = {FMQ_F32, FMQ_F16, FMQ_BF16};
    llm_backend_t *be = fresh(1);
    float *aligned = randoms(be, OUT * IN + 1, 1);
    char *shifted = (char *)randoms(be, OUT * IN + 1, 2) + 1;
    memcpy(shifted, aligned, OUT * IN * sizeof(float));
    int32_t ids[OUT];
    for (int32_t i = 0; i < OUT; i++)
        ids[i] = i;
    for (size_t way = 0; way < 6; way++) {
        float expected[OUT * IN];
        float actual[OUT * IN];
        llm_matrix_t *a = be->ops->matrix_new(be, aligned, dtypes[way / 2], OUT, IN, way % 2);
        llm_matrix_t *b = be->ops->matrix_new(be, shifted, dtypes[way / 2], OUT, IN, way % 2);
        be->ops->matrix_gather(be, act(expected), a, ids, OUT);
        be->ops->matrix_gather(be, act(actual), b, ids, OUT);
        assert_memory_equal(actual, expected, sizeof expected);
        be->ops->matrix_destroy(be, &a);
        be->ops->matrix_destroy(be, &b);
    }
    be->ops->release(be, aligned);
    be->ops->release(be, shifted - 1);
    llm_backend_destroy(&be);
}

enum { SHARERS = 4, SHARED_M = 33, SHARED_IN = 400, SHARED_OUT = 130 };

typedef struct {
    const llm_matrix_t *w;
    const float *x;
    float y[SHARED_M * SHARED_OUT];
    float dx[SHARED_M * SHARED_IN];
} sharer_t;

static void *use_shared_matrix(void *argument)
{
    sharer_t *sharer = argument;
    llm_backend_t *be = llm_backend_cpu_new(2, NULL);
    for (int round = 0; be && round < 10; round++) {
        be->ops->linear_forward(be, act(sharer->y), SHARED_OUT, const_act(sharer->x), SHARED_IN,
                                sharer->w, NULL, SHARED_M);
        be->ops->linear_backward(be, act(sharer->dx), SHARED_IN, const_act(sharer->y), SHARED_OUT,
                                 sharer->w, SHARED_M, false);
    }
    llm_backend_destroy(&be);
    return NULL;
}

static void instances_on_many_threads_share_one_matrix(void **state)
{
    (void)state;
    llm_backend_t *be = fresh(1);
    float *weight = randoms(be, SHARED_OUT * SHARED_IN, 1);
    float *x = randoms(be, SHARED_M * SHARED_IN, 2);
    llm_matrix_t *w = be->ops->matrix_new(be, weight, FMQ_F32, SHARED_OUT, SHARED_IN, true);
    sharer_t *sharers = calloc(SHARERS, sizeof *sharers);
    pthread_t threads[SHARERS];
    assert_non_null(sharers);
    for (size_t i = 0; i < SHARERS; i++) {
        sharers[i].w = w;
        sharers[i].x = x;
        assert_int_equal(pthread_create(&threads[i], NULL, use_shared_matrix, &sharers[i]), 0);
    }
    for (size_t i = 0; i < SHARERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 1; i < SHARERS; i++) {
        assert_memory_equal(sharers[i].y, sharers[0].y, sizeof sharers[0].y);
        assert_memory_equal(sharers[i].dx, sharers[0].dx, sizeof sharers[0].dx);
    }
    assert_true(be->ops->sum_squares(be, sharers[0].dx, SHARED_M * SHARED_IN) > 0);
    free(sharers);
    be->ops->matrix_destroy(be, &w);
    be->ops->release(be, weight);
    be->ops->release(be, x);
    llm_backend_destroy(&be);
}

static void a_sequence_does_not_see_its_neighbours(void **state)
{
    (void)state;
    enum { T = 150, ROW = 3 * 32 };
    static const uint32_t together[] = {0, 70, 71, 150};
    static const uint32_t alone[] = {0, 79};
    llm_backend_t *be = fresh(2);
    llm_attention_t shape = {
        .T = T, .S = 3, .starts = together, .longest = 79, .H = 2, .KV = 2, .D = 16};
    shape.scale = 0.25f;
    shape.q_stride = shape.k_stride = shape.v_stride = ROW;
    shape.out_stride = 32;
    float *x = randoms(be, T * ROW, 1);
    float *out = randoms(be, T * 32, 2);
    float *lse = randoms(be, T * 2, 3);
    float *scratch = randoms(be, be->ops->attention_scratch(be, &shape), 4);
    be->ops->attention_forward(be, act(out), lse, const_act(x), const_act(x + 32),
                               const_act(x + 64), &shape, scratch);
    float *single = randoms(be, 79 * 32, 5);
    shape.T = 79;
    shape.S = 1;
    shape.longest = 79;
    shape.starts = alone;
    x += 71 * ROW;
    be->ops->attention_forward(be, act(single), lse, const_act(x), const_act(x + 32),
                               const_act(x + 64), &shape, scratch);
    assert_memory_equal(single, out + 71 * 32, 79 * 32 * sizeof(float));
    be->ops->release(be, x - 71 * ROW);
    be->ops->release(be, out);
    be->ops->release(be, lse);
    be->ops->release(be, single);
    be->ops->release(be, scratch);
    llm_backend_destroy(&be);
}

/* A plan for the longest sequence is enough for any other of as many tokens. */
static void scratch_for_one_long_sequence_serves_many_short_ones(void **state)
{
    (void)state;
    static const uint32_t one[] = {0, 300};
    static const uint32_t many[] = {0, 1, 130, 131, 299, 300};
    llm_backend_t *be = fresh(3);
    llm_attention_t shape = {.T = 300, .S = 1, .starts = one, .longest = 300, .H = 4, .KV = 2};
    shape.D = 40;
    size_t planned = be->ops->attention_scratch(be, &shape);
    shape.starts = NULL; /* sizes alone are looked at */
    assert_int_equal(be->ops->attention_scratch(be, &shape), planned);
    shape.starts = many;
    shape.S = 5;
    shape.longest = 168;
    assert_true(be->ops->attention_scratch(be, &shape) < planned);
    llm_backend_destroy(&be);
}

static void activations_stay_finite_at_the_extremes(void **state)
{
    (void)state;
    static const float extreme[] = {-1e4f, -200, -90, -40, -10, -1e-30f, 0, 1e-30f, 10, 90, 1e4f};
    enum { N = sizeof extreme / sizeof extreme[0] };
    llm_backend_t *be = fresh(1);
    float ones[N];
    for (size_t i = 0; i < N; i++)
        ones[i] = 1;
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        llm_activation_t kind = (llm_activation_t)k;
        float out[N], dx[N] = {0}, dgate[N], dup[N];
        be->ops->activation_forward(be, act(out), const_act(extreme), N, kind);
        be->ops->activation_backward(be, act(dx), const_act(ones), const_act(extreme), N, kind);
        be->ops->glu_backward(be, act(dgate), act(dup), const_act(ones), const_act(extreme),
                              const_act(ones), N, kind);
        double close = kind == LLM_ACTIVATION_SILU ? 1e-3 : 1e-6;
        for (size_t i = 0; i < N; i++) {
            assert_true(fabs((double)out[i] - fmax((double)extreme[i], 0)) < close);
            assert_true(isfinite(dx[i]) && isfinite(dgate[i]) && isfinite(dup[i]));
        }
        be->ops->glu_forward(be, act(dgate), const_act(extreme), const_act(ones), N, kind);
        assert_memory_equal(dgate, out, sizeof out);
    }
    llm_backend_destroy(&be);
}

static void a_nan_is_passed_on_and_not_lost(void **state)
{
    (void)state;
    llm_backend_t *be = fresh(1);
    float x[40] = {0};
    float out[40] = {0};
    float stats[2];
    float loss;
    int32_t target = 3;
    x[17] = NAN;
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        be->ops->activation_forward(be, act(out), const_act(x), 40, (llm_activation_t)k);
        assert_true(isnan(out[17]) && out[16] == 0);
    }
    be->ops->layernorm_forward(be, act(out), stats, const_act(x), x, x, 1, 40, 1e-5f);
    assert_true(isnan(out[0]));
    assert_true(isnan(be->ops->sum(be, x, 40)) && isnan(be->ops->sum_squares(be, x, 40)));
    be->ops->cross_entropy(be, &loss, act(x), &target, 1, 40,
                           &(llm_cross_entropy_t){.scale = 1.0f});
    assert_true(isnan(loss));
    llm_backend_destroy(&be);
}

static void the_loss_of_far_logits_is_their_distance(void **state)
{
    (void)state;
    llm_backend_t *be = fresh(1);
    float logits[3][5] = {{0, 1e4f, 0, 0, 0}, {-1e4f, 0, 0, 0, 0}, {-INFINITY, 0, 0, 0, 0}};
    const int32_t targets[] = {0, 0, 1};
    float loss[3];
    be->ops->cross_entropy(be, loss, act(logits[0]), targets, 3, 5,
                           &(llm_cross_entropy_t){.scale = 1.0f});
    assert_true(loss[0] == 1e4f);
    assert_true(fabsf(loss[1] - (1e4f + logf(4))) < 1e-2f);
    assert_true(fabsf(loss[2] - logf(4)) < 1e-6f);
    assert_true(logits[0][0] == -1 && logits[0][1] == 1 && logits[0][2] == 0);
    assert_true(logits[2][0] == 0 && fabsf(logits[2][1] + 0.75f) < 1e-6f);
    llm_backend_destroy(&be);
}

/* With A = identity, h is drop(x). */
static void dropout_drops_the_asked_share_and_keeps_the_mean(void **state)
{
    (void)state;
    enum { M = 4000, IN = 50, N = M * IN };
    static const float shares[] = {0.1f, 0.5f, 0.9f, 1.0f};
    llm_backend_t *be = fresh(2);
    float *x = randoms(be, N, 1), *h = randoms(be, N, 2), *identity = randoms(be, IN * IN, 3);
    uint8_t *mask = be->ops->alloc(be, llm_lora_mask_bytes(M, IN));
    fmq_rng_name_t stream = {.seed = 9, .purpose = FMQ_RNG_DROPOUT};
    llm_lora_t how = {.M = M, .in = IN, .out = IN, .rank = IN, .a = identity, .a_stride = IN};
    how.stream = &stream;
    for (size_t i = 0; i < IN * IN; i++)
        identity[i] = i % (IN + 1) == 0 ? 1.0f : 0.0f;
    for (size_t i = 0; i < N; i++)
        x[i] = 1;
    for (size_t s = 0; s < 4; s++) {
        size_t dropped = 0;
        how.p = shares[s];
        be->ops->lora_down(be, h, mask, const_act(x), &how);
        for (size_t i = 0; i < N; i++)
            dropped += h[i] == 0;
        double share = (double)shares[s];
        assert_true(fabs((double)dropped / N - share) <= 5 * sqrt(share * (1 - share) / N));
        assert_true(share == 1.0 || fabs(be->ops->sum(be, h, N) / N - 1) < 0.05);
    }
    be->ops->release(be, x);
    be->ops->release(be, h);
    be->ops->release(be, identity);
    be->ops->release(be, mask);
    llm_backend_destroy(&be);
}

static void rows_of_a_part_are_dropped_as_in_the_whole(void **state)
{
    (void)state;
    enum { M = 9, IN = 7, FIRST = 2 };
    llm_backend_t *backends[] = {fresh(1), llm_backend_reference_new(NULL)};
    fmq_rng_name_t stream = {.seed = 9, .purpose = FMQ_RNG_DROPOUT, .step = 3};
    for (size_t b = 0; b < 2; b++) {
        llm_backend_t *be = backends[b];
        float *x = randoms(be, M * IN, 1), *h = randoms(be, M, 2), *a = randoms(be, IN, 3);
        uint8_t whole[M], part[M];
        llm_lora_t how = {.M = M, .in = IN, .out = 1, .rank = 1, .a = a, .a_stride = IN, .p = 0.5f};
        how.stream = &stream;
        be->ops->lora_down(be, h, whole, const_act(x), &how);
        how.first_row = FIRST;
        how.M = M - FIRST;
        be->ops->lora_down(be, h, part, const_act(x + FIRST * IN), &how);
        for (size_t m = FIRST; m < M; m++)
            assert_int_equal(part[m - FIRST] & 0x7f, whole[m] & 0x7f);
        float *const owned[] = {x, h, a};
        for (size_t i = 0; i < 3; i++)
            be->ops->release(be, owned[i]);
        llm_backend_destroy(&be);
    }
}

static void time_in_products_is_counted(void **state)
{
    (void)state;
    llm_backend_t *be = fresh(1);
    assert_true(llm_backend_gemm_seconds(be) == 0);
    float *x = randoms(be, 64 * 64, 1);
    llm_gemm_t shape = {.M = 64, .N = 64, .K = 64, .alpha = 1, .lda = 64, .ldb = 64, .ldc = 64};
    float *y = randoms(be, 64 * 64, 2);
    be->ops->activation_forward(be, act(y), const_act(x), 64 * 64, LLM_ACTIVATION_GELU_TANH);
    assert_true(llm_backend_gemm_seconds(be) == 0);
    be->ops->gemm(be, y, x, x, &shape);
    double once = llm_backend_gemm_seconds(be);
    assert_true(once > 0 && once < 10);
    be->ops->gemm(be, y, x, x, &shape);
    assert_true(llm_backend_gemm_seconds(be) > once);
    be->ops->release(be, x);
    be->ops->release(be, y);
    llm_backend_destroy(&be);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        setenv("FEDMQ_CPU", argv[1], 1);
    fmq_error_t err;
    llm_backend_t *probe = llm_backend_cpu_new(1, &err);
    if (!probe) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    llm_backend_destroy(&probe);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_variant_is_refused_with_its_name),
        cmocka_unit_test(memory_beyond_the_machine_is_refused),
        cmocka_unit_test(a_row_of_a_product_does_not_depend_on_its_batch),
        cmocka_unit_test(a_matrix_is_read_from_unaligned_memory),
        cmocka_unit_test(instances_on_many_threads_share_one_matrix),
        cmocka_unit_test(a_sequence_does_not_see_its_neighbours),
        cmocka_unit_test(scratch_for_one_long_sequence_serves_many_short_ones),
        cmocka_unit_test(activations_stay_finite_at_the_extremes),
        cmocka_unit_test(a_nan_is_passed_on_and_not_lost),
        cmocka_unit_test(the_loss_of_far_logits_is_their_distance),
        cmocka_unit_test(dropout_drops_the_asked_share_and_keeps_the_mean),
        cmocka_unit_test(rows_of_a_part_are_dropped_as_in_the_whole),
        cmocka_unit_test(time_in_products_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
