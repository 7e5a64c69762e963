/*
 * low_rank.c - LoRA's product on a linear module (Hu et al. 2021), as PEFT's
 * lora.Linear has it.
 */
#include <math.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "llm/adapter/layout.h"

enum { A, B };

static int lay_out(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    size_t out = 0, in = 0;
    char name[2 * FMQ_SCHEMA_NAME_MAX];
    llm_piece_extents(self, &adapter->shape, &out, &in);
    const uint64_t a[] = {self->rank, in}, b[] = {out, self->rank};
    llm_piece_name(self, &adapter->shape, ".lora_A.weight", name);
    if (fmq_schema_add(adapter->schema, name, 2, a, err) < 0)
        return -1;
    llm_piece_name(self, &adapter->shape, ".lora_B.weight", name);
    return fmq_schema_add(adapter->schema, name, 2, b, err);
}

/* torch's kaiming_uniform_(a = sqrt 5) over [rows][width]: U(-b, b) with
 * b = sqrt(6 / ((1 + 5) width)) = 1 / sqrt(width). */
static void draw_uniform(const fmq_tensor_t *tensor, fmq_rng_t *rng, float *vector)
{
    double bound = 1.0 / sqrt((double)tensor->shape[1]);
    for (uint64_t i = 0; i < tensor->count; i++)
        vector[tensor->offset + i] = (float)((2.0 * fmq_rng_uniform(rng) - 1.0) * bound);
}

static void draw_normal(const fmq_tensor_t *tensor, fmq_rng_t *rng, double deviation, float *vector)
{
    for (uint64_t i = 0; i < tensor->count; i++)
        vector[tensor->offset + i] = (float)(deviation * fmq_rng_normal(rng));
}

static fmq_rng_t stream_of(const llm_piece_start_t *start, size_t tensor)
{
    fmq_rng_t rng;
    fmq_rng_name_t name = {
        .seed = start->seed, .purpose = FMQ_RNG_ADAPTER_INIT, .step = (uint32_t)tensor};
    fmq_rng_init(&rng, &name);
    return rng;
}

static int init(const llm_piece_t *self, const llm_adapter_t *adapter,
                const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    (void)err;
    const fmq_tensor_t *a = fmq_schema_at(adapter->schema, self->first + A);
    const fmq_tensor_t *b = fmq_schema_at(adapter->schema, self->first + B);
    fmq_rng_t for_a = stream_of(start, self->first + A), for_b = stream_of(start, self->first + B);
    if (self->start == LLM_INIT_GAUSSIAN)
        draw_normal(a, &for_a, 1.0 / (double)self->rank, vector);
    else
        draw_uniform(a, &for_a, vector);
    if (self->start == LLM_INIT_RANDOM)
        draw_uniform(b, &for_b, vector);
    else
        memset(vector + b->offset, 0, (size_t)b->count * sizeof *vector);
    return 0;
}

static void bind(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                 float *own)
{
    (void)own;
    llm_bound_linear_t *linear = llm_piece_linear(self, decoder);
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
    llm_piece_extents(self, &adapter->shape, &out, &in);
    const float *a = vector + llm_piece_offset(self, adapter, A);
    const float *b = vector + llm_piece_offset(self, adapter, B);
    bool major = self->place.role == LLM_ROLE_MODULE && adapter->shape.arch->input_major;
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

/* The embedding of a token is a column of A: first values are zero, and B's
 * normal, as PEFT's lora.Embedding has them. */
static int lay_out_lookup(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    const llm_shape_t *shape = &adapter->shape;
    const uint64_t a[] = {self->rank, shape->vocab}, b[] = {shape->width, self->rank};
    char name[2 * FMQ_SCHEMA_NAME_MAX];
    llm_piece_name(self, shape, ".lora_embedding_A", name);
    if (fmq_schema_add(adapter->schema, name, 2, a, err) < 0)
        return -1;
    llm_piece_name(self, shape, ".lora_embedding_B", name);
    return fmq_schema_add(adapter->schema, name, 2, b, err);
}

static int init_lookup(const llm_piece_t *self, const llm_adapter_t *adapter,
                       const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    (void)err;
    const fmq_tensor_t *a = fmq_schema_at(adapter->schema, self->first + A);
    const fmq_tensor_t *b = fmq_schema_at(adapter->schema, self->first + B);
    fmq_rng_t for_a = stream_of(start, self->first + A), for_b = stream_of(start, self->first + B);
    if (self->start == LLM_INIT_RANDOM)
        draw_normal(a, &for_a, 1.0, vector);
    else
        memset(vector + a->offset, 0, (size_t)a->count * sizeof *vector);
    draw_normal(b, &for_b, 1.0, vector);
    return 0;
}

static void bind_lookup(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                        float *own)
{
    (void)own;
    uint64_t a = llm_piece_offset(self, vector->adapter, A);
    uint64_t b = llm_piece_offset(self, vector->adapter, B);
    decoder->lookup = (llm_bound_lookup_t){.rank = self->rank,
                                           .scaling = self->scaling,
                                           .a = vector->at + a,
                                           .b = vector->at + b,
                                           .da = vector->grads ? vector->grads + a : NULL,
                                           .db = vector->grads ? vector->grads + b : NULL};
}

/* E[v][c] += s sum of B[c][r] A[r][v]. */
static void merge_lookup(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                         const llm_parameter_t *parameter, float *weight)
{
    if (!llm_parameter_same(parameter, &self->place))
        return;
    size_t vocab = adapter->shape.vocab, width = adapter->shape.width, rank = self->rank;
    const float *a = vector + llm_piece_offset(self, adapter, A);
    const float *b = vector + llm_piece_offset(self, adapter, B);
    for (size_t v = 0; v < vocab; v++)
        for (size_t r = 0; r < rank; r++)
            add_scaled(weight + v * width, b + r, rank, self->scaling * a[r * vocab + v], width);
}

const llm_piece_ops_t llm_piece_lookup = {
    .name = "lookup",
    .silent_at_zero = true,
    .lay_out = lay_out_lookup,
    .init = init_lookup,
    .bind = bind_lookup,
    .merge = merge_lookup,
};
