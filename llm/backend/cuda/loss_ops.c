/*
 * loss_ops.c - the table's losses, and what is chosen from logits.
 */
#include "llm/backend/cuda/cuda.h"

static void cross_entropy(llm_backend_t *be, float *loss, llm_act_t *logits, const int32_t *targets,
                          size_t M, size_t V, const llm_cross_entropy_t *how)
{
    llm_cuda_cross_entropy(&llm_cuda_enter(be)->queue, loss, logits, V, targets, M, V, how->scale,
                           how->smoothing);
}

static void kl_divergence(llm_backend_t *be, float *loss, llm_act_t *client, const llm_act_t *full,
                          size_t M, size_t V, float scale)
{
    llm_cuda_kl_divergence(&llm_cuda_enter(be)->queue, loss, client, full, V, M, V, scale);
}

static void cosine(llm_backend_t *be, float *loss, llm_act_t *dx, const llm_act_t *target,
                   const llm_act_t *x, size_t T, size_t C, float scale)
{
    llm_cuda_cosine(&llm_cuda_enter(be)->queue, loss, dx, target, x, T, C, scale);
}

static void argmax(llm_backend_t *be, int32_t *best, const llm_act_t *logits, size_t M, size_t V)
{
    llm_cuda_argmax(&llm_cuda_enter(be)->queue, best, logits, V, M, V);
}

void llm_cuda_losses_ops(llm_ops_t *ops)
{
    ops->cross_entropy = cross_entropy;
    ops->kl_divergence = kl_divergence;
    ops->cosine = cosine;
    ops->argmax = argmax;
}
