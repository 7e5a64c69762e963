/*
 * loss.c - losses with their gradients: cross-entropy, Kullback-Leibler
 * divergence, cosine; and the index of the largest logit.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

static double log_sum_exp(const float *row, size_t V)
{
    double largest = -INFINITY;
    double sum = 0;
    for (size_t v = 0; v < V; v++)
        largest = fmax(largest, (double)row[v]);
    for (size_t v = 0; v < V; v++)
        sum += exp((double)row[v] - largest);
    return largest + log(sum);
}

/* loss = lse - logit[target], so dloss/dlogit[v] = softmax[v] - [v = target]. */
static void cross_entropy(llm_backend_t *be, float *loss, float *logits, const int32_t *targets,
                          size_t M, size_t V, float scale)
{
    (void)be;
    for (size_t m = 0; m < M; m++) {
        float *row = logits + m * V;
        double lse = log_sum_exp(row, V);
        size_t target = (size_t)targets[m];
        loss[m] = (float)(lse - (double)row[target]);
        if (scale == 0.0f)
            continue;
        for (size_t v = 0; v < V; v++) {
            double p = exp((double)row[v] - lse);
            row[v] = (float)((p - (v == target ? 1.0 : 0.0)) * (double)scale);
        }
    }
}

/* loss = sum_v p_full (log p_full - log p_client).  Only log p_client = c - lse
 * depends on the client's logits c; the p_full add up to 1, so
 * dloss/dc[v] = p_client[v] - p_full[v]. */
static void kl_divergence(llm_backend_t *be, float *loss, float *client, const float *full,
                          size_t M, size_t V, float scale)
{
    (void)be;
    for (size_t m = 0; m < M; m++) {
        float *c = client + m * V;
        const float *f = full + m * V;
        double lse_client = log_sum_exp(c, V);
        double lse_full = log_sum_exp(f, V);
        double sum = 0;
        for (size_t v = 0; v < V; v++) {
            double log_client = (double)c[v] - lse_client;
            double log_full = (double)f[v] - lse_full;
            sum += exp(log_full) * (log_full - log_client);
            if (scale != 0.0f)
                c[v] = (float)((exp(log_client) - exp(log_full)) * (double)scale);
        }
        loss[m] = (float)sum;
    }
}

/* With t.x the dot product and |.| the length, cos = t.x / (|t| |x|), so
 * d(-cos)/dx = cos x / |x|^2 - t / (|t| |x|). */
static void cosine(llm_backend_t *be, float *loss, float *dx, const float *target, const float *x,
                   size_t T, size_t C, float scale)
{
    (void)be;
    for (size_t i = 0; i < T; i++) {
        const float *t = target + i * C;
        const float *row = x + i * C;
        double tx = 0;
        double tt = 0;
        double xx = 0;
        for (size_t c = 0; c < C; c++) {
            tx += (double)t[c] * (double)row[c];
            tt += (double)t[c] * (double)t[c];
            xx += (double)row[c] * (double)row[c];
        }
        double lengths = sqrt(tt * xx);
        bool zero = lengths == 0; /* and not NaN */
        loss[i] = zero ? 0.0f : (float)(-tx / lengths);
        if (!dx || zero)
            continue;
        for (size_t c = 0; c < C; c++)
            dx[i * C + c] += (float)((double)scale * ((double)row[c] * (tx / lengths / xx) -
                                                      (double)t[c] / lengths));
    }
}

static void argmax(llm_backend_t *be, int32_t *best, const float *logits, size_t M, size_t V)
{
    (void)be;
    for (size_t m = 0; m < M; m++) {
        size_t index = 0;
        for (size_t v = 1; v < V; v++)
            if (logits[m * V + v] > logits[m * V + index])
                index = v;
        best[m] = (int32_t)index;
    }
}

void llm_reference_loss(llm_ops_t *ops)
{
    ops->cross_entropy = cross_entropy;
    ops->kl_divergence = kl_divergence;
    ops->cosine = cosine;
    ops->argmax = argmax;
}
