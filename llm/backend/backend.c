/*
 * backend.c - the questions that are answered alike for every backend.
 *
 * Ops live in the folder of each backend; this file knows none of them.
 */
#include <string.h>

#include "base/half.h"
#include "llm/backend/instance.h"

#define PIECE 2048 /* activations converted at a time */

void llm_backend_destroy(llm_backend_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    llm_backend_t *self = *self_p;
    self->ops->destroy(self);
    *self_p = NULL;
}

const char *llm_backend_variant(const llm_backend_t *self)
{
    return llm_instance(self)->variant;
}

void llm_instance_fail(llm_instance_t *self, fmq_error_code_t code, const char *text)
{
    if (self->failure.code == FMQ_OK)
        fmq_error_set(&self->failure, code, "%s", text);
}

int llm_instance_synchronize(llm_backend_t *be, fmq_error_t *err)
{
    const fmq_error_t *failure = &llm_instance(be)->failure;
    return failure->code == FMQ_OK ? 0 : fmq_error_copy(err, failure);
}

/* A piece of host memory at a time, so that nothing has to be allocated. */
void llm_act_upload(llm_backend_t *be, llm_act_t *to, const float *host, size_t n)
{
    uint16_t piece[PIECE];
    if (be->ops->act == FMQ_F32) {
        be->ops->upload(be, to, host, n * sizeof *host);
        return;
    }
    for (size_t first = 0; first < n; first += PIECE) {
        size_t count = n - first < PIECE ? n - first : PIECE;
        for (size_t i = 0; i < count; i++)
            piece[i] = fmq_bf16_of_float(host[first + i]);
        be->ops->upload(be, llm_act_at(be, to, first), piece, count * sizeof *piece);
    }
}

/* Halves go to the upper half of the host's memory and are widened from there;
 * what is written never passes what is still to be read. */
void llm_act_download(llm_backend_t *be, float *host, const llm_act_t *from, size_t n)
{
    if (be->ops->act == FMQ_F32) {
        be->ops->download(be, host, from, n * sizeof *host);
        return;
    }
    const char *halves = (char *)host + n * sizeof(uint16_t);
    be->ops->download(be, (char *)host + n * sizeof(uint16_t), from, n * sizeof(uint16_t));
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, halves + i * sizeof half, sizeof half);
        float value = fmq_float_of_bf16(half);
        memcpy(host + i, &value, sizeof value);
    }
}

double llm_backend_gemm_seconds(const llm_backend_t *self)
{
    return llm_instance(self)->gemm_seconds;
}
