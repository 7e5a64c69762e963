/*
 * proximal.c - FedProx's gradient out of the backend's vector operations.
 *
 * Only what trains is pulled and remembered, never the frozen model.
 */
#include "llm/train/proximal.h"

int llm_proximal_init(llm_proximal_t *self, llm_backend_t *be, const float *params,
                      const float *anchor, size_t n, fmq_error_t *err)
{
    *self = (llm_proximal_t){.be = be, .n = n};
    size_t bytes = n * sizeof *params;
    self->minus_start = be->ops->alloc(be, bytes);
    self->scratch = be->ops->alloc(be, bytes);
    if (!self->minus_start || !self->scratch)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "cannot remember %zu parameters for fedprox: out of memory", n);
    if (anchor)
        be->ops->upload(be, self->minus_start, anchor, bytes);
    else
        be->ops->copy(be, self->minus_start, params, bytes);
    be->ops->scale(be, self->minus_start, -1, n);
    return 0;
}

void llm_proximal_release(llm_proximal_t *self)
{
    if (self->minus_start)
        self->be->ops->release(self->be, self->minus_start);
    if (self->scratch)
        self->be->ops->release(self->be, self->scratch);
    *self = (llm_proximal_t){0};
}

void llm_proximal_add(llm_proximal_t *self, double mu, const float *params, float *grads)
{
    const llm_ops_t *ops = self->be->ops;
    ops->copy(self->be, self->scratch, params, self->n * sizeof *params);
    ops->add(self->be, self->scratch, self->minus_start, self->n);
    ops->scale(self->be, self->scratch, (float)mu, self->n);
    ops->add(self->be, grads, self->scratch, self->n);
}
