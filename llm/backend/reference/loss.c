/*
 * loss.c - losses with their gradients: cross-entropy, Kullback-Leibler
 * divergence, cosine; and the index of the largest logit.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

/* Of V logits from element `row` on. */
static double log_sum_exp(const llm_backend_t *be, const llm_act_t *logits, size_t row, size_t V)
{
    double largest = -INFINITY;
    double sum = 0;
    for (size_t v = 0; v < V; v++)
        largest = fmax(largest, llm_reference_get(be, logits, row + v));
    for (size_t v = 0; v < V; v++)
        sum += exp(llm_reference_get(be, logits, row + v) - largest);
    return largest + log(sum);
}

static double mean_of(const llm_backend_t *be, const llm_act_t *logits, size_t row, size_t V)
{
    double sum = 0;
    for (size_t v = 0; v < V; v++)
        sum += llm_reference_get(be, logits, row + v);
    return sum / (double)V;
}

/* With wanted shares w[v] = (1 - e) [v = target] + e / V, which add up to 1:
 * loss = -sum_v w[v] log softmax[v] = lse - (1 - e) logit[target] - e mean(logit),
 * so dloss/dlogit[v] = softmax[v] - w[v]. */
static void cross_entropy(llm_backend_t *be, float *loss, llm_act_t *logits, const int32_t *targets,
                          size_t M, size_t V, const llm_cross_entropy_t *how)
{
    double rest = (double)how->smoothing;
    for (size_t m = 0; m < M; m++) {
        size_t row = m * V;
        double lse = log_sum_exp(be, logits, row, V);
        size_t target = (size_t)targets[m];
        double loss_of_target = lse - llm_reference_get(be, logits, row + target);
        loss[m] = (float)loss_of_target;
        if (rest > 0)
            loss[m] =
                (float)((1 - rest) * loss_of_target + rest * (lse - mean_of(be, logits, row, V)));
        if (how->scale == 0.0f)
            continue;
        for (size_t v = 0; v < V; v++) {
            double p = exp(llm_reference_get(be, logits, row + v) - lse);
            double wanted = (v == target ? 1 - rest : 0.0) + rest / (double)V;
            llm_reference_put(be, logits, row + v, (p - wanted) * (double)how->scale);
        }
    }
}

/* loss = sum_v p_full (log p_full - log p_client).  Only log p_client = c - lse
 * depends on the client's logits c; the p_full add up to 1, so
 * dloss/dc[v] = p_client[v] - p_full[v]. */
static void kl_divergence(llm_backend_t *be, float *loss, llm_act_t *client, const llm_act_t *full,
                          size_t M, size_t V, float scale)
{
    for (size_t m = 0; m < M; m++) {
        size_t row = m * V;
        double lse_client = log_sum_exp(be, client, row, V);
        double lse_full = log_sum_exp(be, full, row, V);
        double sum = 0;
        for (size_t v = row; v < row + V; v++) {
            double log_client = llm_reference_get(be, client, v) - lse_client;
            double log_full = llm_reference_get(be, full, v) - lse_full;
            sum += exp(log_full) * (log_full - log_client);
            if (scale != 0.0f)
                llm_reference_put(be, client, v, (exp(log_client) - exp(log_full)) * (double)scale);
        }
        loss[m] = (float)sum;
    }
}

/* With t.x the dot product and |.| the length, cos = t.x / (|t| |x|), so
 * d(-cos)/dx = cos x / |x|^2 - t / (|t| |x|). */
static void cosine(llm_backend_t *be, float *loss, llm_act_t *dx, const llm_act_t *target,
                   const llm_act_t *x, size_t T, size_t C, float scale)
{
    for (size_t i = 0; i < T; i++) {
        double tx = 0;
        double tt = 0;
        double xx = 0;
        for (size_t c = i * C; c < (i + 1) * C; c++) {
            double t = llm_reference_get(be, target, c), v = llm_reference_get(be, x, c);
            tx += t * v;
            tt += t * t;
            xx += v * v;
        }
        double lengths = sqrt(tt * xx);
        bool zero = lengths == 0; /* and not NaN */
        loss[i] = zero ? 0.0f : (float)(-tx / lengths);
        if (!dx || zero)
            continue;
        for (size_t c = i * C; c < (i + 1) * C; c++) {
            double slope = llm_reference_get(be, x, c) * (tx / lengths / xx) -
                           llm_reference_get(be, target, c) / lengths;
            llm_reference_put(be, dx, c, llm_reference_get(be, dx, c) + (double)scale * slope);
        }
    }
}

static void argmax(llm_backend_t *be, int32_t *best, const llm_act_t *logits, size_t M, size_t V)
{
    for (size_t m = 0; m < M; m++) {
        size_t index = 0;
        for (size_t v = 1; v < V; v++)
            if (llm_reference_get(be, logits, m * V + v) >
                llm_reference_get(be, logits, m * V + index))
                index = v;
        best[m] = (int32_t)index;
    }
}

static void column_sum_squares(llm_backend_t *be, double *sums, const llm_act_t *x, size_t M,
                               size_t N)
{
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            double one = llm_reference_get(be, x, m * N + n);
            sums[n] += one * one;
        }
}

void llm_reference_loss(llm_ops_t *ops)
{
    ops->cross_entropy = cross_entropy;
    ops->kl_divergence = kl_divergence;
    ops->cosine = cosine;
    ops->argmax = argmax;
    ops->column_sum_squares = column_sum_squares;
}
