/*
 * merged.c - the regulariser by products of thin factors.
 *
 * Near the start B A - B0 A0 is a small difference of large numbers.  With
 * D = B - B0 and F = A - A0, which floats give exactly there, it is
 *     B A - B0 A0 = D A + B0 F = D A - N F,    N = -B0,
 * a sum of terms as small as itself.  Hence, with k = 2 eps s^2,
 *     value = eps s^2 (<D'D, AA'> - 2 <D'N, (FA')'> + <N'N, FF'>)
 *     dB   += k (D (AA') - N (FA'))
 *     dA   += k ((B'D) A - (B'N) F)
 * where ' transposes: all brackets are rank x rank.
 */
#include "llm/train/merged.h"

#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"

/* The rank x rank products of a module; those before VALUE_GRAMS make the
 * value. */
enum { AA, FA, FF, DD, DN, NN, VALUE_GRAMS, BD = VALUE_GRAMS, BN, GRAMS };

/* Neighbours become one range. */
static void add_plain(llm_merged_t *self, const fmq_tensor_t *tensor)
{
    llm_merged_range_t *last = self->ranges ? &self->plain[self->ranges - 1] : NULL;
    if (last && last->first + last->count == (size_t)tensor->offset)
        last->count += (size_t)tensor->count;
    else
        self->plain[self->ranges++] =
            (llm_merged_range_t){.first = (size_t)tensor->offset, .count = (size_t)tensor->count};
}

/* Products of low rank as such, all else as the elements that it is. */
static int find_modules(llm_merged_t *self, const llm_adapter_t *adapter, fmq_error_t *err)
{
    self->modules = calloc(adapter->size + 1, sizeof *self->modules);
    self->plain = calloc(fmq_schema_size(adapter->schema) + 1, sizeof *self->plain);
    if (!self->modules || !self->plain)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of %zu modules",
                             adapter->size);
    for (size_t i = 0; i < adapter->size; i++) {
        const llm_piece_t *piece = &adapter->pieces[i];
        if (piece->ops == &llm_piece_low_rank) {
            const fmq_tensor_t *a = fmq_schema_at(adapter->schema, piece->first);
            const fmq_tensor_t *b = fmq_schema_at(adapter->schema, piece->first + 1);
            self->modules[self->size++] = (llm_merged_module_t){.out = (size_t)b->shape[0],
                                                                .in = (size_t)a->shape[1],
                                                                .rank = piece->rank,
                                                                .scaling = (double)piece->scaling,
                                                                .a = (size_t)a->offset,
                                                                .b = (size_t)b->offset};
            self->rank = piece->rank > self->rank ? piece->rank : self->rank;
            continue;
        }
        for (size_t t = 0; t < piece->tensors; t++)
            add_plain(self, fmq_schema_at(adapter->schema, piece->first + t));
    }
    return 0;
}

/* rank is at most LLM_LORA_RANK_MAX: no overflow. */
static int reserve(llm_merged_t *self, fmq_error_t *err)
{
    size_t bytes = self->n * sizeof(float), grams = self->rank * self->rank * sizeof(float);
    self->minus_start = self->be->ops->alloc(self->be, bytes);
    self->away = self->be->ops->alloc(self->be, bytes);
    if (grams) {
        self->grams = self->be->ops->alloc(self->be, GRAMS * grams);
        self->host = malloc(VALUE_GRAMS * grams);
    }
    if (self->minus_start && self->away && (!grams || (self->grams && self->host)))
        return 0;
    return fmq_error_set(err, FMQ_ERR_NOMEM,
                         "cannot remember %zu parameters for the regulariser: out of memory",
                         self->n);
}

int llm_merged_init(llm_merged_t *self, const llm_adapter_t *adapter, llm_backend_t *be,
                    const float *params, fmq_error_t *err)
{
    *self = (llm_merged_t){.be = be, .n = (size_t)fmq_schema_elements(adapter->schema)};
    if (find_modules(self, adapter, err) < 0 || reserve(self, err) < 0)
        return -1;
    be->ops->copy(be, self->minus_start, params, self->n * sizeof *params);
    be->ops->scale(be, self->minus_start, -1, self->n);
    return 0;
}

void llm_merged_release(llm_merged_t *self)
{
    float *memory[] = {self->minus_start, self->away, self->grams};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        if (memory[i])
            self->be->ops->release(self->be, memory[i]);
    }
    free(self->modules);
    free(self->plain);
    free(self->host);
    *self = (llm_merged_t){0};
}

/* x y' of [rank][width] each. */
static void gram_of_rows(llm_merged_t *self, int which, const float *x, const float *y,
                         const llm_merged_module_t *module)
{
    size_t r = module->rank, width = module->in;
    llm_gemm_t shape = {.transpose_b = true,
                        .M = r,
                        .N = r,
                        .K = width,
                        .alpha = 1,
                        .lda = width,
                        .ldb = width,
                        .ldc = r};
    self->be->ops->gemm(self->be, self->grams + (size_t)which * r * r, x, y, &shape);
}

/* x' y of [height][rank] each. */
static void gram_of_columns(llm_merged_t *self, int which, const float *x, const float *y,
                            const llm_merged_module_t *module)
{
    size_t r = module->rank, height = module->out;
    llm_gemm_t shape = {
        .transpose_a = true, .M = r, .N = r, .K = height, .alpha = 1, .lda = r, .ldb = r, .ldc = r};
    self->be->ops->gemm(self->be, self->grams + (size_t)which * r * r, x, y, &shape);
}

/* Where the gradient of a module goes, and what it is multiplied by. */
typedef struct {
    const llm_merged_module_t *module;
    float *grads; /* of the whole vector, or NULL */
    double k;
} pull_t;

/* db[out][rank] += sign k x[out][rank] gram. */
static void add_to_b(llm_merged_t *self, const pull_t *pull, const float *x, int which, double sign)
{
    size_t r = pull->module->rank;
    llm_gemm_t shape = {.M = pull->module->out,
                        .N = r,
                        .K = r,
                        .alpha = (float)(sign * pull->k),
                        .beta = 1,
                        .lda = r,
                        .ldb = r,
                        .ldc = r};
    self->be->ops->gemm(self->be, pull->grads + pull->module->b, x,
                        self->grams + (size_t)which * r * r, &shape);
}

/* da[rank][in] += sign k gram x[rank][in]. */
static void add_to_a(llm_merged_t *self, const pull_t *pull, int which, const float *x, double sign)
{
    size_t r = pull->module->rank, in = pull->module->in;
    llm_gemm_t shape = {.M = r,
                        .N = in,
                        .K = r,
                        .alpha = (float)(sign * pull->k),
                        .beta = 1,
                        .lda = r,
                        .ldb = in,
                        .ldc = in};
    self->be->ops->gemm(self->be, pull->grads + pull->module->a,
                        self->grams + (size_t)which * r * r, x, &shape);
}

/* <x, y>, or <x, y'>. */
static double inner(const llm_merged_t *self, size_t r, int x, int y, bool transposed)
{
    const float *p = self->host + (size_t)x * r * r, *q = self->host + (size_t)y * r * r;
    double sum = 0;
    for (size_t i = 0; i < r; i++) {
        for (size_t j = 0; j < r; j++)
            sum += (double)p[i * r + j] * (double)(transposed ? q[j * r + i] : q[i * r + j]);
    }
    return sum;
}

/* ||D A - N F||^2 of one module; half of its gradient times k is added. */
static double add_module(llm_merged_t *self, const pull_t *pull, const float *params)
{
    const llm_merged_module_t *m = pull->module;
    const float *a = params + m->a, *b = params + m->b;
    const float *f = self->away + m->a, *d = self->away + m->b, *n = self->minus_start + m->b;
    gram_of_rows(self, AA, a, a, m);
    gram_of_rows(self, FA, f, a, m);
    gram_of_rows(self, FF, f, f, m);
    gram_of_columns(self, DD, d, d, m);
    gram_of_columns(self, DN, d, n, m);
    gram_of_columns(self, NN, n, n, m);
    if (pull->grads) {
        gram_of_columns(self, BD, b, d, m);
        gram_of_columns(self, BN, b, n, m);
        add_to_b(self, pull, d, AA, 1);
        add_to_b(self, pull, n, FA, -1);
        add_to_a(self, pull, BD, a, 1);
        add_to_a(self, pull, BN, f, -1);
    }
    self->be->ops->download(self->be, self->host, self->grams,
                            VALUE_GRAMS * m->rank * m->rank * sizeof *self->host);
    double square = inner(self, m->rank, DD, AA, false) - 2 * inner(self, m->rank, DN, FA, true) +
                    inner(self, m->rank, NN, FF, false);
    return square < 0 ? 0 : square; /* where the terms cancel, rounding remains */
}

/* eps ||x - x_start||^2 of elements as they are; away becomes its gradient. */
static double add_range(llm_merged_t *self, double eps, const llm_merged_range_t *range,
                        float *grads)
{
    const llm_ops_t *ops = self->be->ops;
    float *away = self->away + range->first;
    double value = eps * ops->sum_squares(self->be, away, range->count);
    ops->scale(self->be, away, (float)(2 * eps), range->count);
    if (grads)
        ops->add(self->be, grads + range->first, away, range->count);
    return value;
}

double llm_merged_add(llm_merged_t *self, double eps, const float *params, float *grads)
{
    const llm_ops_t *ops = self->be->ops;
    ops->copy(self->be, self->away, params, self->n * sizeof *params);
    ops->add(self->be, self->away, self->minus_start, self->n);
    double sum = 0;
    for (size_t i = 0; i < self->size; i++) {
        double factor = eps * self->modules[i].scaling * self->modules[i].scaling;
        pull_t pull = {&self->modules[i], grads, 2 * factor};
        sum += factor * add_module(self, &pull, params);
    }
    for (size_t i = 0; i < self->ranges; i++)
        sum += add_range(self, eps, &self->plain[i], grads);
    return sum;
}
