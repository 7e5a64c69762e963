/*
 * small.c - see small.h.
 */
#include "tests/llm/offsite/small.h"

#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"

#define TOKENS 40

llm_shape_t small_shape(const char *family, uint32_t layers)
{
    bool gpt2 = strcmp(family, "gpt2") == 0;
    return (llm_shape_t){.arch = llm_arch_find(family),
                         .layers = layers,
                         .width = 16,
                         .heads = 4,
                         .kv_heads = gpt2 ? 4 : 2,
                         .head_width = 4,
                         .ffn = gpt2 ? 24 : 20,
                         .vocab = SMALL_VOCAB,
                         .context = SMALL_CONTEXT,
                         .norm_eps = 1e-5f,
                         .rope_theta = gpt2 ? 0.0f : 10000.0f,
                         .activation = gpt2 ? LLM_ACTIVATION_GELU_TANH : LLM_ACTIVATION_SILU,
                         .biases = gpt2 ? LLM_ALL_MODULES : 0,
                         .tied = true,
                         .bos = -1,
                         .eos = -1,
                         .rope_factor = 1.0f};
}

void small_open(small_t *self, const char *family, uint32_t layers)
{
    fmq_error_t err;
    llm_shape_t shape = small_shape(family, layers);
    self->be = llm_backend_cpu_new(1, &err);
    assert_non_null(self->be);
    self->model = llm_model_new_random(&shape, 5, self->be, &err);
    if (!self->model)
        fail_msg("%s", err.text);
}

void small_close(small_t *self)
{
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

llm_adapter_spec_t small_lora(void)
{
    return (llm_adapter_spec_t){.kind = LLM_ADAPTER_LORA, .rank = 2, .alpha = 8.0f};
}

llm_emulator_spec_t small_spec(uint32_t l, uint32_t r, double drop_ratio)
{
    return (llm_emulator_spec_t){.strategy = LLM_DROP_LAYER,
                                 .emu_l = l,
                                 .emu_r = r,
                                 .drop_ratio = drop_ratio,
                                 .adapter = small_lora()};
}

llm_emulator_t *small_emulator(const small_t *self, const llm_emulator_spec_t *spec,
                               const llm_emulator_building_t *how)
{
    fmq_error_t err = {0};
    llm_emulator_building_t plain = {.be = self->be, .seed = 1};
    llm_emulator_t *emulator = llm_emulator_new(self->model, spec, how ? how : &plain, &err);
    if (!emulator)
        fail_msg("%s", err.text);
    return emulator;
}

float *small_vector(const llm_adapter_t *adapter, double deviation, uint32_t step)
{
    uint64_t size = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = malloc((size_t)size * sizeof *vector);
    assert_non_null(vector);
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 7, .purpose = FMQ_RNG_TEST, .step = step};
    fmq_rng_init(&rng, &name);
    for (uint64_t i = 0; i < size; i++)
        vector[i] = (float)(deviation * fmq_rng_normal(&rng));
    return vector;
}

double small_loss(const llm_stack_t *stack, const float *vector, const float *fixed,
                  llm_backend_t *be)
{
    fmq_error_t err = {0};
    const uint32_t starts[] = {0, 25, TOKENS};
    int32_t ids[TOKENS], rows[TOKENS - 2], targets[TOKENS - 2];
    llm_batch_t batch = {
        .sequences = 2, .starts = starts, .ids = ids, .rows = rows, .targets = targets};
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 3, .purpose = FMQ_RNG_TEST};
    fmq_rng_init(&rng, &name);
    for (int32_t t = 0; t < TOKENS; t++)
        ids[t] = (int32_t)fmq_rng_below(&rng, SMALL_VOCAB);
    for (int32_t t = 0; t < TOKENS - 1; t++) {
        if (t == 24)
            continue;
        rows[batch.supervised] = t;
        targets[batch.supervised++] = ids[t + 1];
    }
    llm_limits_t limits = {.tokens_max = TOKENS};
    llm_workspace_t *ws = llm_workspace_new_stack(stack, &limits, be, &err);
    if (!ws)
        fail_msg("%s", err.text);
    if (vector)
        assert_int_equal(llm_workspace_set_params(ws, vector, &err), 0);
    if (fixed)
        assert_int_equal(llm_workspace_set_fixed(ws, fixed, &err), 0);
    double loss = 0.0;
    if (llm_workspace_loss(ws, &batch, &loss, &err) < 0)
        fail_msg("%s", err.text);
    llm_workspace_destroy(&ws);
    return loss;
}

double small_model_loss(const llm_model_t *model, llm_backend_t *be)
{
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &none, NULL);
    assert_non_null(adapter);
    llm_stack_t stack = {.model = model, .adapter = adapter};
    double loss = small_loss(&stack, NULL, NULL, be);
    llm_adapter_destroy(&adapter);
    return loss;
}

void small_assert_same_digest(const llm_model_t *a, const llm_model_t *b)
{
    fmq_digest_t one = llm_model_digest(a), other = llm_model_digest(b);
    assert_true(fmq_digest_equal(&one, &other));
}
