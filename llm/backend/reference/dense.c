/*
 * dense.c - products with weights that lie in vectors: dense ones, and LoRA's
 * two thin factors with dropout on the way into them.
 */
#include "llm/backend/reference/reference.h"

static size_t weight_at(const llm_dense_t *w, size_t o, size_t i)
{
    return w->input_major ? i * w->stride + o : o * w->stride + i;
}

/* y = x W^T + bias. */
static void dense_forward(llm_backend_t *be, llm_act_t *y, size_t y_stride, const llm_act_t *x,
                          size_t x_stride, const llm_dense_t *w, const float *bias, size_t M)
{
    double start = llm_instance_now();
    for (size_t m = 0; m < M; m++)
        for (size_t o = 0; o < w->out; o++) {
            double sum = bias ? (double)bias[o] : 0.0;
            for (size_t i = 0; i < w->in; i++)
                sum +=
                    llm_reference_get(be, x, m * x_stride + i) * (double)w->at[weight_at(w, o, i)];
            llm_reference_put(be, y, m * y_stride + o, sum);
        }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

/* dL/dx[m][i] = sum_o dy[m][o] W[o][i]. */
static void dense_backward(llm_backend_t *be, llm_act_t *dx, size_t dx_stride, const llm_act_t *dy,
                           size_t dy_stride, const llm_dense_t *w, size_t M, bool add)
{
    double start = llm_instance_now();
    for (size_t m = 0; m < M; m++)
        for (size_t i = 0; i < w->in; i++) {
            double sum = add ? llm_reference_get(be, dx, m * dx_stride + i) : 0.0;
            for (size_t o = 0; o < w->out; o++)
                sum += llm_reference_get(be, dy, m * dy_stride + o) *
                       (double)w->at[weight_at(w, o, i)];
            llm_reference_put(be, dx, m * dx_stride + i, sum);
        }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

/* dL/dW[o][i] = sum_m dy[m][o] x[m][i]. */
static void dense_gradients(llm_backend_t *be, float *dweight, const llm_act_t *dy,
                            size_t dy_stride, const llm_act_t *x, size_t x_stride,
                            const llm_dense_t *w, size_t M)
{
    double start = llm_instance_now();
    for (size_t o = 0; o < w->out; o++)
        for (size_t i = 0; i < w->in; i++) {
            float *to = dweight + weight_at(w, o, i);
            double sum = (double)*to;
            for (size_t m = 0; m < M; m++)
                sum += llm_reference_get(be, dy, m * dy_stride + o) *
                       llm_reference_get(be, x, m * x_stride + i);
            *to = (float)sum;
        }
    llm_instance(be)->gemm_seconds += llm_instance_now() - start;
}

/* drop(): 1 / (1 - p) where element (m, i) is kept, else 0. */
static double drop_factor(const llm_lora_t *how, const uint8_t *mask, size_t m, size_t i)
{
    if (how->p <= 0.0f)
        return 1.0;
    const uint8_t *row = mask + m * llm_lora_mask_bytes(1, how->in);
    bool kept = row[i / 8] >> i % 8 & 1;
    return kept ? 1.0 / (1.0 - (double)how->p) : 0.0;
}

/* Word i % 4 of block i / 4 of the stream decides over element i. */
static void draw_mask(uint8_t *mask, const llm_lora_t *how)
{
    uint64_t threshold = (uint64_t)((double)how->p * 4294967296.0);
    size_t stride = llm_lora_mask_bytes(1, how->in);
    fmq_rng_t rng;
    uint64_t before = (uint64_t)how->first_row * how->in;
    fmq_rng_init(&rng, how->stream);
    rng.counter[0] += (uint32_t)(before / 4);
    for (uint64_t i = 0; i < before % 4; i++)
        (void)fmq_rng_u32(&rng);
    memset(mask, 0, how->M * stride);
    for (size_t m = 0; m < how->M; m++)
        for (size_t i = 0; i < how->in; i++)
            if ((uint64_t)fmq_rng_u32(&rng) >= threshold)
                mask[m * stride + i / 8] |= (uint8_t)(1u << i % 8);
}

static double dropped(const llm_backend_t *be, const llm_act_t *x, const uint8_t *mask,
                      const llm_lora_t *how, size_t m, size_t i)
{
    return llm_reference_get(be, x, m * how->in + i) * drop_factor(how, mask, m, i);
}

/* h = drop(x) A^T. */
static void lora_down(llm_backend_t *be, float *h, uint8_t *mask, const llm_act_t *x,
                      const llm_lora_t *how)
{
    if (how->p > 0.0f)
        draw_mask(mask, how);
    for (size_t m = 0; m < how->M; m++)
        for (size_t r = 0; r < how->rank; r++) {
            double sum = 0;
            for (size_t i = 0; i < how->in; i++)
                sum += dropped(be, x, mask, how, m, i) * (double)how->a[r * how->a_stride + i];
            h[m * how->rank + r] = (float)sum;
        }
}

/* y += s h B^T. */
static void lora_up(llm_backend_t *be, llm_act_t *y, size_t y_stride, const float *h,
                    const llm_lora_t *how)
{
    for (size_t m = 0; m < how->M; m++)
        for (size_t o = 0; o < how->out; o++) {
            double sum = 0;
            for (size_t r = 0; r < how->rank; r++)
                sum += (double)h[m * how->rank + r] * (double)how->b[o * how->rank + r];
            size_t at = m * y_stride + o;
            llm_reference_put(be, y, at, llm_reference_get(be, y, at) + (double)how->scaling * sum);
        }
}

/* dL/dh = s dy B. */
static void hidden_gradient(llm_backend_t *be, float *dh, const llm_act_t *dy, size_t dy_stride,
                            const llm_lora_t *how)
{
    for (size_t m = 0; m < how->M; m++)
        for (size_t r = 0; r < how->rank; r++) {
            double sum = 0;
            for (size_t o = 0; o < how->out; o++)
                sum += llm_reference_get(be, dy, m * dy_stride + o) *
                       (double)how->b[o * how->rank + r];
            dh[m * how->rank + r] = (float)((double)how->scaling * sum);
        }
}

/* dL/dB = s dy^T h and dL/dA = dh^T drop(x). */
static void lora_gradients(llm_backend_t *be, float *dh, float *da, float *db, const llm_act_t *dy,
                           size_t dy_stride, const llm_act_t *x, const float *h,
                           const uint8_t *mask, const llm_lora_t *how)
{
    size_t R = how->rank;
    hidden_gradient(be, dh, dy, dy_stride, how);
    if (!da)
        return;
    for (size_t r = 0; r < R; r++) {
        for (size_t o = 0; o < how->out; o++) {
            double sum = 0;
            for (size_t m = 0; m < how->M; m++)
                sum += llm_reference_get(be, dy, m * dy_stride + o) * (double)h[m * R + r];
            db[o * R + r] = (float)((double)db[o * R + r] + (double)how->scaling * sum);
        }
        for (size_t i = 0; i < how->in; i++) {
            double sum = (double)da[r * how->a_stride + i];
            for (size_t m = 0; m < how->M; m++)
                sum += (double)dh[m * R + r] * dropped(be, x, mask, how, m, i);
            da[r * how->a_stride + i] = (float)sum;
        }
    }
}

/* dL/dx += drop'(dh A). */
static void lora_input_gradient(llm_backend_t *be, llm_act_t *dx, const float *dh,
                                const uint8_t *mask, const llm_lora_t *how)
{
    for (size_t m = 0; m < how->M; m++)
        for (size_t i = 0; i < how->in; i++) {
            double sum = 0;
            for (size_t r = 0; r < how->rank; r++)
                sum += (double)dh[m * how->rank + r] * (double)how->a[r * how->a_stride + i];
            size_t at = m * how->in + i;
            llm_reference_put(be, dx, at,
                              llm_reference_get(be, dx, at) + sum * drop_factor(how, mask, m, i));
        }
}

void llm_reference_dense(llm_ops_t *ops)
{
    ops->dense_forward = dense_forward;
    ops->dense_backward = dense_backward;
    ops->dense_gradients = dense_gradients;
    ops->lora_down = lora_down;
    ops->lora_up = lora_up;
    ops->lora_gradients = lora_gradients;
    ops->lora_input_gradient = lora_input_gradient;
}
