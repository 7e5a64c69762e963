/*
 * lora_ops.c - the table's products of low-rank adapters.
 */
#include "llm/backend/cuda/cuda.h"

#include <string.h>

#include "llm/backend/constants.h"

static llm_cuda_lora_t lora_of(const llm_lora_t *how)
{
    return (llm_cuda_lora_t){
        .M = how->M,
        .in = how->in,
        .out = how->out,
        .rank = how->rank,
        .a = how->a,
        .a_stride = how->a_stride,
        .b = how->b,
        .scaling = how->scaling,
        .keep = how->p > 0 ? llm_lora_keep(how) : 1.0f,
    };
}

static void draw(const llm_cuda_t *self, uint8_t *mask, const llm_lora_t *how)
{
    fmq_rng_t start;
    fmq_rng_init(&start, how->stream);
    llm_cuda_dropout_t stream = {.threshold = llm_lora_bound(how->p),
                                 .keep = llm_lora_keep(how),
                                 .first = (uint64_t)how->first_row * how->in};
    memcpy(stream.key, start.key, sizeof stream.key);
    memcpy(stream.counter, start.counter, sizeof stream.counter);
    llm_cuda_dropout_mask(&self->queue, mask, how->M, how->in, &stream);
}

static void lora_down(llm_backend_t *be, float *h, uint8_t *mask, const llm_act_t *x,
                      const llm_lora_t *how)
{
    const llm_cuda_t *self = llm_cuda_enter(be);
    llm_cuda_lora_t lora = lora_of(how);
    llm_cuda_lora_rows_t rows = {.h = h, .mask = how->p > 0 ? mask : NULL};
    if (how->p > 0)
        draw(self, mask, how);
    llm_cuda_lora_down(&self->queue, x, &lora, &rows, 1);
}

static void lora_up(llm_backend_t *be, llm_act_t *y, size_t y_stride, const float *h,
                    const llm_lora_t *how)
{
    llm_cuda_lora_t lora = lora_of(how);
    llm_cuda_lora_up(&llm_cuda_enter(be)->queue, y, y_stride, h, &lora);
}

/* The kernel only reads h and the mask. */
static void lora_gradients(llm_backend_t *be, float *dh, float *da, float *db, const llm_act_t *dy,
                           size_t dy_stride, const llm_act_t *x, const float *h,
                           const uint8_t *mask, const llm_lora_t *how)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    llm_cuda_lora_t lora = lora_of(how);
    llm_cuda_lora_rows_t rows = {.mask = how->p > 0 ? mask : NULL};
    memcpy(&rows.h, &h, sizeof rows.h);
    float *scratch = llm_cuda_sums(self, llm_cuda_lora_scratch(&lora));
    if (scratch)
        llm_cuda_lora_gradients(&self->queue, dh, da, db, dy, dy_stride, x, &rows, &lora, scratch);
}

static void lora_input_gradient(llm_backend_t *be, llm_act_t *dx, const float *dh,
                                const uint8_t *mask, const llm_lora_t *how)
{
    llm_cuda_lora_t lora = lora_of(how);
    llm_cuda_lora_input_gradient(&llm_cuda_enter(be)->queue, dx, dh, how->p > 0 ? mask : NULL,
                                 &lora);
}

void llm_cuda_lora_ops(llm_ops_t *ops)
{
    ops->lora_down = lora_down;
    ops->lora_up = lora_up;
    ops->lora_gradients = lora_gradients;
    ops->lora_input_gradient = lora_input_gradient;
}
