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

static void weight_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                           llm_act_t *y, size_t y_stride, const llm_act_t *x, const float *bias)
{
    llm_backend_t *be = run->be;
    llm_dense_t dense = dense_of(self);
    if (self->frozen)
        be->ops->linear_forward(be, y, y_stride, x, self->in, self->frozen, bias, run->rows);
    else
        be->ops->dense_forward(be, y, y_stride, x, self->in, &dense, bias, run->rows);
}

static void low_rank_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                             llm_act_t *y, size_t y_stride, const llm_act_t *x,
                             const llm_hidden_t *hidden)
{
    llm_backend_t *be = run->be;
    if (!self->rank)
        return;
    fmq_rng_name_t stream = module_stream(run, self);
    llm_lora_t lora = lora_of(run, self, &stream);
    be->ops->lora_down(be, hidden->h, hidden->mask, x, &lora);
    be->ops->lora_up(be, y, y_stride, hidden->h, &lora);
}

/* Is LoRA's input dropped in this pass? */
static bool drops(const llm_linear_run_t *run, const llm_bound_linear_t *self)
{
    return self->rank && run->dropout && self->dropout > 0.0f;
}

/* to += factors x. */
static void add_scaled(const llm_linear_run_t *run, llm_act_t *to, size_t to_stride,
                       const llm_act_t *x, size_t x_stride, const float *factors, size_t width)
{
    run->be->ops->scale_columns_backward(run->be, to, to_stride, NULL, x, x_stride, NULL, 0,
                                         factors, run->rows, width, true);
}

/* Where LoRA's input is dropped, PEFT brings to length what the dropped one
 * gives, and leaves the rest of x alone:
 *     y = x W^T + bias - xd W^T + g z,   z = xd W^T + s h B^T,   xd = drop(x). */
static void dropped_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                            llm_act_t *y, size_t y_stride, const llm_act_t *x,
                            const llm_hidden_t *hidden)
{
    llm_backend_t *be = run->be;
    const llm_bound_scale_t *scale = &self->scale_out;
    fmq_rng_name_t stream = module_stream(run, self);
    llm_lora_t lora = lora_of(run, self, &stream);
    weight_forward(run, self, y, y_stride, x, self->bias);
    be->ops->lora_down(be, hidden->h, hidden->mask, x, &lora);
    be->ops->drop(be, run->scaled_in, hidden->mask, x, &lora, false);
    weight_forward(run, self, hidden->z, self->out, run->scaled_in, NULL);
    add_scaled(run, y, y_stride, hidden->z, self->out, scale->minus_one, self->out);
    be->ops->lora_up(be, hidden->z, self->out, hidden->h, &lora);
    add_scaled(run, y, y_stride, hidden->z, self->out, scale->at, self->out);
}

/* y = g z + bias, or g z with the bias in z. */
static void scaled_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                           llm_act_t *y, size_t y_stride, const llm_act_t *x,
                           const llm_hidden_t *hidden)
{
    const llm_bound_scale_t *scale = &self->scale_out;
    if (drops(run, self)) {
        dropped_forward(run, self, y, y_stride, x, hidden);
        return;
    }
    weight_forward(run, self, hidden->z, self->out, x, scale->minus_one ? NULL : self->bias);
    low_rank_forward(run, self, hidden->z, self->out, x, hidden);
    run->be->ops->scale_columns(run->be, y, y_stride, hidden->z, self->out, scale->at,
                                scale->minus_one ? self->bias : NULL, run->rows, self->out);
}

void llm_linear_forward(const llm_linear_run_t *run, const llm_bound_linear_t *self, llm_act_t *y,
                        size_t y_stride, const llm_act_t *x, const llm_hidden_t *hidden)
{
    if (self->scale_in.at) {
        run->be->ops->scale_columns(run->be, run->scaled_in, self->in, x, self->in,
                                    self->scale_in.at, NULL, run->rows, self->in);
        x = run->scaled_in;
    }
    if (self->scale_out.at) {
        scaled_forward(run, self, y, y_stride, x, hidden);
        return;
    }
    weight_forward(run, self, y, y_stride, x, self->bias);
    low_rank_forward(run, self, y, y_stride, x, hidden);
}

/* The gradient of a module's outputs: before they are scaled, and behind that. */
typedef struct {
    const llm_act_t *dz, *dy;
    size_t dz_stride, dy_stride;
} outputs_t;

static void weight_gradients(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                             const outputs_t *d, const llm_act_t *x)
{
    llm_backend_t *be = run->be;
    llm_dense_t dense = dense_of(self);
    bool behind = self->scale_out.minus_one != NULL;
    if (self->dweight)
        be->ops->dense_gradients(be, self->dweight, d->dz, d->dz_stride, x, self->in, &dense,
                                 run->rows);
    if (self->dbias)
        be->ops->bias_backward(be, self->dbias, behind ? d->dy : d->dz,
                               behind ? d->dy_stride : d->dz_stride, run->rows, self->out);
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

/* dg += sum of dy z, and dz = g dy in scratch. */
static outputs_t outputs_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                                  const llm_act_t *dy, size_t dy_stride, const llm_hidden_t *hidden)
{
    outputs_t d = {.dz = dy, .dy = dy, .dz_stride = dy_stride, .dy_stride = dy_stride};
    const llm_bound_scale_t *scale = &self->scale_out;
    if (!scale->at)
        return d;
    run->be->ops->scale_columns_backward(run->be, run->scaled_out, self->out, scale->grad, dy,
                                         dy_stride, scale->grad ? hidden->z : NULL, self->out,
                                         scale->at, run->rows, self->out, false);
    d.dz = run->scaled_out;
    d.dz_stride = self->out;
    return d;
}

/* dx = dy W + drop'((dz - dy) W), for dropped_forward(). */
static void dropped_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                             llm_act_t *dx, bool add, const outputs_t *d, const uint8_t *mask,
                             const llm_lora_t *lora)
{
    weight_input_gradient(run, self, dx, add, d->dy, d->dy_stride);
    add_scaled(run, run->scaled_out, self->out, d->dy, d->dy_stride, self->scale_out.minus_one,
               self->out);
    weight_input_gradient(run, self, run->scaled_in, false, run->scaled_out, self->out);
    run->be->ops->drop(run->be, dx, mask, run->scaled_in, lora, true);
}

/* dx of a module whose inputs are scaled: ds += sum of dxs x, dx (+)= s dxs. */
static void inputs_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self,
                            llm_act_t *dx, bool add, const outputs_t *d, const llm_act_t *x)
{
    const llm_bound_scale_t *scale = &self->scale_in;
    if (!dx && !scale->grad)
        return;
    weight_input_gradient(run, self, run->scaled_in, false, d->dz, d->dz_stride);
    run->be->ops->scale_columns_backward(run->be, dx, self->in, scale->grad, run->scaled_in,
                                         self->in, scale->grad ? x : NULL, self->in, scale->at,
                                         run->rows, self->in, add);
}

void llm_linear_backward(const llm_linear_run_t *run, const llm_bound_linear_t *self, llm_act_t *dx,
                         bool add, const llm_act_t *dy, size_t dy_stride, const llm_act_t *x,
                         const llm_hidden_t *hidden)
{
    llm_backend_t *be = run->be;
    llm_lora_t lora = lora_of(run, self, NULL);
    const uint8_t *mask = lora.p > 0.0f ? hidden->mask : NULL;
    outputs_t d = outputs_backward(run, self, dy, dy_stride, hidden);
    weight_gradients(run, self, &d, x);
    if (self->rank && (self->da || dx))
        be->ops->lora_gradients(be, run->dh, self->da, self->db, d.dz, d.dz_stride, x, hidden->h,
                                mask, &lora);
    if (self->scale_in.at) {
        inputs_backward(run, self, dx, add, &d, x);
        return;
    }
    if (!dx)
        return;
    if (self->scale_out.at && mask)
        dropped_backward(run, self, dx, add, &d, mask, &lora);
    else
        weight_input_gradient(run, self, dx, add, d.dz, d.dz_stride);
    if (self->rank)
        be->ops->lora_input_gradient(be, dx, run->dh, mask, &lora);
}
