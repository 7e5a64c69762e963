/*
 * low_rank.c - LoRA's product on a linear module (Hu et al. 2021), as PEFT's
 * lora.Linear has it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "llm/adapter/layout.h"

enum { A, B };

static int lay_out(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    size_t out = 0, in = 0;
    char path[FMQ_SCHEMA_NAME_MAX], name[2 * FMQ_SCHEMA_NAME_MAX];
    llm_shape_module(&adapter->shape, self->place.module, &out, &in);
    llm_parameter_module_path(&adapter->shape, self->place.layer, self->place.module, path);
    const uint64_t a[] = {self->rank, in}, b[] = {out, self->rank};
    (void)snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", path);
    if (fmq_schema_add(adapter->schema, name, 2, a, err) < 0)
        return -1;
    (void)snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", path);
    return fmq_schema_add(adapter->schema, name, 2, b, err);
}

/* torch's kaiming_uniform_(a = sqrt 5) over A[r][in]: U(-b, b) with
 * b = sqrt(6 / ((1 + 5) in)) = 1 / sqrt(in). */
static void draw_a(const fmq_tensor_t *tensor, uint32_t index, uint64_t seed, float *vector)
{
    double bound = 1.0 / sqrt((double)tensor->shape[1]);
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = seed, .purpose = FMQ_RNG_ADAPTER_INIT, .step = index};
    fmq_rng_init(&rng, &name);
    for (uint64_t i = 0; i < tensor->count; i++)
        vector[tensor->offset + i] = (float)((2.0 * fmq_rng_uniform(&rng) - 1.0) * bound);
}

static int init(const llm_piece_t *self, const llm_adapter_t *adapter,
                const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    (void)err;
    const fmq_tensor_t *a = fmq_schema_at(adapter->schema, self->first + A);
    const fmq_tensor_t *b = fmq_schema_at(adapter->schema, self->first + B);
    draw_a(a, (uint32_t)(self->first + A), start->seed, vector);
    memset(vector + b->offset, 0, (size_t)b->count * sizeof *vector);
    return 0;
}

static void bind(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                 float *own)
{
    (void)own;
    llm_bound_linear_t *linear = &decoder->layers[self->place.layer].linear[self->place.module];
    uint64_t a = llm_piece_offset(self, vector->adapter, A);
    uint64_t b = llm_piece_offset(self, vector->adapter, B);
    linear->rank = self->rank;
    linear->scaling = self->scaling;
    linear->dropout = vector->fixed ? 0.0f : self->dropout;
    linear->a = vector->at + a;
    linear->b = vector->at + b;
    linear->da = vector->grads ? vector->grads + a : NULL;
    linear->db = vector->grads ? vector->grads + b : NULL;
}

/* to[i] += factor from[i step] over n elements. */
static void add_scaled(float *to, const float *from, size_t step, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += factor * from[i * step];
}

/* W[out][in] (or [in][out]) += s B[out][r] A[r][in], a row of W at a time. */
static void merge(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                  const llm_parameter_t *parameter, float *weight)
{
    if (!llm_parameter_same(parameter, &self->place))
        return;
    size_t out = 0, in = 0, rank = self->rank;
    llm_shape_module(&adapter->shape, self->place.module, &out, &in);
    const float *a = vector + llm_piece_offset(self, adapter, A);
    const float *b = vector + llm_piece_offset(self, adapter, B);
    bool major = adapter->shape.arch->input_major;
    for (size_t row = 0; row < (major ? in : out); row++)
        for (size_t r = 0; r < rank; r++) {
            if (major)
                add_scaled(weight + row * out, b + r, rank, self->scaling * a[r * in + row], out);
            else
                add_scaled(weight + row * in, a + r * in, 1, self->scaling * b[row * rank + r], in);
        }
}

const llm_piece_ops_t llm_piece_low_rank = {
    .name = "low_rank",
    .silent_at_zero = true,
    .lay_out = lay_out,
    .init = init,
    .bind = bind,
    .merge = merge,
};
