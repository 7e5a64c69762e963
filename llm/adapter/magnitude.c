/*
 * magnitude.c - DoRA (Liu et al. 2024) as PEFT's lora.dora has it: the weights
 * of an output, W + s B A, are brought to a length that is learnt.
 *
 *     y = bias + g (x W^T + s drop(x) A^T B^T),   g = m / |W + s B A|
 *
 * The length of a row is not part of any gradient, so that dm = dg / length.
 * It is computed before every pass, from |W|^2, which is once, and products of
 * A alone: as much work as a pass over as many tokens as the rank.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"
#include "llm/backend/fill.h"

#define BLOCK 64 /* rows of W taken at a time */

/* Floats of its own, one behind the other.  The last ones pass by. */
typedef struct {
    size_t out, in, rank;
    float *squares, *factors, *dfactors, *inverse, *minus_one; /* [out] */
    float *gram;                                               /* [rank][rank] */
    int32_t *ids;                                              /* [BLOCK] */
    llm_act_t *rows;     /* [rank][in] of A as activations, or [BLOCK][in] of W */
    llm_act_t *products; /* [rank][out] */
    size_t floats;
} own_t;

/* The rank is that of the piece that it stands on, which is the one before. */
static own_t own_of(const llm_piece_t *self, const llm_adapter_t *adapter, float *at)
{
    own_t own = {.rank = (self - 1)->rank};
    llm_piece_extents(self, &adapter->shape, &own.out, &own.in);
    size_t rows = own.rank > BLOCK ? own.rank : BLOCK;
    float **const parts[] = {&own.squares, &own.factors, &own.dfactors, &own.inverse,
                             &own.minus_one};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i] = at ? at + own.floats : NULL;
        own.floats += (own.out + 15) / 16 * 16;
    }
    own.gram = at ? at + own.floats : NULL;
    own.floats += (own.rank * own.rank + 15) / 16 * 16;
    own.ids = at ? (int32_t *)(void *)(at + own.floats) : NULL;
    own.floats += BLOCK;
    own.rows = at ? (llm_act_t *)(void *)(at + own.floats) : NULL;
    own.floats += (rows * own.in + 15) / 16 * 16;
    own.products = at ? (llm_act_t *)(void *)(at + own.floats) : NULL;
    own.floats += own.rank * own.out;
    return own;
}

static size_t own_floats(const llm_piece_t *self, const llm_adapter_t *adapter)
{
    return own_of(self, adapter, NULL).floats;
}

static int lay_out(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err)
{
    size_t out = 0, in = 0;
    char name[2 * FMQ_SCHEMA_NAME_MAX];
    llm_piece_extents(self, &adapter->shape, &out, &in);
    const uint64_t shape[] = {out};
    llm_piece_name(self, &adapter->shape, ".lora_magnitude_vector", name);
    return fmq_schema_add(adapter->schema, name, 1, shape, err);
}

static double length_of(const float *weight, bool major, size_t o, size_t out, size_t in)
{
    double sum = 0;
    for (size_t i = 0; i < in; i++) {
        double w = (double)weight[major ? i * out + o : o * in + i];
        sum += w * w;
    }
    return sqrt(sum);
}

/* W + s B A in place, and the lengths of what goes to each output. */
static void measure(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                    float *weight, double *lengths)
{
    size_t out = 0, in = 0;
    bool major = adapter->shape.arch->input_major;
    llm_piece_extents(self, &adapter->shape, &out, &in);
    (self - 1)->ops->merge(self - 1, adapter, vector, &self->place, weight);
    for (size_t o = 0; o < out; o++)
        lengths[o] = length_of(weight, major, o, out, in);
}

static int init(const llm_piece_t *self, const llm_adapter_t *adapter,
                const llm_piece_start_t *start, float *vector, fmq_error_t *err)
{
    const fmq_tensor_t *tensor = fmq_schema_at(adapter->schema, self->first);
    char name[FMQ_SCHEMA_NAME_MAX];
    if (!start->model)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "DoRA's first values need the model");
    float *weight = malloc((size_t)self->place.count * sizeof *weight);
    double *lengths = malloc((size_t)tensor->count * sizeof *lengths);
    int rc = weight && lengths ? 0 : -1;
    if (rc < 0)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the lengths of a weight's rows");
    llm_parameter_name(&adapter->shape, &self->place, name);
    if (rc == 0 && (rc = llm_model_read(start->model, name, weight, err)) == 0) {
        measure(self, adapter, vector, weight, lengths);
        for (uint64_t o = 0; o < tensor->count; o++)
            vector[tensor->offset + o] = (float)lengths[o];
    }
    free(weight);
    free(lengths);
    return rc;
}

static void bind(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                 float *at)
{
    own_t own = own_of(self, vector->adapter, at);
    llm_piece_linear(self, decoder)->scale_out = (llm_bound_scale_t){
        .at = own.factors, .grad = vector->grads ? own.dfactors : NULL, .minus_one = own.minus_one};
}

/* |W[o]|^2: rows of the frozen weight, a block at a time. */
static void begin(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                  float *at)
{
    own_t own = own_of(self, vector->adapter, at);
    llm_backend_t *be = decoder->be;
    const llm_bound_linear_t *linear = llm_piece_linear(self, decoder);
    llm_backend_fill(be, own.minus_one, linear->out, -1.0f);
    for (size_t first = 0; first < linear->out; first += BLOCK) {
        size_t count = linear->out - first < BLOCK ? linear->out - first : BLOCK;
        int32_t ids[BLOCK];
        for (size_t i = 0; i < count; i++)
            ids[i] = (int32_t)(first + i);
        be->ops->upload(be, own.ids, ids, count * sizeof *ids);
        be->ops->matrix_gather(be, own.rows, linear->frozen, own.ids, count);
        be->ops->row_squares(be, own.squares + first, own.rows, count, linear->in);
    }
}

static void prepare(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                    float *at)
{
    own_t own = own_of(self, vector->adapter, at);
    llm_backend_t *be = decoder->be;
    const llm_bound_linear_t *linear = llm_piece_linear(self, decoder);
    size_t r = own.rank;
    const llm_gemm_t gram = {.transpose_b = true,
                             .M = r,
                             .N = r,
                             .K = linear->in,
                             .alpha = 1,
                             .lda = linear->a_stride,
                             .ldb = linear->a_stride,
                             .ldc = r};
    be->ops->narrow(be, own.rows, linear->a, r * linear->a_stride, false);
    be->ops->linear_forward(be, own.products, linear->out, own.rows, linear->a_stride,
                            linear->frozen, NULL, r);
    be->ops->gemm(be, own.gram, linear->a, linear->a, &gram);
    const llm_lengths_t lengths = {.out = linear->out,
                                   .rank = r,
                                   .squares = own.squares,
                                   .products = own.products,
                                   .gram = own.gram,
                                   .b = linear->b,
                                   .magnitude =
                                       vector->at + llm_piece_offset(self, vector->adapter, 0),
                                   .scaling = linear->scaling};
    be->ops->lora_lengths(be, own.factors, own.inverse, &lengths);
    be->ops->zero(be, own.dfactors, own.out * sizeof *own.dfactors);
}

static void collect(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                    float *at)
{
    own_t own = own_of(self, vector->adapter, at);
    llm_backend_t *be = decoder->be;
    be->ops->add_product(be, vector->grads + llm_piece_offset(self, vector->adapter, 0),
                         own.dfactors, own.inverse, llm_piece_linear(self, decoder)->out);
}

/* Behind the product of low rank, which has been added: rows to their length. */
static void merge(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                  const llm_parameter_t *parameter, float *weight)
{
    size_t out = 0, in = 0;
    bool major = adapter->shape.arch->input_major;
    if (!llm_parameter_same(parameter, &self->place))
        return;
    llm_piece_extents(self, &adapter->shape, &out, &in);
    const float *magnitude = vector + llm_piece_offset(self, adapter, 0);
    for (size_t o = 0; o < out; o++) {
        double length = length_of(weight, major, o, out, in);
        double factor = length > 0 ? (double)magnitude[o] / length : 0.0;
        for (size_t i = 0; i < in; i++) {
            float *w = &weight[major ? i * out + o : o * in + i];
            *w = (float)((double)*w * factor);
        }
    }
}

const llm_piece_ops_t llm_piece_magnitude = {
    .name = "magnitude",
    .lay_out = lay_out,
    .init = init,
    .bind = bind,
    .merge = merge,
    .own = own_floats,
    .begin = begin,
    .prepare = prepare,
    .collect = collect,
};
