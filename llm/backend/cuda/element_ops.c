/*
 * element_ops.c - the table's passes over vectors of activations.
 */
#include "llm/backend/cuda/cuda.h"

static void add_act(llm_backend_t *be, llm_act_t *y, const llm_act_t *x, size_t n)
{
    llm_cuda_add(&llm_cuda_enter(be)->queue, y, x, n);
}

static void gelu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *x, size_t n,
                         bool exact)
{
    llm_cuda_gelu_forward(&llm_cuda_enter(be)->queue, out, x, n, exact);
}

static void gelu_backward(llm_backend_t *be, llm_act_t *dx, const llm_act_t *dout,
                          const llm_act_t *x, size_t n, bool exact)
{
    llm_cuda_gelu_backward(&llm_cuda_enter(be)->queue, dx, dout, x, n, exact);
}

static void swiglu_forward(llm_backend_t *be, llm_act_t *out, const llm_act_t *gate,
                           const llm_act_t *up, size_t n)
{
    llm_cuda_swiglu_forward(&llm_cuda_enter(be)->queue, out, gate, up, n);
}

static void swiglu_backward(llm_backend_t *be, llm_act_t *dgate, llm_act_t *dup,
                            const llm_act_t *dout, const llm_act_t *gate, const llm_act_t *up,
                            size_t n)
{
    llm_cuda_swiglu_backward(&llm_cuda_enter(be)->queue, dgate, dup, dout, gate, up, n);
}

void llm_cuda_elements_ops(llm_ops_t *ops)
{
    ops->add_act = add_act;
    ops->gelu_forward = gelu_forward;
    ops->gelu_backward = gelu_backward;
    ops->swiglu_forward = swiglu_forward;
    ops->swiglu_backward = swiglu_backward;
}
