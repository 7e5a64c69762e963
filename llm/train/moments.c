/*
 * moments.c - arrays of an optimizer's state, by its kind.
 */
#include "llm/train/moments.h"

#include <stdlib.h>

#include "llm/backend/fill.h"

/* Does the state belong to tensors, rather than to elements? */
static bool has_pieces(const llm_optimizer_t *how)
{
    return how->kind == LLM_ADAFACTOR || how->kind == LLM_ADAFACTOR_HF ||
           how->kind == LLM_ADAMW_8BIT;
}

static bool is_narrow(const llm_optimizer_t *how, const fmq_tensor_t *tensor)
{
    return how->kind == LLM_ADAMW_8BIT && tensor->count >= how->min_8bit_size;
}

static size_t cut(const llm_optimizer_t *how, const fmq_schema_t *schema, size_t bound)
{
    for (size_t t = 0; t < fmq_schema_size(schema); t++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, t);
        size_t first = (size_t)tensor->offset, end = first + (size_t)tensor->count;
        if (bound <= first || bound >= end)
            continue;
        if (how->kind != LLM_ADAMW_8BIT)
            return first;
        return is_narrow(how, tensor) ? bound - (bound - first) % LLM_CODED_BLOCK : bound;
    }
    return bound;
}

void llm_moments_cut(const llm_optimizer_t *how, const fmq_schema_t *schema, size_t *bounds,
                     unsigned ranks)
{
    for (unsigned r = 1; schema && has_pieces(how) && r < ranks; r++)
        bounds[r] = cut(how, schema, bounds[r]);
}

/* What a piece has beside arrays of the range's length: floats, or blocks. */
static size_t own_size(const llm_optimizer_t *how, const llm_moments_piece_t *piece)
{
    if (how->kind == LLM_ADAMW_8BIT)
        return piece->narrow ? (piece->count + LLM_CODED_BLOCK - 1) / LLM_CODED_BLOCK
                             : piece->count;
    return piece->columns ? piece->rows + piece->columns : piece->rows;
}

/* The part of a tensor that lies in the range; count 0: none. */
static llm_moments_piece_t piece_of(const llm_optimizer_t *how, const fmq_tensor_t *tensor,
                                    const size_t range[2])
{
    size_t first = (size_t)tensor->offset, end = first + (size_t)tensor->count;
    first = first > range[0] ? first : range[0];
    end = end < range[1] ? end : range[1];
    llm_moments_piece_t piece = {.narrow = is_narrow(how, tensor)};
    if (first >= end)
        return piece;
    bool matrix = tensor->rank == 2 && how->kind != LLM_ADAMW_8BIT;
    piece.at = first - range[0];
    piece.count = end - first;
    piece.rows = matrix ? (size_t)tensor->shape[0] : piece.count;
    piece.columns = matrix ? (size_t)tensor->shape[1] : 0;
    return piece;
}

/* sizes: floats or blocks of the narrow pieces, and of the others. */
static int find_pieces(llm_moments_t *self, const llm_optimizer_t *how, const fmq_schema_t *schema,
                       const size_t range[2], size_t sizes[2])
{
    self->pieces = calloc(fmq_schema_size(schema) + 1, sizeof *self->pieces);
    if (!self->pieces)
        return -1;
    for (size_t t = 0; t < fmq_schema_size(schema); t++) {
        llm_moments_piece_t piece = piece_of(how, fmq_schema_at(schema, t), range);
        if (piece.count == 0)
            continue;
        piece.offset = sizes[!piece.narrow];
        sizes[!piece.narrow] += own_size(how, &piece);
        self->longest = piece.count > self->longest ? piece.count : self->longest;
        self->pieces[self->pieces_size++] = piece;
    }
    return 0;
}

/* Bytes of every array. */
static void measure(const llm_optimizer_t *how, size_t n, const size_t sizes[2],
                    size_t bytes[LLM_MOMENTS_ARRAYS])
{
    size_t vector = n * sizeof(float);
    switch (how->kind) {
    case LLM_SGD:
        bytes[0] = how->momentum > 0 ? vector : 0;
        return;
    case LLM_ADAM:
    case LLM_ADAMW:
        bytes[0] = bytes[1] = vector;
        bytes[2] = how->amsgrad ? vector : 0;
        return;
    case LLM_ADAGRAD:
        bytes[0] = vector;
        return;
    case LLM_RMSPROP:
        bytes[0] = vector;
        bytes[1] = how->centered ? vector : 0;
        bytes[2] = how->momentum > 0 ? vector : 0;
        return;
    case LLM_ADAFACTOR:
    case LLM_ADAFACTOR_HF:
        bytes[0] = sizes[1] * sizeof(float);
        bytes[1] = how->kind == LLM_ADAFACTOR_HF && how->beta1 > 0 ? vector : 0;
        return;
    case LLM_ADAMW_8BIT:
        bytes[0] = bytes[1] = n;
        bytes[2] = bytes[3] = sizes[0] * sizeof(float);
        bytes[4] = bytes[5] = sizes[1] * sizeof(float);
        return;
    }
}

static int allocate(llm_moments_t *self, const size_t bytes[LLM_MOMENTS_ARRAYS])
{
    for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++) {
        if (bytes[a] == 0)
            continue;
        self->arrays[a].memory = self->be->ops->alloc(self->be, bytes[a]);
        if (!self->arrays[a].memory)
            return -1;
        self->arrays[a].bytes = bytes[a];
        self->be->ops->zero(self->be, self->arrays[a].memory, bytes[a]);
    }
    return 0;
}

int llm_moments_init(llm_moments_t *self, const llm_optimizer_t *how, llm_backend_t *be,
                     const fmq_schema_t *schema, const size_t range[2], fmq_error_t *err)
{
    size_t n = range[1] - range[0], sizes[2] = {0}, bytes[LLM_MOMENTS_ARRAYS] = {0};
    *self = (llm_moments_t){.be = be};
    if (has_pieces(how) && !schema)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "this optimizer has to know the tensors");
    if (n > SIZE_MAX / sizeof(float) ||
        (has_pieces(how) && find_pieces(self, how, schema, range, sizes) < 0))
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "cannot hold an optimizer for %zu parameters: out of memory", n);
    measure(how, n, sizes, bytes);
    if (allocate(self, bytes) < 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "cannot hold an optimizer for %zu parameters: out of memory", n);
    if (how->kind == LLM_ADAGRAD && how->initial_accumulator > 0)
        llm_backend_fill(be, self->arrays[0].memory, n, (float)how->initial_accumulator);
    return 0;
}

void llm_moments_release(llm_moments_t *self)
{
    for (size_t a = 0; a < LLM_MOMENTS_ARRAYS; a++)
        if (self->arrays[a].memory)
            self->be->ops->release(self->be, self->arrays[a].memory);
    free(self->pieces);
    *self = (llm_moments_t){0};
}
