/*
 * norm_ops.c - the table's norms.  Backward is a kernel for the input, and one
 * for the gradients of what trains.
 */
#include "llm/backend/cuda/cuda.h"

/* Rows of so many channels fit a block of threads. */
static bool fits(llm_cuda_t *self, size_t C)
{
    if (C <= LLM_CUDA_CHANNELS_MAX)
        return true;
    llm_instance_fail(&self->instance, FMQ_ERR_UNSUPPORTED,
                      "the GPU norms rows of at most 16384 channels, and this model has more: "
                      "compute on the CPU");
    return false;
}

static void layernorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                              const float *weight, const float *bias, size_t T, size_t C, float eps)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (fits(self, C))
        llm_cuda_layernorm_forward(&self->queue, out, stats, x, weight, bias, T, C, eps);
}

/* The gradients first: dx may be dout. */
static void layernorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight, float *dbias,
                               const llm_act_t *dout, const llm_act_t *x, const float *stats,
                               const float *weight, size_t T, size_t C, bool add)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (!fits(self, C))
        return;
    float *scratch = dweight || dbias ? llm_cuda_sums(self, llm_cuda_columns_scratch(T, C)) : NULL;
    if (scratch)
        llm_cuda_layernorm_gradients(&self->queue, dweight, dbias, dout, x, stats, T, C, scratch);
    llm_cuda_layernorm_backward(&self->queue, dx, dout, x, stats, weight, T, C, add);
}

static void rmsnorm_forward(llm_backend_t *be, llm_act_t *out, float *stats, const llm_act_t *x,
                            const float *weight, size_t T, size_t C, float eps)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (fits(self, C))
        llm_cuda_rmsnorm_forward(&self->queue, out, stats, x, weight, T, C, eps);
}

static void rmsnorm_backward(llm_backend_t *be, llm_act_t *dx, float *dweight,
                             const llm_act_t *dout, const llm_act_t *x, const float *stats,
                             const float *weight, size_t T, size_t C, bool add)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    if (!fits(self, C))
        return;
    float *scratch = dweight ? llm_cuda_sums(self, llm_cuda_columns_scratch(T, C)) : NULL;
    if (scratch)
        llm_cuda_rmsnorm_gradients(&self->queue, dweight, dout, x, stats, T, C, scratch);
    llm_cuda_rmsnorm_backward(&self->queue, dx, dout, x, stats, weight, T, C, add);
}

void llm_cuda_norms_ops(llm_ops_t *ops)
{
    ops->layernorm_forward = layernorm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->rmsnorm_forward = rmsnorm_forward;
    ops->rmsnorm_backward = rmsnorm_backward;
}
