/*
 * norm.c - LayerNorm and RMSNorm with their gradients.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

/* out = (x - mean) rstd w + b, with the biased variance as torch does. */
static void layernorm_forward(llm_backend_t *be, float *out, float *stats, const float *x,
                              const float *weight, const float *bias, size_t T, size_t C, float eps)
{
    (void)be;
    for (size_t t = 0; t < T; t++) {
        const float *row = x + t * C;
        double mean = 0;
        double variance = 0;
        for (size_t c = 0; c < C; c++)
            mean += (double)row[c];
        mean /= (double)C;
        for (size_t c = 0; c < C; c++)
            variance += ((double)row[c] - mean) * ((double)row[c] - mean);
        double rstd = 1.0 / sqrt(variance / (double)C + (double)eps);
        for (size_t c = 0; c < C; c++)
            out[t * C + c] = (float)(((double)row[c] - mean) * rstd * (double)weight[c] +
                                     (bias ? (double)bias[c] : 0.0));
        stats[2 * t] = (float)mean;
        stats[2 * t + 1] = (float)rstd;
    }
}

/* With n = (x - mean) rstd and g = dout w:
 *   dx = rstd (g - mean(g) - n mean(g n)),  dw += dout n,  db += dout.
 * The two means are what the gradient loses by moving the row's own mean and
 * variance along. */
static void layernorm_backward(llm_backend_t *be, float *dx, float *dweight, float *dbias,
                               const float *dout, const float *x, const float *stats,
                               const float *weight, size_t T, size_t C)
{
    (void)be;
    for (size_t t = 0; t < T; t++) {
        double mean = (double)stats[2 * t];
        double rstd = (double)stats[2 * t + 1];
        double mean_g = 0;
        double mean_gn = 0;
        for (size_t c = 0; c < C; c++) {
            double g = (double)dout[t * C + c] * (double)weight[c];
            mean_g += g;
            mean_gn += g * ((double)x[t * C + c] - mean) * rstd;
        }
        mean_g /= (double)C;
        mean_gn /= (double)C;
        for (size_t c = 0; c < C; c++) {
            double n = ((double)x[t * C + c] - mean) * rstd;
            double g = (double)dout[t * C + c] * (double)weight[c];
            dx[t * C + c] += (float)(rstd * (g - mean_g - n * mean_gn));
            if (dweight)
                dweight[c] += (float)((double)dout[t * C + c] * n);
            if (dbias)
                dbias[c] += dout[t * C + c];
        }
    }
}

/* out = x r w, r = 1 / sqrt(mean(x^2) + eps). */
static void rmsnorm_forward(llm_backend_t *be, float *out, float *stats, const float *x,
                            const float *weight, size_t T, size_t C, float eps)
{
    (void)be;
    for (size_t t = 0; t < T; t++) {
        double squares = 0;
        for (size_t c = 0; c < C; c++)
            squares += (double)x[t * C + c] * (double)x[t * C + c];
        double r = 1.0 / sqrt(squares / (double)C + (double)eps);
        for (size_t c = 0; c < C; c++)
            out[t * C + c] = (float)((double)x[t * C + c] * r * (double)weight[c]);
        stats[t] = (float)r;
    }
}

/* With n = x r and g = dout w: dx = r (g - n mean(g n)), dw += dout n. */
static void rmsnorm_backward(llm_backend_t *be, float *dx, float *dweight, const float *dout,
                             const float *x, const float *stats, const float *weight, size_t T,
                             size_t C)
{
    (void)be;
    for (size_t t = 0; t < T; t++) {
        double r = (double)stats[t];
        double mean_gn = 0;
        for (size_t c = 0; c < C; c++)
            mean_gn += (double)dout[t * C + c] * (double)weight[c] * (double)x[t * C + c] * r;
        mean_gn /= (double)C;
        for (size_t c = 0; c < C; c++) {
            double n = (double)x[t * C + c] * r;
            double g = (double)dout[t * C + c] * (double)weight[c];
            dx[t * C + c] += (float)(r * (g - n * mean_gn));
            if (dweight)
                dweight[c] += (float)((double)dout[t * C + c] * n);
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
