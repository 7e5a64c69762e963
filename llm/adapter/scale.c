/*
 * scale.c - factors on what goes out of a linear module, or comes in: IA3's, as
 * peft.tuners.ia3 has them.
 */
#include <string.h>

#include "llm/adapter/layout.h"

static int lay_out(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    size_t out = 0, in = 0;
    char name[2 * FMQ_SCHEMA_NAME_MAX];
    llm_piece_extents(self, &adapter->shape, &out, &in);
    const uint64_t shape[] = {self->of_input ? 1 : out, self->of_input ? in : 1};
    llm_piece_name(self, &adapter->shape, ".ia3_l", name);
    return fmq_schema_add(adapter->schema, name, 2, shape, err);
}

/* Ones have no effect. */
static int init(const llm_piece_t *self, const llm_adapter_t *adapter,
                const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    (void)start;
    (void)err;
    const fmq_tensor_t *tensor = fmq_schema_at(adapter->schema, self->first);
    for (uint64_t i = 0; i < tensor->count; i++)
        vector[tensor->offset + i] = 1.0f;
    return 0;
}

static void bind(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                 float *own)
{
    (void)own;
    llm_bound_linear_t *linear = llm_piece_linear(self, decoder);
    uint64_t offset = llm_piece_offset(self, vector->adapter, 0);
    llm_bound_scale_t *scale = self->of_input ? &linear->scale_in : &linear->scale_out;
    *scale = (llm_bound_scale_t){.at = vector->at + offset,
                                 .grad = vector->grads ? vector->grads + offset : NULL};
}

/* w[o][i], or w[i][o] when input_major. */
static void scale_weight(const llm_piece_t *self, const llm_adapter_t *adapter,
                         const float *factors, float *weight)
{
    size_t out = 0, in = 0;
    bool major = adapter->shape.arch->input_major;
    llm_piece_extents(self, &adapter->shape, &out, &in);
    size_t rows = major ? in : out, width = major ? out : in;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < width; c++)
            weight[r * width + c] *= factors[self->of_input == major ? r : c];
}

static void merge(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                  const llm_parameter_t *parameter, float *weight)
{
    const float *factors = vector + llm_piece_offset(self, adapter, 0);
    llm_parameter_t plain = *parameter;
    plain.bias = false;
    if (!llm_parameter_same(&plain, &self->place))
        return;
    if (!parameter->bias)
        scale_weight(self, adapter, factors, weight);
    for (uint64_t i = 0; parameter->bias && !self->of_input && i < parameter->shape[0]; i++)
        weight[i] *= factors[i];
}

const llm_piece_ops_t llm_piece_scale = {
    .name = "scale",
    .lay_out = lay_out,
    .init = init,
    .bind = bind,
    .merge = merge,
};
