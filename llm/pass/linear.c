/*
 * linear.c - a linear module, frozen with LoRA on it or lying in a vector.
 *
 * Forward:  y  = x W^T + bias + s h B^T        with h = drop(x) A^T
 * Backward: dB += s dy^T h,  dh = s dy B,  dA += dh^T drop(x),
 *           dx  = dy W + drop'(dh A),  dW += dy^T x,  dbias += sum of dy rows.
 * Without da and db LoRA is fixed: it passes dx on and has no gradient itself.
 * Decides nothing about which modules train: that is in the table it is given.
 */
#include "llm/pass/linear.h"

#define GOLDEN_RATIO_64 UINT64_C(0x9E3779B97F4A7C15)

static llm_dense_t dense_of(const llm_bound_linear_t *self)
{
    return (llm_dense_t){.at = self->weight,
                         .out = self->out,
                         .in = self->in,
                         .stride = self->weight_stride,
                         .input_major = self->input_major};
}

/* Every module draws from a stream of its own: the key moves, the counter stays. */
static fmq_rng_name_t module_stream(const llm_linear_run_t *run, const llm_bound_linear_t *self)
{
    fmq_rng_name_t name = {0};
    if (run->dropout)
        name = *run->dropout;
    name.seed += GOLDEN_RATIO_64 * ((uint64_t)self->stream + 1);
    return name;
}

/* stream is borrowed, and of use where run has dropout. */
static llm_lora_t lora_of(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                          const fmq_rng_name_t *stream)
{
    return (llm_lora_t){.M = run->rows,
                        .first_row = run->first_row,
                        .in = self->in,
                        .out = self->out,
                        .rank = self->rank,
                        .a = self->a,
                        .a_stride = self->a_stride,
                        .b = self->b,
                        .scaling = self->scaling,
                        .p = run->dropout ? self->dropout : 0.0f,
                        .stream = stream};
}

void llm_linear_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self, llm_act_t *y,
                        size_t y_stride, const llm_act_t *x, const llm_hidden_t *hidden)
{
    llm_backend_t *be = run->be;
    llm_dense_t dense = dense_of(self);
    if (self->frozen)
        be->ops->linear_forward(be, y, y_stride, x, self->in, self->frozen, self->bias, run->rows);
    else
        be->ops->dense_forward(be, y, y_stride, x, self->in, &dense, self->bias, run->rows);
    if (!self->rank)
        return;
    fmq_rng_name_t stream = module_stream(run, self);
    llm_lora_t lora = lora_of(run, self, &stream);
    be->ops->lora_down(be, hidden->h, hidden->mask, x, &lora);
    be->ops->lora_up(be, y, y_stride, hidden->h, &lora);
}

static void weight_gradients(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                             const llm_act_t *dy, size_t dy_stride, const llm_act_t *x)
{
    llm_backend_t *be = run->be;
    llm_dense_t dense = dense_of(self);
    if (self->dweight)
        be->ops->dense_gradients(be, self->dweight, dy, dy_stride, x, self->in, &dense, run->rows);
    if (self->dbias)
        be->ops->bias_backward(be, self->dbias, dy, dy_stride, run->rows, self->out);
}

static void weight_input_gradient(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                                  llm_act_t *dx, bool add, const llm_act_t *dy, size_t dy_stride)
{
    llm_backend_t *be = run->be;
    llm_dense_t dense = dense_of(self);
    if (self->frozen)
        be->ops->linear_backward(be, dx, self->in, dy, dy_stride, self->frozen, run->rows, add);
    else
        be->ops->dense_backward(be, dx, self->in, dy, dy_stride, &dense, run->rows, add);
}

void llm_linear_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self, llm_act_t *dx,
                         bool add, const llm_act_t *dy, size_t dy_stride, const llm_act_t *x,
                         const llm_hidden_t *hidden)
{
    llm_backend_t *be = run->be;
    llm_lora_t lora = lora_of(run, self, NULL);
    const uint8_t *mask = lora.p > 0.0f ? hidden->mask : NULL;
    weight_gradients(run, self, dy, dy_stride, x);
    if (self->rank && (self->da || dx))
        be->ops->lora_gradients(be, run->dh, self->da, self->db, dy, dy_stride, x, hidden->h, mask,
                                &lora);
    if (!dx)
        return;
    weight_input_gradient(run, self, dx, add, dy, dy_stride);
    if (self->rank)
        be->ops->lora_input_gradient(be, dx, run->dh, mask, &lora);
}
