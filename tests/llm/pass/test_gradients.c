/*
 * test_gradients.c - the gradient of whole two-layer models against central
 * differences of their loss, for every family, adapter and place where
 * backward may stop, on the reference backend.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/pass/tiny.h"

#define STEP      4e-3
#define TOLERANCE 2e-3 /* of the gradient's size; fp32 losses allow no less */

static double loss_at(tiny_t *tiny, const tiny_batch_t *batch, const float *vector,
                      const fmq_rng_name_t *dropout)
{
    fmq_error_t err;
    double loss = 0.0;
    assert_int_equal(llm_workspace_set_params(tiny->ws, vector, &err), 0);
    int rc = dropout ? llm_workspace_train(tiny->ws, &batch->batch, 1.0f, dropout, &loss, &err)
                     : llm_workspace_loss(tiny->ws, &batch->batch, &loss, &err);
    assert_int_equal(rc, 0);
    return loss;
}

/* (L(p + h d) - L(p - h d)) / 2h along d, a direction within one tensor. */
static double difference(tiny_t *tiny, const tiny_batch_t *batch, const fmq_tensor_t *tensor,
                         const float *direction, const fmq_rng_name_t *dropout)
{
    float *moved = malloc(tiny->elements * sizeof *moved);
    double loss[2];
    for (int side = 0; side < 2; side++) {
        memcpy(moved, tiny->vector, tiny->elements * sizeof *moved);
        for (uint64_t i = 0; i < tensor->count; i++)
            moved[tensor->offset + i] += (float)(side ? STEP : -STEP) * direction[i];
        loss[side] = loss_at(tiny, batch, moved, dropout);
    }
    free(moved);
    return (loss[1] - loss[0]) / (2.0 * STEP);
}

static void check_tensor(tiny_t *tiny, const tiny_batch_t *batch, const float *grads, size_t index,
                         const fmq_rng_name_t *dropout)
{
    const fmq_tensor_t *tensor = fmq_schema_at(llm_adapter_schema(tiny->adapter), index);
    float *direction = malloc(tensor->count * sizeof *direction);
    tiny_normal(direction, tensor->count, 1.0 / sqrt((double)tensor->count), 100 + (uint32_t)index);
    double analytic = 0.0, norm = 0.0;
    for (uint64_t i = 0; i < tensor->count; i++) {
        double grad = (double)grads[tensor->offset + i];
        analytic += grad * (double)direction[i];
        norm += grad * grad;
    }
    double numeric = difference(tiny, batch, tensor, direction, dropout);
    double size = sqrt(norm / (double)tensor->count);
    free(direction);
    if (!(fabs(numeric - analytic) <= TOLERANCE * (size + fabs(analytic) + 0.05)))
        fail_msg("%s: gradient %.6g along a direction, difference %.6g (rms %.3g)", tensor->name,
                 analytic, numeric, size);
}

/* Releases tiny. */
static void check_gradients(tiny_t tiny, const fmq_rng_name_t *dropout)
{
    tiny_batch_t batch = {0};
    fmq_error_t err;
    double loss = 0.0;
    tiny_batch_init(&batch);
    assert_int_equal(llm_workspace_train(tiny.ws, &batch.batch, 1.0f, dropout, &loss, &err), 0);
    assert_true(fabs(loss - loss_at(&tiny, &batch, tiny.vector, dropout)) <= 1e-6 * loss);
    /* Twice with a scale of one half each must have given the same sum. */
    size_t bytes = tiny.elements * sizeof(float);
    float *grads = malloc(bytes), *whole = malloc(bytes);
    llm_workspace_t *ws = tiny.ws;
    tiny.be->ops->zero(tiny.be, llm_workspace_grads(ws), bytes);
    assert_int_equal(llm_workspace_train(ws, &batch.batch, 1.0f, dropout, &loss, &err), 0);
    tiny.be->ops->download(tiny.be, whole, llm_workspace_grads(ws), bytes);
    tiny.be->ops->zero(tiny.be, llm_workspace_grads(ws), bytes);
    for (int half = 0; half < 2; half++)
        assert_int_equal(llm_workspace_train(ws, &batch.batch, 0.5f, dropout, &loss, &err), 0);
    tiny.be->ops->download(tiny.be, grads, llm_workspace_grads(ws), bytes);
    for (uint64_t i = 0; i < tiny.elements; i++)
        assert_true(fabsf(grads[i] - whole[i]) <= 1e-5f * (1.0f + fabsf(whole[i])));

    for (size_t i = 0; i < fmq_schema_size(llm_adapter_schema(tiny.adapter)); i++)
        check_tensor(&tiny, &batch, whole, i, dropout);
    free(grads);
    free(whole);
    tiny_release(&tiny);
}

static void check_stack(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                        const llm_adapter_spec_t *fixed, const fmq_rng_name_t *dropout)
{
    tiny_t tiny;
    tiny_init_stack(&tiny, shape, spec, fixed, llm_backend_reference_new(NULL));
    check_gradients(tiny, dropout);
}

static void check_model(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                        const fmq_rng_name_t *dropout)
{
    check_stack(shape, spec, NULL, dropout);
}

static void check_lora(llm_shape_t shape, const char *targets, float dropout)
{
    llm_adapter_spec_t spec = tiny_lora(targets, dropout);
    fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .client = 2, .step = 9};
    check_model(&shape, &spec, dropout > 0.0f ? &stream : NULL);
}

static const char gpt2_all[] = "c_attn c_proj c_fc";
static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

static void lora_on_all_modules_of_gpt2_has_true_gradients(void **state)
{
    (void)state;
    check_lora(tiny_gpt2(), gpt2_all, 0.0f);
}

static void lora_on_all_modules_of_llama_has_true_gradients(void **state)
{
    (void)state;
    check_lora(tiny_llama(), llama_all, 0.0f);
    check_lora(tiny_llama_biased(), llama_all, 0.0f);
}

static void gradients_are_true_with_exact_gelu(void **state)
{
    (void)state;
    llm_shape_t shape = tiny_gpt2();
    shape.activation = LLM_ACTIVATION_GELU;
    check_lora(shape, gpt2_all, 0.0f);
}

static void gradients_are_true_wherever_backward_stops(void **state)
{
    (void)state;
    static const char *const gpt2[] = {"c_attn",      "attn.c_proj",   "mlp.c_fc",
                                       "mlp.c_proj",  "1.attn.c_attn", "1.attn.c_proj",
                                       "1.mlp.c_fc",  "1.mlp.c_proj",  "0.mlp.c_fc 1.attn.c_attn",
                                       "0.mlp.c_proj"};
    static const char *const llama[] = {"q_proj v_proj",   "k_proj",  "1.self_attn.v_proj",
                                        "1.mlp.gate_proj", "up_proj", "1.mlp.down_proj"};
    for (size_t i = 0; i < sizeof gpt2 / sizeof *gpt2; i++)
        check_lora(tiny_gpt2(), gpt2[i], 0.0f);
    for (size_t i = 0; i < sizeof llama / sizeof *llama; i++)
        check_lora(tiny_llama(), llama[i], 0.0f);
}

static void lora_dropout_has_true_gradients(void **state)
{
    (void)state;
    check_lora(tiny_gpt2(), gpt2_all, 0.25f);
    check_lora(tiny_llama(), llama_all, 0.25f);
}

static void full_fine_tuning_has_true_gradients(void **state)
{
    (void)state;
    llm_adapter_spec_t spec = tiny_full();
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_model(&shapes[i], &spec, NULL);
}

static void full_fine_tuning_of_some_layers_has_true_gradients(void **state)
{
    (void)state;
    static const char *const layers[] = {"0", "1", "1 2"};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama_biased()};
        llm_adapter_spec_t spec = tiny_on_layers(tiny_full(), layers[i]);
        for (size_t k = 0; k < 2; k++) {
            shapes[k].layers = 3;
            check_model(&shapes[k], &spec, NULL);
        }
    }
}

/* Below, between and above what trains. */
static const struct {
    const char *trained, *fixed;
} apart[] = {{"3", "0 1 2"}, {"0 3", "1 2"}, {"1", "0 2 3"}, {"0", "3"}, {"2 3", "1"}};
#define APART (sizeof apart / sizeof *apart)

static void check_apart(llm_adapter_spec_t trained, llm_adapter_spec_t fixed, llm_shape_t shape)
{
    fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .client = 2, .step = 9};
    shape.layers = 4;
    for (size_t i = 0; i < APART; i++) {
        llm_adapter_spec_t a = tiny_on_layers(trained, apart[i].trained);
        llm_adapter_spec_t b = tiny_on_layers(fixed, apart[i].fixed);
        check_stack(&shape, &a, &b, trained.dropout > 0.0f ? &stream : NULL);
    }
}

static void lora_beside_fixed_lora_has_true_gradients(void **state)
{
    (void)state;
    check_apart(tiny_lora(gpt2_all, 0.0f), tiny_lora(gpt2_all, 0.0f), tiny_gpt2());
    check_apart(tiny_lora(llama_all, 0.0f), tiny_lora(llama_all, 0.0f), tiny_llama());
    check_apart(tiny_lora("q_proj", 0.25f), tiny_lora("down_proj", 0.25f), tiny_llama_biased());
}

static void modules_of_one_layer_may_be_trained_and_fixed(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama()};
    static const char *const pairs[][2] = {{"mlp.c_proj c_attn", "c_fc attn.c_proj"},
                                           {"o_proj up_proj", "q_proj v_proj gate_proj"}};
    for (size_t i = 0; i < 2; i++) {
        for (size_t turn = 0; turn < 2; turn++) {
            llm_adapter_spec_t trained = tiny_lora(pairs[i][turn], 0.0f);
            llm_adapter_spec_t fixed = tiny_lora(pairs[i][1 - turn], 0.0f);
            check_stack(&shapes[i], &trained, &fixed, NULL);
        }
    }
}

static void fixed_layers_have_true_gradients_around_them(void **state)
{
    (void)state;
    check_apart(tiny_lora(gpt2_all, 0.0f), tiny_full(), tiny_gpt2());
    check_apart(tiny_full(), tiny_lora(llama_all, 0.0f), tiny_llama_biased());
    check_apart(tiny_full(), tiny_full(), tiny_llama());
}

/* Layer 0 whole and layer 1 with 13 channels, or both cut. */
static void gradients_are_true_where_layers_have_fewer_channels(void **state)
{
    (void)state;
    llm_shape_t shapes[] = {tiny_gpt2(), tiny_llama(), tiny_llama_biased()};
    fmq_rng_name_t stream = {.seed = 5, .purpose = FMQ_RNG_DROPOUT, .client = 2, .step = 9};
    for (size_t i = 0; i < 3; i++) {
        const char *targets = i ? llama_all : gpt2_all;
        llm_adapter_spec_t specs[] = {tiny_lora(targets, 0.0f), tiny_lora(targets, 0.25f),
                                      tiny_full()};
        for (size_t k = 0; k < 3; k++) {
            tiny_t tiny;
            const uint32_t ffn[] = {k ? 11 : shapes[i].ffn, 13};
            llm_backend_t *be = llm_backend_reference_new(NULL);
            llm_model_t *whole = llm_model_new_random(&shapes[i], 3, be, NULL);
            llm_model_t *narrow = tiny_narrow(whole, ffn, be);
            llm_model_destroy(&whole);
            tiny_init_with(&tiny, &narrow, &specs[k], NULL, be);
            check_gradients(tiny, k == 1 ? &stream : NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_on_all_modules_of_gpt2_has_true_gradients),
        cmocka_unit_test(lora_on_all_modules_of_llama_has_true_gradients),
        cmocka_unit_test(gradients_are_true_with_exact_gelu),
        cmocka_unit_test(gradients_are_true_wherever_backward_stops),
        cmocka_unit_test(lora_dropout_has_true_gradients),
        cmocka_unit_test(full_fine_tuning_has_true_gradients),
        cmocka_unit_test(full_fine_tuning_of_some_layers_has_true_gradients),
        cmocka_unit_test(lora_beside_fixed_lora_has_true_gradients),
        cmocka_unit_test(modules_of_one_layer_may_be_trained_and_fixed),
        cmocka_unit_test(fixed_layers_have_true_gradients_around_them),
        cmocka_unit_test(gradients_are_true_where_layers_have_fewer_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
