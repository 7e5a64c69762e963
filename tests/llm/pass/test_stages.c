/*
 * test_stages.c - the parts of a workspace's passes, strung together by hand,
 * are the passes; and a workspace whose backward begins lower needs less.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/pass/stages.h"
#include "tests/llm/backend/acts.h"
#include "tests/llm/pass/tiny.h"

static const char llama_all[] = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj";

static double sum_of_losses(llm_workspace_t *ws, size_t count)
{
    const float *losses = llm_stages_losses(ws, count);
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)losses[i];
    return sum;
}

static void open_tiny(tiny_t *self, tiny_batch_t *batch, const llm_adapter_spec_t *spec)
{
    llm_shape_t shape = tiny_llama();
    shape.layers = 4;
    memset(batch, 0, sizeof *batch);
    tiny_batch_init(batch);
    tiny_init(self, &shape, spec, llm_backend_reference_new(NULL));
}

static float *gradient_of(const tiny_t *tiny)
{
    size_t bytes = tiny->elements * sizeof(float);
    float *out = malloc(bytes);
    assert_non_null(out);
    tiny->be->ops->download(tiny->be, out, llm_workspace_grads(tiny->ws), bytes);
    tiny->be->ops->zero(tiny->be, llm_workspace_grads(tiny->ws), bytes);
    return out;
}

/* llm_workspace_train() in stages. */
static double train_in_stages(tiny_t *tiny, const llm_batch_t *batch, float scale,
                              const fmq_rng_name_t *dropout)
{
    llm_packed_t packed;
    assert_int_equal(llm_stages_begin(tiny->ws, batch, dropout, &packed, NULL), 0);
    llm_stages_embed(tiny->ws, &packed);
    llm_stages_forward(tiny->ws, &packed, 0, 1);
    llm_stages_forward(tiny->ws, &packed, 1, 4);
    llm_stages_zero_gradient(tiny->ws, &packed);
    assert_true(batch->supervised <= llm_stages_block(tiny->ws));
    (void)llm_stages_logits(tiny->ws, batch->rows, batch->supervised);
    llm_stages_cross_entropy(tiny->ws, batch->targets, 0, batch->supervised, scale);
    double loss = sum_of_losses(tiny->ws, batch->supervised);
    llm_stages_logits_backward(tiny->ws, batch->supervised);
    for (uint32_t l = 4; l-- > llm_adapter_first_layer(tiny->adapter);)
        llm_stages_backward(tiny->ws, &packed, l);
    return loss;
}

static void stages_in_order_are_the_pass(void **state)
{
    (void)state;
    static const char *const targets[] = {llama_all, "2.self_attn.v_proj 3.mlp.up_proj"};
    fmq_rng_name_t dropout = {.seed = 4, .purpose = FMQ_RNG_DROPOUT};
    for (size_t i = 0; i < 2; i++) {
        tiny_t tiny;
        tiny_batch_t batch;
        llm_adapter_spec_t spec = tiny_lora(targets[i], 0.2f);
        double loss;
        open_tiny(&tiny, &batch, &spec);
        assert_int_equal(llm_workspace_train(tiny.ws, &batch.batch, 0.5f, &dropout, &loss, NULL),
                         0);
        float *whole = gradient_of(&tiny);
        assert_true(train_in_stages(&tiny, &batch.batch, 0.5f, &dropout) == loss);
        float *staged = gradient_of(&tiny);
        assert_memory_equal(staged, whole, tiny.elements * sizeof *whole);
        free(whole);
        free(staged);
        tiny_release(&tiny);
    }
}

static void a_batch_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    fmq_error_t err;
    llm_packed_t packed;
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    open_tiny(&tiny, &batch, &spec);
    batch.ids[3] = TINY_VOCAB;
    assert_int_equal(llm_stages_begin(tiny.ws, &batch.batch, NULL, &packed, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    tiny_release(&tiny);
}

/* [tokens][width] of a stream; the caller's. */
static float *stream_of(const tiny_t *tiny, llm_workspace_t *ws, uint32_t layer)
{
    size_t bytes = TINY_TOKENS * llm_model_shape(tiny->model)->width * sizeof(float);
    float *out = malloc(bytes);
    assert_non_null(out);
    tiny->be->ops->download(tiny->be, out, llm_stages_stream(ws, layer), bytes);
    return out;
}

static void streams_of_trained_layers_stay_and_layers_go_on_from_what_they_are_given(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    llm_packed_t packed;
    llm_adapter_spec_t spec = tiny_lora(llama_all, 0.0f);
    open_tiny(&tiny, &batch, &spec);
    size_t floats = TINY_TOKENS * llm_model_shape(tiny.model)->width;
    assert_int_equal(llm_stages_begin(tiny.ws, &batch.batch, NULL, &packed, NULL), 0);
    llm_stages_embed(tiny.ws, &packed);
    llm_stages_forward(tiny.ws, &packed, 0, 2);
    float *between = stream_of(&tiny, tiny.ws, 2);
    llm_stages_forward(tiny.ws, &packed, 2, 4);
    float *last = stream_of(&tiny, tiny.ws, 4), *again = stream_of(&tiny, tiny.ws, 2);
    assert_memory_equal(again, between, floats * sizeof *again);
    free(again);
    /* The same from another workspace's stream, one that keeps nothing. */
    llm_limits_t limits = {.tokens_max = TINY_TOKENS};
    llm_workspace_t *other = llm_workspace_new(tiny.model, tiny.adapter, &limits, tiny.be, NULL);
    assert_non_null(other);
    assert_int_equal(llm_workspace_set_params(other, tiny.vector, NULL), 0);
    assert_int_equal(llm_stages_begin(other, &batch.batch, NULL, &packed, NULL), 0);
    tiny.be->ops->upload(tiny.be, llm_stages_stream(other, 2), between, floats * sizeof *between);
    llm_stages_forward(other, &packed, 2, 4);
    again = stream_of(&tiny, other, 4);
    assert_memory_equal(again, last, floats * sizeof *again);
    llm_workspace_destroy(&other);
    free(again);
    free(last);
    free(between);
    tiny_release(&tiny);
}

static void divergence_from_the_same_logits_is_nothing(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    llm_packed_t packed;
    llm_adapter_spec_t spec = tiny_lora("", 0.0f);
    open_tiny(&tiny, &batch, &spec);
    assert_int_equal(llm_stages_begin(tiny.ws, &batch.batch, NULL, &packed, NULL), 0);
    llm_stages_embed(tiny.ws, &packed);
    llm_stages_forward(tiny.ws, &packed, 0, 4);
    size_t count = batch.batch.supervised, bytes = count * TINY_VOCAB * sizeof(float);
    llm_act_t *logits = llm_stages_logits(tiny.ws, batch.batch.rows, count);
    float *full = tiny.be->ops->alloc(tiny.be, bytes);
    tiny.be->ops->copy(tiny.be, full, logits, bytes);
    llm_stages_divergence(tiny.ws, act(full), 0, count, 0.0f);
    assert_true(sum_of_losses(tiny.ws, count) == 0.0);
    tiny.be->ops->scale(tiny.be, full, 1.5f, count * TINY_VOCAB);
    llm_stages_divergence(tiny.ws, act(full), 0, count, 0.0f);
    assert_true(sum_of_losses(tiny.ws, count) > 0.0);
    tiny.be->ops->release(tiny.be, full);
    tiny_release(&tiny);
}

static void backward_that_begins_lower_needs_less_and_gives_the_same(void **state)
{
    (void)state;
    tiny_t tiny;
    tiny_batch_t batch;
    fmq_error_t err;
    double loss, again;
    llm_adapter_spec_t spec = tiny_lora("1.self_attn.v_proj 1.mlp.up_proj", 0.0f);
    open_tiny(&tiny, &batch, &spec);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true, .behind = 2};
    llm_workspace_t *lower = llm_workspace_new(tiny.model, tiny.adapter, &limits, tiny.be, &err);
    assert_non_null(lower);
    assert_int_equal(llm_workspace_set_params(lower, tiny.vector, NULL), 0);
    assert_true(llm_workspace_bytes(lower) < llm_workspace_bytes(tiny.ws));
    assert_int_equal(llm_workspace_loss(tiny.ws, &batch.batch, &loss, NULL), 0);
    assert_int_equal(llm_workspace_loss(lower, &batch.batch, &again, NULL), 0);
    assert_true(loss == again);
    assert_int_equal(llm_workspace_train(lower, &batch.batch, 1.0f, NULL, &loss, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    /* A gradient of ones behind layer 1, in both. */
    llm_workspace_t *both[] = {tiny.ws, lower};
    float *grads[2], ones[TINY_TOKENS * 16];
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        ones[i] = 1.0f;
    assert_int_equal(llm_model_shape(tiny.model)->width, 16);
    for (int i = 0; i < 2; i++) {
        llm_packed_t packed;
        size_t bytes = tiny.elements * sizeof(float);
        assert_int_equal(llm_stages_begin(both[i], &batch.batch, NULL, &packed, NULL), 0);
        llm_stages_embed(both[i], &packed);
        llm_stages_forward(both[i], &packed, 0, 2);
        tiny.be->ops->upload(tiny.be, llm_stages_gradient(both[i]), ones, sizeof ones);
        llm_stages_backward(both[i], &packed, 1);
        grads[i] = malloc(bytes);
        tiny.be->ops->download(tiny.be, grads[i], llm_workspace_grads(both[i]), bytes);
    }
    assert_memory_equal(grads[0], grads[1], tiny.elements * sizeof(float));
    free(grads[0]);
    free(grads[1]);
    llm_workspace_destroy(&lower);
    tiny_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_in_order_are_the_pass),
        cmocka_unit_test(a_batch_that_does_not_fit_is_refused),
        cmocka_unit_test(streams_of_trained_layers_stay_and_layers_go_on_from_what_they_are_given),
        cmocka_unit_test(divergence_from_the_same_logits_is_nothing),
        cmocka_unit_test(backward_that_begins_lower_needs_less_and_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
