/*
 * attention_ops.c - the table's attention over packed sequences, and of one new
 * token.
 */
#include "llm/backend/cuda/cuda.h"

static llm_cuda_attention_t shape_of(const llm_attention_t *shape)
{
    return (llm_cuda_attention_t){
        .T = shape->T,
        .S = shape->S,
        .starts = shape->device_starts,
        .longest = shape->longest,
        .H = shape->H,
        .KV = shape->KV,
        .D = shape->D,
        .scale = shape->scale,
        .q_stride = shape->q_stride,
        .k_stride = shape->k_stride,
        .v_stride = shape->v_stride,
        .out_stride = shape->out_stride,
        .window = shape->window,
        .softcap = shape->softcap,
        .slopes = shape->slopes,
    };
}

static bool fits(llm_cuda_t *self, size_t D)
{
    if (D <= LLM_CUDA_HEAD_MAX)
        return true;
    llm_instance_fail(&self->instance, FMQ_ERR_UNSUPPORTED,
                      "the GPU attends with heads of at most 256 channels, and this model has "
                      "wider ones: compute on the CPU");
    return false;
}

static size_t attention_scratch(const llm_backend_t *be, const llm_attention_t *shape)
{
    llm_cuda_attention_t how = shape_of(shape);
    (void)be;
    return llm_cuda_attention_scratch(&how);
}

static void attention_forward(llm_backend_t *be, llm_act_t *out, float *lse, const llm_act_t *q,
                              const llm_act_t *k, const llm_act_t *v, const llm_attention_t *shape,
                              float *scratch)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    llm_cuda_attention_t how = shape_of(shape);
    (void)scratch;
    if (fits(self, how.D))
        llm_cuda_attention_forward(&self->queue, out, lse, q, k, v, &how);
}

static void attention_backward(llm_backend_t *be, llm_act_t *dq, llm_act_t *dk, llm_act_t *dv,
                               const llm_act_t *dout, const llm_act_t *out, const float *lse,
                               const llm_act_t *q, const llm_act_t *k, const llm_act_t *v,
                               const llm_attention_t *shape, float *scratch)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    llm_cuda_attention_t how = shape_of(shape);
    llm_cuda_attention_backward_t tensors = {
        .dq = dq, .dk = dk, .dv = dv, .dout = dout, .out = out, .q = q, .k = k, .v = v, .lse = lse};
    if (fits(self, how.D))
        llm_cuda_attention_backward(&self->queue, &tensors, &how, scratch);
}

/* The kernel's scratch is another than the table's. */
static void attention_decode(llm_backend_t *be, llm_act_t *out, const llm_act_t *q,
                             const llm_act_t *k, const llm_act_t *v, const llm_decode_t *how,
                             float *scratch)
{
    llm_cuda_t *self = llm_cuda_enter(be);
    const size_t row = how->KV * how->D, from = llm_first_seen(how->window, how->length - 1);
    llm_cuda_decode_t shape = {.S = 1,
                               .longest = how->length - from, /* all of which are seen */
                               .H = how->H,
                               .KV = how->KV,
                               .D = how->D,
                               .scale = how->scale,
                               .softcap = how->softcap,
                               .slopes = how->slopes,
                               .stride = row,
                               .sequence_stride = how->length * row};
    (void)scratch;
    if (!fits(self, how->D))
        return;
    float *room = llm_cuda_sums(self, llm_cuda_decode_scratch(&shape));
    if (room)
        llm_cuda_attention_decode(&self->queue, out, q, llm_act_const_at(be, k, from * row),
                                  llm_act_const_at(be, v, from * row), &shape, room);
}

void llm_cuda_attention_ops(llm_ops_t *ops)
{
    ops->attention_scratch = attention_scratch;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
    ops->attention_decode = attention_decode;
}
