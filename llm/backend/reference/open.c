/*
 * open.c - puts the reference backend's table together.
 *
 * The ops themselves are in the family files of this folder.
 */
#include "llm/backend/reference/reference.h"

#include <stdlib.h>

#define HEAD_ROWS  128
#define HEAD_BYTES ((size_t)32 << 20)

static void destroy(llm_backend_t *be)
{
    free(llm_instance(be));
}

static llm_backend_t *another(const llm_backend_t *be, unsigned threads, fmq_error_t *err)
{
    (void)threads;
    return llm_backend_reference_act_new(be->ops->act, err);
}

llm_backend_t *llm_backend_reference_new(fmq_error_t *err)
{
    return llm_backend_reference_act_new(FMQ_F32, err);
}

llm_backend_t *llm_backend_reference_act_new(fmq_dtype_t act, fmq_error_t *err)
{
    if (act != FMQ_F32 && act != FMQ_BF16) {
        fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                      "activations of '%s' are not stored: use f32 or bf16", fmq_dtype_name(act));
        return NULL;
    }
    llm_instance_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the reference backend");
        return NULL;
    }
    self->ops.name = "reference";
    self->ops.act = act;
    self->ops.head_rows = HEAD_ROWS;
    self->ops.head_bytes = HEAD_BYTES;
    self->ops.destroy = destroy;
    self->ops.synchronize = llm_instance_synchronize;
    self->ops.another = another;
    llm_reference_memory(&self->ops);
    llm_reference_linear(&self->ops);
    llm_reference_dense(&self->ops);
    llm_reference_embedding(&self->ops);
    llm_reference_norm(&self->ops);
    llm_reference_attention(&self->ops);
    llm_reference_activation(&self->ops);
    llm_reference_scales(&self->ops);
    llm_reference_loss(&self->ops);
    llm_reference_optimizer(&self->ops);
    llm_reference_moments(&self->ops);
    self->variant = act == FMQ_F32 ? "reference" : "reference in bf16";
    self->backend.ops = &self->ops;
    self->backend.context = self;
    return &self->backend;
}
