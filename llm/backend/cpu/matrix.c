/*
 * matrix.c - frozen weights, packed once in the panels of panels.c: as floats
 * here, in narrow forms by pairs.c and codes.c.
 */
#include "llm/backend/cpu/cpu.h"

#include <stdlib.h>

#include "llm/backend/half.h"

#define CHUNK 64 /* elements widened at a time */

typedef struct {
    llm_matrix_t *matrix;
    const void *data;
    fmq_dtype_t dtype;
    bool input_major;
    const llm_cpu_kernels_t *kernels;
} packing_t;

/* A piece of columns x rows (columns are outputs) of the panel, from 16-bit
 * floats widened on the way. */
static void pack_widened(const packing_t *p, float *to, size_t o, size_t columns, size_t i,
                         size_t rows)
{
    const llm_matrix_t *w = p->matrix;
    float wide[LLM_CPU_WIDTH_MAX * CHUNK];
    if (p->input_major) {
        for (size_t r = 0; r < rows; r++)
            llm_floats_at(wide + r * columns, p->data, p->dtype, (i + r) * w->out + o, columns);
        p->kernels->pack_copy(to, wide, columns, rows, columns);
    } else {
        for (size_t c = 0; c < columns; c++)
            llm_floats_at(wide + c * rows, p->data, p->dtype, (o + c) * w->in + i, rows);
        p->kernels->pack_transposed(to, wide, rows, rows, columns);
    }
}

static void pack_panel(void *job, size_t item, size_t thread)
{
    (void)thread;
    const packing_t *p = job;
    const llm_matrix_t *w = p->matrix;
    size_t o = item * w->width;
    size_t columns = llm_cpu_min(w->width, w->out - o);
    float *panel = w->panels + item * w->panel;
    for (size_t i = 0; i < w->in; i += CHUNK) {
        size_t rows = llm_cpu_min(CHUNK, w->in - i);
        const float *data = p->data;
        float *to = panel + i * w->width;
        if (p->dtype != FMQ_F32)
            pack_widened(p, to, o, columns, i, rows);
        else if (p->input_major)
            p->kernels->pack_copy(to, data + i * w->out + o, w->out, rows, columns);
        else
            p->kernels->pack_transposed(to, data + o * w->in + i, w->in, rows, columns);
    }
    for (size_t i = w->in * w->width; i < w->panel; i++)
        panel[i] = 0;
}

static void matrix_destroy(llm_backend_t *be, llm_matrix_t **matrix_p)
{
    (void)be;
    if (!matrix_p || !*matrix_p)
        return;
    free((*matrix_p)->panels);
    free((*matrix_p)->words);
    free((*matrix_p)->scales);
    free(*matrix_p);
    *matrix_p = NULL;
}

static llm_matrix_t *matrix_new(llm_backend_t *be, const void *data, fmq_dtype_t dtype, size_t out,
                                size_t in, bool input_major)
{
    llm_cpu_t *cpu = llm_cpu(be);
    llm_matrix_t *self = llm_cpu_matrix_allocate(cpu, LLM_FORM_F32, out, in);
    if (!self)
        return NULL;
    packing_t packing = {self, data, dtype, input_major, cpu->kernels};
    llm_pool_run(cpu->pool, llm_cpu_pieces(out, self->width), pack_panel, &packing);
    return self;
}

static llm_matrix_t *matrix_new_form(llm_backend_t *be, const void *data, fmq_dtype_t dtype,
                                     size_t out, size_t in, bool input_major,
                                     llm_matrix_form_t form)
{
    llm_cpu_t *cpu = llm_cpu(be);
    llm_cpu_stored_t from = {data, dtype, input_major};
    if (form == LLM_FORM_F32)
        return matrix_new(be, data, dtype, out, in, input_major);
    llm_matrix_t *self = llm_cpu_matrix_allocate(cpu, form, out, in);
    if (self && form == LLM_FORM_BF16)
        llm_cpu_pack_pairs(cpu, self, &from);
    else if (self && llm_cpu_pack_codes(cpu, self, &from) < 0)
        matrix_destroy(be, &self);
    return self;
}

static size_t matrix_bytes(const llm_matrix_t *matrix)
{
    return matrix->bytes;
}

typedef struct {
    float *out;
    const llm_matrix_t *w;
    const int32_t *ids;
} gather_t;

static void gather_piece(const llm_cpu_kernels_t *kernels, void *job, size_t first, size_t count)
{
    (void)kernels;
    const gather_t *g = job;
    const llm_matrix_t *w = g->w;
    for (size_t t = first; t < first + count; t++)
        llm_cpu_widen_output(g->out + t * w->in, w, (size_t)g->ids[t]);
}

static void matrix_gather(llm_backend_t *be, llm_act_t *out, const llm_matrix_t *w,
                          const int32_t *ids, size_t T)
{
    gather_t gather = {llm_cpu_floats_out(out), w, ids};
    llm_cpu_run_pieces(llm_cpu(be), T, 16, gather_piece, &gather);
}

void llm_cpu_matrix(llm_ops_t *ops)
{
    ops->matrix_new = matrix_new;
    ops->matrix_new_form = matrix_new_form;
    ops->forms = LLM_FORMS_ALL;
    ops->matrix_destroy = matrix_destroy;
    ops->matrix_bytes = matrix_bytes;
    ops->matrix_gather = matrix_gather;
}
