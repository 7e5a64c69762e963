/*
 * test_reference_gradients.c - every backward of the reference backend against
 * central differences of its forward; those of losses are in test_reference_losses.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gradbench.h"

static void linear(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->linear_forward(be, act(out), 5, const_act(bench->x), 7, bench->matrix, bench->b, 3);
}

static void linear_rows(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->linear_forward_rows(be, act(out), 2, const_act(bench->x), 7, bench->matrix, 1, 2, 3);
}

static void gradient_of_linear_is_right(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(3, 7);
    bench.matrix = be->ops->matrix_new(be, bench.w, FMQ_F32, 5, 7, false);
    be->ops->linear_backward(be, act(bench.dx), 7, const_act(bench.dout), 5, bench.matrix, 3, true);
    gradcheck_t check = check_of(be, &bench, linear, 15);
    gradcheck(&check, "dx", bench.x, bench.dx, 21);
    be->ops->linear_backward_rows(be, act(bench.dx), 7, const_act(bench.dout), 2, bench.matrix, 1,
                                  2, 3, false);
    check = check_of(be, &bench, linear_rows, 6);
    gradcheck(&check, "dx of rows", bench.x, bench.dx, 21);
    be->ops->matrix_destroy(be, &bench.matrix);
}

static void layernorm(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->layernorm_forward(be, act(out), bench->stats, const_act(bench->x), bench->w, bench->b,
                               bench->T, bench->C, 1e-5f);
}

static void gradient_of_layernorm_is_right(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(4, 16);
    layernorm(be, &bench, bench.out);
    be->ops->layernorm_backward(be, act(bench.dx), bench.dw, bench.db, const_act(bench.dout),
                                const_act(bench.x), bench.stats, bench.w, 4, 16, false);
    gradcheck_t check = check_of(be, &bench, layernorm, 64);
    gradcheck(&check, "dx", bench.x, bench.dx, 64);
    gradcheck(&check, "dweight", bench.w, bench.dw, 16);
    gradcheck(&check, "dbias", bench.b, bench.db, 16);
}

static void rmsnorm(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->rmsnorm_forward(be, act(out), bench->stats, const_act(bench->x), bench->w, bench->T,
                             bench->C, 1e-5f);
}

static void gradient_of_rmsnorm_is_right(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(4, 16);
    rmsnorm(be, &bench, bench.out);
    be->ops->rmsnorm_backward(be, act(bench.dx), bench.dw, const_act(bench.dout),
                              const_act(bench.x), bench.stats, bench.w, 4, 16, false);
    gradcheck_t check = check_of(be, &bench, rmsnorm, 64);
    gradcheck(&check, "dx", bench.x, bench.dx, 64);
    gradcheck(&check, "dweight", bench.w, bench.dw, 16);
}

/* x holds q of T rows of H D, w holds k and b holds v of T rows of KV D. */
static void attention(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    float scratch[MANY];
    assert_true(be->ops->attention_scratch(be, &bench->attention) <= MANY);
    be->ops->attention_forward(be, act(out), bench->stats, const_act(bench->x), const_act(bench->w),
                               const_act(bench->b), &bench->attention, scratch);
}

static void attention_gradients(llm_backend_t *be, size_t window, float softcap,
                                const float *slopes)
{
    static const uint32_t starts[] = {0, 1, 5, 9};
    bench_t bench = bench_new(9, 8);
    bench.attention =
        (llm_attention_t){.T = 9, .S = 3, .starts = starts, .longest = 9, .H = 4, .KV = 2, .D = 4};
    bench.attention.q_stride = bench.attention.out_stride = 17;
    bench.attention.k_stride = bench.attention.v_stride = 9;
    bench.attention.scale = 0.5f;
    bench.attention.window = window;
    bench.attention.softcap = softcap;
    bench.attention.slopes = slopes;
    attention(be, &bench, bench.out);
    float scratch[MANY];
    be->ops->attention_backward(be, act(bench.dx), act(bench.dw), act(bench.db),
                                const_act(bench.dout), const_act(bench.out), bench.stats,
                                const_act(bench.x), const_act(bench.w), const_act(bench.b),
                                &bench.attention, scratch);
    for (size_t t = 0; t < 9; t++)
        bench.dout[t * 17 + 16] = bench.out[t * 17 + 16] = 0; /* between the rows */
    gradcheck_t check = check_of(be, &bench, attention, 9 * 17);
    gradcheck(&check, "dq", bench.x, bench.dx, 9 * 17);
    gradcheck(&check, "dk", bench.w, bench.dw, 9 * 9);
    gradcheck(&check, "dv", bench.b, bench.db, 9 * 9);
}

static void gradient_of_grouped_ragged_attention_is_right(void **state)
{
    attention_gradients(*state, 0, 0, NULL);
}

static void gradients_within_a_window_under_a_cap_and_with_slopes_are_right(void **state)
{
    static const float slopes[] = {0.5f, 0.25f, 0.125f, 1};
    attention_gradients(*state, 2, 0, NULL);
    attention_gradients(*state, 0, 0.8f, NULL);
    attention_gradients(*state, 0, 0, slopes);
    attention_gradients(*state, 3, 1.5f, slopes);
}

/* Three keys of scores 0.5, 1 and 2 for the last query, values 1, 10, 100. */
static void scores_are_bent_as_their_families_do(void **state)
{
    llm_backend_t *be = *state;
    static const uint32_t starts[] = {0, 3};
    const float q[] = {1, 1, 2}, k[] = {0.5f, 1, 2}, v[] = {1, 10, 100}, slope = 0.5f;
    const double scores[][3] = {{0.5, 1, 2},                              /* scale 0.5 of q = 2 */
                                {-INFINITY, 1, 2},                        /* window 2 */
                                {tanh(0.5), tanh(1), tanh(2)},            /* cap 1 */
                                {0.5 - 2 * 0.5, 1 - 0.5, 2},              /* slope 0.5 */
                                {-INFINITY, tanh(1.0) - 0.5, tanh(2.0)}}; /* all of them */
    for (int way = 0; way < 5; way++) {
        llm_attention_t shape = {.T = 3, .S = 1, .starts = starts, .longest = 3, .H = 1, .KV = 1};
        shape.D = shape.q_stride = shape.k_stride = shape.v_stride = shape.out_stride = 1;
        shape.scale = 0.5f;
        shape.window = way == 1 || way == 4 ? 2 : 0;
        shape.softcap = way == 2 || way == 4 ? 1 : 0;
        shape.slopes = way >= 3 ? &slope : NULL;
        float out[3], lse[3], scratch[64], decoded;
        double sum = 0, value = 0;
        for (int j = 0; j < 3; j++) {
            sum += exp(scores[way][j]);
            value += exp(scores[way][j]) * (double)v[j];
        }
        be->ops->attention_forward(be, act(out), lse, const_act(q), const_act(k), const_act(v),
                                   &shape, scratch);
        assert_float_equal(out[2], (float)(value / sum), 1e-4F);
        assert_float_equal(lse[2], (float)log(sum), 1e-6F);
        const llm_decode_t how = {.length = 3,
                                  .H = 1,
                                  .KV = 1,
                                  .D = 1,
                                  .scale = 0.5f,
                                  .window = shape.window,
                                  .softcap = shape.softcap,
                                  .slopes = shape.slopes};
        be->ops->attention_decode(be, act(&decoded), const_act(q + 2), const_act(k), const_act(v),
                                  &how, scratch);
        assert_float_equal(decoded, out[2], 1e-6);
    }
}

/* Differences see both sides of where relu bends: no element is there. */
static bench_t bench_of_activations(int kind)
{
    bench_t bench = bench_new(1, 200);
    for (size_t i = 0; i < 200; i++)
        if (fabsf(bench.x[i]) < 0.1f)
            bench.x[i] += bench.x[i] < 0 ? -0.1f : 0.1f;
    bench.activation = (llm_activation_t)kind;
    return bench;
}

static void activation(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->activation_forward(be, act(out), const_act(bench->x), bench->C, bench->activation);
}

static void gradients_of_activations_are_right(void **state)
{
    llm_backend_t *be = *state;
    static const char *const names[LLM_ACTIVATIONS] = {"silu dx", "gelu dx", "gelu tanh dx",
                                                       "relu dx", "quick gelu dx"};
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        bench_t bench = bench_of_activations(k);
        be->ops->activation_backward(be, act(bench.dx), const_act(bench.dout), const_act(bench.x),
                                     200, bench.activation);
        gradcheck_t check = check_of(be, &bench, activation, 200);
        gradcheck(&check, names[k], bench.x, bench.dx, 200);
    }
}

static void glu(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->glu_forward(be, act(out), const_act(bench->x), const_act(bench->w), bench->C,
                         bench->activation);
}

static void gradients_behind_a_gate_are_right_in_place_too(void **state)
{
    llm_backend_t *be = *state;
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        bench_t bench = bench_of_activations(k);
        be->ops->glu_backward(be, act(bench.dx), act(bench.dw), const_act(bench.dout),
                              const_act(bench.x), const_act(bench.w), 200, bench.activation);
        gradcheck_t check = check_of(be, &bench, glu, 200);
        gradcheck(&check, "dgate", bench.x, bench.dx, 200);
        gradcheck(&check, "dup", bench.w, bench.dw, 200);
        be->ops->glu_backward(be, act(bench.x), act(bench.w), const_act(bench.dout),
                              const_act(bench.x), const_act(bench.w), 200, bench.activation);
        assert_memory_equal(bench.x, bench.dx, 200 * sizeof(float));
        assert_memory_equal(bench.w, bench.dw, 200 * sizeof(float));
    }
}

/* Values of torch.nn.functional and transformers' ACT2FN at 1.5 and -0.75. */
static void activations_are_those_of_their_names(void **state)
{
    static const double expected[LLM_ACTIVATIONS][2] = {
        {1.22636171, -0.24061598}, {1.39978920, -0.16997051}, {1.39957158, -0.17003944}, {1.5, 0},
        {1.39166220, -0.16360994},
    };
    llm_backend_t *be = *state;
    const float x[] = {1.5f, -0.75f};
    for (int k = 0; k < LLM_ACTIVATIONS; k++) {
        float out[2];
        be->ops->activation_forward(be, act(out), const_act(x), 2, (llm_activation_t)k);
        for (int i = 0; i < 2; i++)
            assert_float_equal(out[i], expected[k][i], 1e-6);
    }
}

static void softcap(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->softcap_forward(be, act(out), const_act(bench->x), 1.5f, bench->C);
}

static void gradient_of_a_soft_cap_is_its_slope(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(1, 200);
    softcap(be, &bench, bench.out);
    assert_float_equal(bench.out[0], (float)(1.5 * tanh((double)bench.x[0] / 1.5)), 1e-6F);
    memcpy(bench.dx, bench.dout, sizeof bench.dx);
    be->ops->softcap_backward(be, act(bench.dx), const_act(bench.out), 1.5f, 200);
    gradcheck_t check = check_of(be, &bench, softcap, 200);
    gradcheck(&check, "dx", bench.x, bench.dx, 200);
}

static void embed(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->embed_forward(be, act(out), bench->x, bench->ids, bench->T, bench->C);
}

static void gradient_of_embedding_adds_up_repeated_ids(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(5, 6);
    int32_t ids[] = {3, 0, 3, 3, 2};
    memcpy(bench.ids, ids, sizeof ids);
    be->ops->embed_backward(be, bench.dx, const_act(bench.dout), bench.ids, 5, 6);
    gradcheck_t check = check_of(be, &bench, embed, 30);
    gradcheck(&check, "dtable", bench.x, bench.dx, 24);
}

static void gather(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    be->ops->gather_rows(be, act(out), const_act(bench->x), bench->ids, bench->T, bench->C);
}

static void gradient_of_gathered_rows_is_scattered(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(3, 6);
    int32_t rows[] = {4, 0, 2};
    memcpy(bench.ids, rows, sizeof rows);
    be->ops->scatter_rows(be, act(bench.dx), const_act(bench.dout), bench.ids, 3, 6);
    gradcheck_t check = check_of(be, &bench, gather, 18);
    gradcheck(&check, "dx", bench.x, bench.dx, 30);
}

/* x holds 5 rows of 4, w the weight [6][4] and b its bias. */
static llm_dense_t dense_of(const bench_t *bench)
{
    return (llm_dense_t){.at = bench->w,
                         .out = 6,
                         .in = 4,
                         .stride = bench->flag ? 7 : 5,
                         .input_major = bench->flag};
}

static void dense(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    llm_dense_t w = dense_of(bench);
    be->ops->dense_forward(be, act(out), 6, const_act(bench->x), 4, &w, bench->b, 5);
}

static void gradients_of_a_dense_weight_are_right(void **state)
{
    llm_backend_t *be = *state;
    for (int input_major = 0; input_major < 2; input_major++) {
        bench_t bench = bench_new(5, 6);
        bench.flag = input_major;
        llm_dense_t w = dense_of(&bench);
        be->ops->dense_backward(be, act(bench.dx), 4, const_act(bench.dout), 6, &w, 5, false);
        be->ops->dense_gradients(be, bench.dw, const_act(bench.dout), 6, const_act(bench.x), 4, &w,
                                 5);
        gradcheck_t check = check_of(be, &bench, dense, 30);
        gradcheck(&check, "dx", bench.x, bench.dx, 20);
        gradcheck(&check, "dweight", bench.w, bench.dw, 35);
        be->ops->dense_backward(be, act(bench.dx), 4, const_act(bench.dout), 6, &w, 5, true);
        be->ops->dense_backward(be, act(bench.db), 4, const_act(bench.dout), 6, &w, 5, false);
        for (size_t i = 0; i < 20; i++)
            assert_float_equal(bench.dx[i], 2 * bench.db[i], 1e-5);
    }
}

/* x holds 5 rows of 9, w is A[3][9] in rows of 10, b is B[4][3]. */
static llm_lora_t lora_of(const bench_t *bench, const fmq_rng_name_t *stream)
{
    return (llm_lora_t){.M = 5,
                        .in = 9,
                        .out = 4,
                        .rank = 3,
                        .a = bench->w,
                        .a_stride = 10,
                        .b = bench->b,
                        .scaling = 1.5f,
                        .p = bench->flag ? 0.4f : 0.0f,
                        .stream = stream};
}

static void lora(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .round = 2};
    llm_lora_t how = lora_of(bench, &stream);
    float h[15];
    uint8_t mask[10];
    memset(out, 0, 20 * sizeof(float));
    be->ops->lora_down(be, h, mask, const_act(bench->x), &how);
    be->ops->lora_up(be, act(out), 4, h, &how);
}

static void gradients_of_lora_are_right_with_and_without_dropout(void **state)
{
    llm_backend_t *be = *state;
    for (int dropping = 0; dropping < 2; dropping++) {
        bench_t bench = bench_new(5, 4);
        bench.flag = dropping;
        fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .round = 2};
        llm_lora_t how = lora_of(&bench, &stream);
        float h[15], dh[15];
        uint8_t mask[10];
        be->ops->lora_down(be, h, mask, const_act(bench.x), &how);
        be->ops->lora_gradients(be, dh, bench.dw, bench.db, const_act(bench.dout), 4,
                                const_act(bench.x), h, mask, &how);
        be->ops->lora_input_gradient(be, act(bench.dx), dh, mask, &how);
        gradcheck_t check = check_of(be, &bench, lora, 20);
        gradcheck(&check, "dx", bench.x, bench.dx, 45);
        gradcheck(&check, "da", bench.w, bench.dw, 29);
        gradcheck(&check, "db", bench.b, bench.db, 12);
    }
}

static void biased(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    static const float nothing[6];
    llm_dense_t w = {.at = nothing, .out = 6, .in = 1, .stride = 1};
    be->ops->dense_forward(be, act(out), 6, const_act(bench->x), 1, &w, bench->b, 5);
}

static void gradient_of_bias_is_the_column_sum(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(5, 6);
    be->ops->bias_backward(be, bench.db, const_act(bench.dout), 6, 5, 6);
    gradcheck_t check = check_of(be, &bench, biased, 30);
    gradcheck(&check, "dbias", bench.b, bench.db, 6);
}

/* w is the table of angles; not differentiated. */
static void rotate(llm_backend_t *be, void *state, float *out)
{
    bench_t *bench = state;
    memcpy(out, bench->x, 60 * sizeof(float));
    be->ops->rope(be, act(out), bench->ids, bench->w, &bench->rope, false);
}

static void gradient_of_rope_is_the_inverse_rotation(void **state)
{
    llm_backend_t *be = *state;
    bench_t bench = bench_new(3, 20);
    int32_t positions[] = {0, 5, 2};
    memcpy(bench.ids, positions, sizeof positions);
    for (size_t position = 0; position < 6; position++)
        for (size_t j = 0; j < 4; j++) {
            float angle = 0.3f * (float)position * (float)(j + 1);
            bench.w[position * 8 + j] = cosf(angle);
            bench.w[position * 8 + 4 + j] = sinf(angle);
        }
    for (int way = 0; way < 4; way++) {
        bench.rope = (llm_rope_t){.T = 3, .heads = 2, .D = 8, .stride = 20, .rotary = 8};
        bench.rope.rotary = way & 1 ? 4 : 8;
        bench.rope.interleaved = way & 2;
        memcpy(bench.dx, bench.dout, sizeof bench.dx);
        be->ops->rope(be, act(bench.dx), bench.ids, bench.w, &bench.rope, true);
        gradcheck_t check = check_of(be, &bench, rotate, 60);
        gradcheck(&check, "dx", bench.x, bench.dx, 60);
    }
}

/* A head of 6 of which 4 are turned by a quarter and by a half, at position 1. */
static void rope_turns_pairs_apart_or_side_by_side(void **state)
{
    llm_backend_t *be = *state;
    static const float table[] = {1, 1, 0, 0, 0, -1, 1, 0}; /* position 0 turns nothing */
    static const float apart[] = {-3, -2, 1, -4, 5, 6}, beside[] = {-2, 1, -3, -4, 5, 6};
    const int32_t positions[] = {0, 1};
    llm_rope_t how = {.T = 2, .heads = 1, .D = 6, .stride = 6, .rotary = 4};
    for (int way = 0; way < 2; way++) {
        float x[] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6};
        how.interleaved = way;
        be->ops->rope(be, act(x), positions, table, &how, false);
        for (int i = 0; i < 6; i++) {
            assert_float_equal(x[i], i + 1, 0);
            assert_float_equal(x[6 + i], way ? beside[i] : apart[i], 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_of_linear_is_right),
        cmocka_unit_test(gradient_of_layernorm_is_right),
        cmocka_unit_test(gradient_of_rmsnorm_is_right),
        cmocka_unit_test(gradient_of_grouped_ragged_attention_is_right),
        cmocka_unit_test(gradients_within_a_window_under_a_cap_and_with_slopes_are_right),
        cmocka_unit_test(scores_are_bent_as_their_families_do),
        cmocka_unit_test(gradients_of_activations_are_right),
        cmocka_unit_test(gradient_of_a_soft_cap_is_its_slope),
        cmocka_unit_test(gradients_behind_a_gate_are_right_in_place_too),
        cmocka_unit_test(activations_are_those_of_their_names),
        cmocka_unit_test(gradient_of_embedding_adds_up_repeated_ids),
        cmocka_unit_test(gradient_of_gathered_rows_is_scattered),
        cmocka_unit_test(gradients_of_a_dense_weight_are_right),
        cmocka_unit_test(gradients_of_lora_are_right_with_and_without_dropout),
        cmocka_unit_test(gradient_of_bias_is_the_column_sum),
        cmocka_unit_test(gradient_of_rope_is_the_inverse_rotation),
        cmocka_unit_test(rope_turns_pairs_apart_or_side_by_side),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
