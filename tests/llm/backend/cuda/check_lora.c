/*
 * check_lora.c - the thin products of low-rank adapters, with and without
 * dropout, for several modules on one input, on odd shapes.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fedmq/base/rng.h"

#define MODULES_MAX 3
#define THIN(check) ((check)->queue.bf16 ? 1e-5 : 1e-10)

typedef struct {
    size_t M, in, out, rank, modules;
    float p;
} example_t;

/* A module's arrays, and what the reference is told of it. */
typedef struct {
    array_t *a, *b, *h, *mask;
    llm_lora_t lora;
    llm_cuda_lora_t device;
    llm_cuda_lora_rows_t rows;
    fmq_rng_name_t stream;
    uint8_t *bits;
} module_t;

static void module_init(check_t *c, module_t *m, const example_t *e, size_t index)
{
    const size_t a_stride = e->in + index, rank = e->rank + index;
    m->a = reads(c, F32, rank * a_stride, 10 + index);
    m->b = reads(c, F32, e->out * rank, 20 + index);
    m->h = writes(c, F32, e->M * rank);
    m->stream =
        (fmq_rng_name_t){.seed = 7 + index, .purpose = FMQ_RNG_DROPOUT, .client = 3, .round = 5};
    m->lora = (llm_lora_t){.M = e->M,
                           .in = e->in,
                           .out = e->out,
                           .rank = rank,
                           .a = m->a->floats,
                           .a_stride = a_stride,
                           .b = m->b->floats,
                           .scaling = 0.5f,
                           .p = e->p,
                           .stream = &m->stream};
    m->device = (llm_cuda_lora_t){.M = e->M,
                                  .in = e->in,
                                  .out = e->out,
                                  .rank = rank,
                                  .a = m->a->device,
                                  .a_stride = a_stride,
                                  .b = m->b->device,
                                  .scaling = 0.5f,
                                  .keep = 1.0f / (1.0f - e->p)};
    m->bits = dropout_bits(e->M, e->in, e->p, 7 + index);
    m->mask = reads_values(c, BYTES, e->M * ((e->in + 7) / 8), m->bits);
    m->rows = (llm_cuda_lora_rows_t){m->h->device, e->p > 0 ? m->mask->device : NULL};
}

static void modules_down(check_t *c, const example_t *e)
{
    module_t modules[MODULES_MAX];
    llm_cuda_lora_t loras[MODULES_MAX];
    llm_cuda_lora_rows_t rows[MODULES_MAX];
    array_t *x = reads(c, ACT, e->M * e->in, 1);
    for (size_t i = 0; i < e->modules; i++) {
        module_init(c, &modules[i], e, i);
        loras[i] = modules[i].device;
        rows[i] = modules[i].rows;
    }
    for (runs(c); next_run(c);)
        llm_cuda_lora_down(&c->queue, x->device, loras, rows, e->modules);
    for (size_t i = 0; i < e->modules; i++) {
        module_t *m = &modules[i];
        void *want = room(e->M * m->lora.rank);
        uint8_t *drawn = calloc(e->M * ((e->in + 7) / 8), 1);
        c->reference->ops->lora_down(c->reference, want, e->p > 0 ? drawn : NULL, x->floats,
                                     &m->lora);
        if (e->p > 0 && memcmp(drawn, m->bits, e->M * ((e->in + 7) / 8)))
            mistake(c, "the reference draws another mask");
        expect(c, m->h, want, THIN(c), "module %zu down %zux%zu, rank %zu", i, e->M, e->in,
               m->lora.rank);
        free(drawn);
        free(m->bits);
    }
    check_clear(c);
}

static void up_and_back(check_t *c, const example_t *e)
{
    const llm_ops_t *ops = c->reference->ops;
    const size_t stride = e->out + (e->out % 8 ? 3 : 8);
    module_t m;
    module_init(c, &m, e, 0);
    array_t *x = reads(c, ACT, e->M * e->in, 1), *y = changes(c, ACT, e->M * stride, 2);
    array_t *h = reads(c, F32, e->M * e->rank, 3), *dy = reads(c, ACT, e->M * stride, 4);
    array_t *dh = writes(c, F32, e->M * e->rank), *da = changes(c, F32, e->rank * e->in, 5);
    array_t *db = changes(c, F32, e->out * e->rank, 6), *dx = changes(c, ACT, e->M * e->in, 7);
    array_t *only_dh = writes(c, F32, e->M * e->rank);
    array_t *scratch = writes(c, F32, llm_cuda_lora_scratch(&m.device));
    llm_cuda_lora_rows_t rows = {h->device, m.rows.mask};
    for (runs(c); next_run(c);) {
        llm_cuda_lora_up(&c->queue, y->device, stride, h->device, &m.device);
        llm_cuda_lora_gradients(&c->queue, dh->device, da->device, db->device, dy->device, stride,
                                x->device, &rows, &m.device, scratch->device);
        llm_cuda_lora_gradients(&c->queue, only_dh->device, NULL, NULL, dy->device, stride, NULL,
                                &rows, &m.device, scratch->device);
        llm_cuda_lora_input_gradient(&c->queue, dx->device, dh->device, rows.mask, &m.device);
    }
    const uint8_t *mask = e->p > 0 ? m.bits : NULL;
    void *sum = copy_of(y), *hidden = room(e->M * e->rank), *a = copy_of(da), *b = copy_of(db);
    void *input = copy_of(dx), *again = room(e->M * e->rank);
    ops->lora_up(c->reference, sum, stride, h->floats, &m.lora);
    ops->lora_gradients(c->reference, hidden, a, b, dy->floats, stride, x->floats, h->floats, mask,
                        &m.lora);
    ops->lora_input_gradient(c->reference, input, hidden, mask, &m.lora);
    memcpy(again, hidden, e->M * e->rank * sizeof(float));
    expect(c, y, sum, CLOSE(c), "up %zux%zu, rank %zu", e->M, e->out, e->rank);
    expect(c, dh, hidden, THIN(c), "hidden gradient %zux%zu, rank %zu", e->M, e->out, e->rank);
    expect(c, only_dh, again, THIN(c), "hidden gradient alone, rank %zu", e->rank);
    expect(c, da, a, THIN(c), "gradient of A %zux%zu, rank %zu", e->M, e->in, e->rank);
    expect(c, db, b, THIN(c), "gradient of B %zux%zu, rank %zu", e->M, e->out, e->rank);
    /* On a hidden gradient that has its own error; both factors and the sum are rounded. */
    expect(c, dx, input, 3 * CLOSE(c), "input gradient %zux%zu, rank %zu", e->M, e->in, e->rank);
    free(m.bits);
    check_clear(c);
}

void check_lora(check_t *c)
{
    static const example_t examples[] = {
        {1, 8, 8, 1, 1, 0},        {7, 13, 10, 3, 2, 0.3f},     {33, 64, 40, 8, 3, 0},
        {40, 72, 64, 8, 3, 0.1f},  {65, 264, 136, 16, 1, 0.5f}, {19, 100, 96, 20, 2, 0.2f},
        {300, 40, 24, 4, 1, 0.1f}, {17, 520, 32, 36, 1, 0},
    };
    for (c->shift = 0; c->shift < 2; c->shift++)
        for (size_t i = 0; i < FEW(c, examples); i++) {
            modules_down(c, &examples[i]);
            up_and_back(c, &examples[i]);
        }
    c->shift = 0;
}
