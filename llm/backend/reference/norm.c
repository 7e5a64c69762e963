/*
 * norm.c - LayerNorm and RMSNorm with their gradients.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

/* out = (x - mean) rstd w + b, with the biased variance as torch does. */
static void layernorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                              const float *weight, const float *bias, size_t T, size_t C, float eps)
{
    for (size_t t = 0; t < T; t++) {
        size_t row = t * C;
        double mean = 0;
        double variance = 0;
        for (size_t c = 0; c < C; c++)
            mean += llm_reference_get(be, x, row + c);
        mean /= (double)C;
        for (size_t c = 0; c < C; c++) {
            double apart = llm_reference_get(be, x, row + c) - mean;
            variance += apart * apart;
        }
        double rstd = 1.0 / sqrt(variance / (double)C + (double)eps);
        for (size_t c = 0; c < C; c++)
            llm_reference_put(be, out, row + c,
                              (llm_reference_get(be, x, row + c) - mean) * rstd *
                                      (double)weight[c] +
                                  (bias ? (double)bias[c] : 0.0));
        stats[2 * t] = (float)mean;
        stats[2 * t + 1] = (float)rstd;
    }
}

/* dx (+)= value. */
static void give(llm_backend_t *be, llm_act_t *dx, size_t i, double value, bool add)
{
    llm_reference_put(be, dx, i, add ? llm_reference_get(be, dx, i) + value : value);
}

/* With n = (x - mean) rstd and g = dout w:
 *   dx = rstd (g - mean(g) - n mean(g n)),  dw += dout n,  db += dout.
 * The two means are what the gradient loses by moving the row's own mean and
 * variance along. */
static void layernorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight, float *dbias,
                               const llm_act_t *dout, const llm_act_t *x, const float *stats,
                               const float *weight, size_t T, size_t C, bool add)
{
    for (size_t t = 0; t < T; t++) {
        double mean = (double)stats[2 * t];
        double rstd = (double)stats[2 * t + 1];
        double mean_g = 0;
        double mean_gn = 0;
        for (size_t c = 0; c < C; c++) {
            double g = llm_reference_get(be, dout, t * C + c) * (double)weight[c];
            mean_g += g;
            mean_gn += g * (llm_reference_get(be, x, t * C + c) - mean) * rstd;
        }
        mean_g /= (double)C;
        mean_gn /= (double)C;
        for (size_t c = 0; c < C; c++) {
            double n = (llm_reference_get(be, x, t * C + c) - mean) * rstd;
            double d = llm_reference_get(be, dout, t * C + c);
            give(be, dx, t * C + c, rstd * (d * (double)weight[c] - mean_g - n * mean_gn), add);
            if (dweight)
                dweight[c] += (float)(d * n);
            if (dbias)
                dbias[c] += (float)d;
        }
    }
}

/* out = x r w, r = 1 / sqrt(mean(x^2) + eps). */
static void rmsnorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                            const float *weight, size_t T, size_t C, float eps)
{
    for (size_t t = 0; t < T; t++) {
        double squares = 0;
        for (size_t c = 0; c < C; c++) {
            double one = llm_reference_get(be, x, t * C + c);
            squares += one * one;
        }
        double r = 1.0 / sqrt(squares / (double)C + (double)eps);
        for (size_t c = 0; c < C; c++)
            llm_reference_put(be, out, t * C + c,
                              llm_reference_get(be, x, t * C + c) * r * (double)weight[c]);
        stats[t] = (float)r;
    }
}

/* With n = x r and g = dout w: dx = r (g - n mean(g n)), dw += dout n. */
static void rmsnorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight,
                             const llm_act_t *dout, const llm_act_t *x, const float *stats,
                             const float *weight, size_t T, size_t C, bool add)
{
    for (size_t t = 0; t < T; t++) {
        double r = (double)stats[t];
        double mean_gn = 0;
        for (size_t c = 0; c < C; c++)
            mean_gn += llm_reference_get(be, dout, t * C + c) * (double)weight[c] *
                       llm_reference_get(be, x, t * C + c) * r;
        mean_gn /= (double)C;
        for (size_t c = 0; c < C; c++) {
            double n = llm_reference_get(be, x, t * C + c) * r;
            double d = llm_reference_get(be, dout, t * C + c);
            give(be, dx, t * C + c, r * (d * (double)weight[c] - n * mean_gn), add);
            if (dweight)
                dweight[c] += (float)(d * n);
        }
    }
}

void llm_reference_norm(llm_ops_t *ops)
{
    ops->layernorm_forward = layernorm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->rmsnorm_forward = rmsnorm_forward;
    ops->rmsnorm_backward = rmsnorm_backward;
}
