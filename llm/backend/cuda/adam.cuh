/*
 * adam.cuh - Adam's step of one weight, for moments that are floats (optimizer.cu)
 * and for codes (moments.cu).  Both are compiled without contraction to fused
 * multiply-adds, so that this gives the reference's bits.
 */
#ifndef LLM_BACKEND_CUDA_ADAM_CUH
#define LLM_BACKEND_CUDA_ADAM_CUH

#include "llm/backend/cuda/device.cuh"

/* greatest may be NULL. */
DEVICE void adam(float *param, float grad, float *m, float *v, float *greatest,
                 const llm_cuda_adam_t &how)
{
    const float p = *param * how.keep;
    const float g = grad + how.l2 * *param;
    *m = how.beta1 * *m + how.one_minus_beta1 * g;
    *v = how.beta2 * *v + how.one_minus_beta2 * (g * g);
    float square = *v;
    if (greatest)
        square = *greatest = square > *greatest ? square : *greatest;
    const float denominator = sqrtf(square) / how.sqrt_bias2 + how.eps;
    *param = p - how.step_size * (*m / denominator);
}

#endif
