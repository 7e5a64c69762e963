/*
 * loss.c - cross-entropy with its gradient, and the index of the largest
 * logit.
 */
#include "llm/backend/reference/reference.h"

#include <math.h>

/* loss = lse - logit[target], so dloss/dlogit[v] = softmax[v] - [v = target]. */
static void cross_entropy(llm_backend_t *be, float *loss, float *logits, const int32_t *targets,
                          size_t M, size_t V, float scale)
{
    (void)be;
    for (size_t m = 0; m < M; m++) {
        float *row = logits + m * V;
        double largest = -INFINITY;
        double sum = 0;
        for (size_t v = 0; v < V; v++)
            largest = fmax(largest, (double)row[v]);
        for (size_t v = 0; v < V; v++)
            sum += exp((double)row[v] - largest);
        double lse = largest + log(sum);
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
    ops->argmax = argmax;
}
