/*
 * element_ops.c - the table's passes over vectors of activations.
 */
#include "llm/backend/cuda/cuda.h"

static void add_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n)
{
    llm_cuda_add(&llm_cuda_enter(be)->queue, y, x, n);
}

static void scale_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float factor, size_t n)
{
    llm_cuda_scale_act(&llm_cuda_enter(be)->queue, y, x, factor, n);
}

static void activation_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                               llm_activation_t kind)
{
    llm_cuda_activation_forward(&llm_cuda_enter(be)->queue, out, x, n, kind);
}

static void activation_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                                const llm_act_t *x, size_t n, llm_activation_t kind)
{
    llm_cuda_activation_backward(&llm_cuda_enter(be)->queue, dx, dout, x, n, kind);
}

static void glu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                        const llm_act_t *up, size_t n, llm_activation_t kind)
{
    llm_cuda_glu_forward(&llm_cuda_enter(be)->queue, out, gate, up, n, kind);
}

static void glu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup, const llm_act_t *dout,
                         const llm_act_t *gate, const llm_act_t *up, size_t n,
                         llm_activation_t kind)
{
    llm_cuda_glu_backward(&llm_cuda_enter(be)->queue, dgate, dup, dout, gate, up, n, kind);
}

static void softcap_forward(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, float cap,
                            size_t n)
{
    llm_cuda_softcap_forward(&llm_cuda_enter(be)->queue, y, x, cap, n);
}

static void softcap_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *y, float cap,
                             size_t n)
{
    llm_cuda_softcap_backward(&llm_cuda_enter(be)->queue, dx, y, cap, n);
}

void llm_cuda_elements_ops(llm_ops_t *ops)
{
    ops->add_act = add_act;
    ops->scale_act = scale_act;
    ops->activation_forward = activation_forward;
    ops->activation_backward = activation_backward;
    ops->glu_forward = glu_forward;
    ops->glu_backward = glu_backward;
    ops->softcap_forward = softcap_forward;
    ops->softcap_backward = softcap_backward;
}
