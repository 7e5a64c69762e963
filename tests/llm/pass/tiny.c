/*
 * tiny.c - see tiny.h.
 */
#include "tests/llm/pass/tiny.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "fedmq/base/rng.h"
#include "fedmq/llm/parts.h"
#include "llm/weights/parameter.h"

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
                         .activation = LLM_ACTIVATION_GELU_TANH,
                         .biases = LLM_ALL_MODULES,
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
    shape.biases = LLM_ALL_MODULES;
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

llm_adapter_spec_t tiny_on_layers(llm_adapter_spec_t spec, const char *layers)
{
    while (*layers) {
        char *end = NULL;
        uint32_t layer = (uint32_t)strtoul(layers, &end, 10);
        llm_layer_set_add(&spec.layers, layer, layer + 1);
        layers = end + (*end == ' ');
    }
    return spec;
}

static llm_adapter_t *adapter_new(const llm_shape_t *shape, const llm_adapter_spec_t *spec)
{
    fmq_error_t err = {0};
    llm_adapter_t *adapter = llm_adapter_new(shape, spec, &err);
    if (!adapter)
        fail_msg("%s", err.text);
    return adapter;
}

static float *vector_new(uint64_t elements, uint32_t step)
{
    float *vector = malloc(elements * sizeof *vector + 1);
    assert_non_null(vector);
    tiny_normal(vector, elements, 0.3, step);
    return vector;
}

void tiny_init_with(tiny_t *self, llm_model_t **model_p, const llm_adapter_spec_t *spec,
                    const llm_adapter_spec_t *fixed, llm_backend_t *be)
{
    fmq_error_t err = {0};
    const llm_shape_t *shape = llm_model_shape(*model_p);
    *self = (tiny_t){.be = be, .model = *model_p};
    *model_p = NULL;
    self->adapter = adapter_new(shape, spec);
    if (fixed)
        self->fixed = adapter_new(shape, fixed);
    llm_limits_t limits = {.tokens_max = TINY_TOKENS, .training = true};
    llm_stack_t stack = {.model = self->model, .adapter = self->adapter, .fixed = self->fixed};
    self->ws = llm_workspace_new_stack(&stack, &limits, be, &err);
    if (!self->ws)
        fail_msg("%s", err.text);
    self->elements = llm_workspace_elements(self->ws);
    self->vector = vector_new(self->elements, 1);
    assert_int_equal(llm_workspace_set_params(self->ws, self->vector, &err), 0);
    if (!fixed)
        return;
    self->fixed_vector = vector_new(fmq_schema_elements(llm_adapter_schema(self->fixed)), 2);
    assert_int_equal(llm_workspace_set_fixed(self->ws, self->fixed_vector, &err), 0);
}

void tiny_init_stack(tiny_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                     const llm_adapter_spec_t *fixed, llm_backend_t *be)
{
    fmq_error_t err = {0};
    assert_non_null(be);
    llm_model_t *model = llm_model_new_random(shape, 3, be, &err);
    if (!model)
        fail_msg("%s", err.text);
    tiny_init_with(self, &model, spec, fixed, be);
}

void tiny_init(tiny_t *self, const llm_shape_t *shape, const llm_adapter_spec_t *spec,
               llm_backend_t *be)
{
    tiny_init_stack(self, shape, spec, NULL, be);
}

void tiny_release(tiny_t *self)
{
    free(self->vector);
    free(self->fixed_vector);
    llm_workspace_destroy(&self->ws);
    llm_adapter_destroy(&self->adapter);
    llm_adapter_destroy(&self->fixed);
    llm_model_destroy(&self->model);
    llm_backend_destroy(&self->be);
}

void tiny_logits(const llm_model_t *model, llm_backend_t *be, float out[TINY_LOGITS])
{
    fmq_error_t err = {0};
    tiny_batch_t batch = {0};
    tiny_batch_init(&batch);
    int32_t rows[TINY_TOKENS];
    for (int32_t i = 0; i < TINY_TOKENS; i++)
        rows[i] = i;
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    llm_limits_t limits = {.tokens_max = TINY_TOKENS};
    llm_adapter_t *adapter = llm_adapter_new(llm_model_shape(model), &none, &err);
    llm_workspace_t *ws = llm_workspace_new(model, adapter, &limits, be, &err);
    assert_non_null(ws);
    assert_int_equal(llm_workspace_logits(ws, &batch.batch, rows, TINY_TOKENS, out, &err), 0);
    llm_workspace_destroy(&ws);
    llm_adapter_destroy(&adapter);
}

/* One part of model as a part file at path, its MLP cut to ffn channels. */
static void write_narrow(const llm_model_t *model, uint32_t part, uint32_t ffn, const char *path)
{
    fmq_error_t err = {0};
    const llm_shape_t *shape = llm_model_shape(model);
    llm_parameters_t full, cut;
    assert_int_equal(llm_parameters_init(&full, shape, &err), 0);
    assert_int_equal(llm_parameters_init(&cut, shape, &err), 0);
    if (part != LLM_PART_STEM)
        llm_parameters_narrow(&cut, shape, part, ffn);
    llm_part_tensor_t tensors[40] = {0};
    char names[40][FMQ_SCHEMA_NAME_MAX];
    size_t count = 0;
    for (size_t i = 0; i < cut.size; i++) {
        const llm_parameter_t *from = &full.items[i], *to = &cut.items[i];
        bool mine = part == LLM_PART_STEM ? !llm_parameter_in_layer(to)
                                          : llm_parameter_in_layer(to) && to->layer == part;
        if (!mine)
            continue;
        char name[FMQ_SCHEMA_NAME_MAX];
        float *data = malloc(from->count * sizeof *data);
        llm_parameter_name(shape, from, name);
        assert_int_equal(llm_model_read(model, name, data, &err), 0);
        for (size_t r = 0; r < to->shape[0]; r++)
            memmove(data + r * to->shape[1], data + r * from->shape[1],
                    to->shape[1] * sizeof *data);
        llm_parameter_part_name(shape, to, names[count]);
        tensors[count] = (llm_part_tensor_t){.name = names[count],
                                             .dtype = "F32",
                                             .rank = to->rank,
                                             .shape = {to->shape[0], to->shape[1]},
                                             .data = data,
                                             .bytes = to->count * sizeof *data};
        count++;
    }
    if (llm_part_save(path, tensors, count, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)tensors[i].data);
    llm_parameters_release(&full);
    llm_parameters_release(&cut);
}

llm_model_t *tiny_narrow(const llm_model_t *model, const uint32_t *ffn, llm_backend_t *be)
{
    fmq_error_t err = {0};
    char paths[TINY_LAYERS_MAX + 1][64];
    llm_part_origin_t origins[TINY_LAYERS_MAX + 1] = {{0}};
    uint32_t layers = llm_model_shape(model)->layers;
    assert_true(layers <= TINY_LAYERS_MAX);
    for (uint32_t i = 0; i <= layers; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "/tmp/fedmq-narrow-XXXXXX");
        int fd = mkstemp(paths[i]);
        assert_true(fd >= 0);
        (void)close(fd);
        bool stem = i == layers;
        write_narrow(model, stem ? LLM_PART_STEM : i, stem ? 0 : ffn[i], paths[i]);
        origins[i].path = paths[i];
    }
    llm_model_t *narrow =
        llm_model_compose(llm_model_shape(model), &origins[layers], origins, be, &err);
    for (uint32_t i = 0; i <= layers; i++)
        (void)unlink(paths[i]);
    if (!narrow)
        fail_msg("%s", err.text);
    return narrow;
}
