/*
 * tiny.c - see tiny.h.
 */
#include "tests/llm/model/tiny.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"

llm_shape_t tiny_gpt2(void)
{
    return (llm_shape_t){.arch = llm_arch_find("gpt2"),
                         .layers = 2,
                         .width = 16,
                         .heads = 4,
                         .kv_heads = 4,
                         .head_width = 4,
                         .ffn = 24,
                         .vocab = TINY_VOCAB,
                         .context = TINY_CONTEXT,
                         .norm_eps = 1e-5f,
                         .attention_bias = true,
                         .mlp_bias = true,
                         .tied = true,
                         .bos = -1,
                         .eos = -1,
                         .rope_factor = 1.0f};
}

llm_shape_t tiny_llama(void)
{
    return (llm_shape_t){.arch = llm_arch_find("llama"),
                         .layers = 2,
                         .width = 16,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_width = 6,
                         .ffn = 20,
                         .vocab = TINY_VOCAB,
                         .context = TINY_CONTEXT,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000.0f,
                         .tied = true,
                         .bos = 1,
                         .eos = 2,
                         .rope_factor = 1.0f};
}

llm_shape_t tiny_llama_biased(void)
{
    llm_shape_t shape = tiny_llama();
    shape.tied = false;
    shape.attention_bias = true;
    shape.mlp_bias = true;
    return shape;
}

void tiny_normal(float *out, size_t count, double deviation, uint32_t step)
{
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 7, .purpose = FMQ_RNG_TEST, .step = step};
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(deviation * fmq_rng_normal(&rng));
}

void tiny_batch_init(tiny_batch_t *self)
{
    const uint32_t starts[] = {0, 7, 8, TINY_TOKENS};
    memcpy(self->starts, starts, sizeof starts);
    self->batch = (llm_batch_t){.sequences = 3,
                                .starts = self->starts,
                                .ids = self->ids,
                                .rows = self->rows,
                                .targets = self->targets};
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = 11, .purpose = FMQ_RNG_TEST};
    fmq_rng_init(&rng, &name);
    for (int32_t t = 0; t < TINY_TOKENS; t++) {
        self->ids[t] = (int32_t)fmq_rng_below(&rng, TINY_VOCAB);
        if (t == 0 || t == 3 || t == 8)
            continue;
        self->rows[self->batch.supervised] = t;
        self->targets[self->batch.supervised++] = (int32_t)fmq_rng_below(&rng, TINY_VOCAB);
    }
}

llm_adapter_spec_t tiny_lora(const char *targets, float dropout)
{
    llm_adapter_spec_t spec = {
        .kind = LLM_ADAPTER_LORA, .rank = 3, .alpha = 4.5f, .dropout = dropout};
    while (*targets) {
        size_t size = strcspn(targets, " ");
        (void)snprintf(spec.target[spec.targets++], sizeof spec.target[0], "%.*s", (int)size,
                       targets);
        targets += size + (targets[size] == ' ');
    }
    return spec;
}

llm_adapter_spec_t tiny_full(void)
{
    return (llm_adapter_spec_t){.kind = LLM_ADAPTER_FULL};
}

void tiny_init(tiny_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
               llm_backend_t *be)
{
    fmq_error_t err = {0};
    assert_non_null(be);
    self->be = be;
    self->model = llm_model_new_random(shape, 3, be, &err);
    if (!self->model)
        fail_msg("%s", err.text);
    self->adapter = llm_adapter_new(shape, spec, &err);
    if (!self->adapter)
        fail_msg("%s", err.text);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true};
    self->ws = llm_workspace_new(self->model, self->adapter, &limits, be, &err);
    if (!self->ws)
        fail_msg("%s", err.text);
    self->elements = llm_workspace_elements(self->ws);
    self->vector = malloc(self->elements * sizeof *self->vector + 1);
    assert_non_null(self->vector);
    tiny_normal(self->vector, self->elements, 0.3, 1);
    assert_int_equal(llm_workspace_set_params(self->ws, self->vector, &err), 0);
}

void tiny_release(tiny_t *self)
{
    free(self->vector);
    llm_workspace_destroy(&self->ws);
    llm_adapter_destroy(&self->adapter);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}
