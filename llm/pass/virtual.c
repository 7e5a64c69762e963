/*
 * virtual.c - moves rows of virtual tokens into a batch's buffers and their
 * gradients out of them.  What makes the rows is llm/adapter/encoder.h's.
 *
 * All sequences have the same rows in front, so that a gradient is the sum over
 * sequences, in their order.
 */
#include "llm/pass/virtual.h"

#include <stdlib.h>

#include "llm/adapter/layout.h"

size_t llm_virtual_count(const llm_virtual_t *self)
{
    return self->layout ? self->layout->count : 0;
}

static int reserve(llm_virtual_t *self, bool training, fmq_error_t *err)
{
    const llm_ops_t *ops = self->be->ops;
    size_t P = self->layout->count, width = self->layout->width, pair = self->pair;
    size_t acts = pair ? llm_act_bytes(self->be, P * width) : 0;
    size_t taken = pair && training ? llm_act_bytes(self->be, P * pair) : 0;
    size_t floats = training ? P * width + (pair ? P * pair + P * P : 0) : 0;
    if (acts)
        self->acts = ops->alloc(self->be, acts);
    if (taken)
        self->taken = ops->alloc(self->be, taken);
    if (floats)
        self->memory = ops->alloc(self->be, floats * sizeof(float));
    self->bytes = acts + taken + floats * sizeof(float);
    if ((acts && !self->acts) || (taken && !self->taken) || (floats && !self->memory))
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %zu virtual tokens", P);
    if (!floats)
        return 0;
    self->drows = self->memory;
    self->sum = self->drows + P * width;
    self->identity = self->sum + P * pair;
    return 0;
}

static int fill_identity(const llm_virtual_t *self, fmq_error_t *err)
{
    size_t P = self->layout->count;
    float *host = calloc(P * P, sizeof *host);
    if (!host)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %zu virtual tokens", P);
    for (size_t i = 0; i < P; i++)
        host[i * P + i] = 1.0f;
    self->be->ops->upload(self->be, self->identity, host, P * P * sizeof *host);
    free(host);
    return 0;
}

int llm_virtual_init(llm_virtual_t *self, const llm_adapter_t *adapter, llm_backend_t *be,
                     bool training, fmq_error_t *err)
{
    self->be = be;
    self->layout = llm_adapter_virtual(adapter);
    if (!self->layout)
        return 0;
    if (self->layout->prefix)
        self->pair = llm_virtual_pair_width(llm_adapter_shape(adapter));
    self->encoder = llm_encoder_new(self->layout, be, training, err);
    if (!self->encoder || reserve(self, training, err) < 0)
        return -1;
    return self->pair && training ? fill_identity(self, err) : 0;
}

void llm_virtual_bind(llm_virtual_t *self, const float *params, float *grads)
{
    self->params = params;
    self->grads = grads;
}

void llm_virtual_release(llm_virtual_t *self)
{
    if (!self->layout)
        return;
    void *const owned[] = {self->acts, self->taken, self->memory};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (owned[i])
            self->be->ops->release(self->be, owned[i]);
    llm_encoder_destroy(&self->encoder);
    *self = (llm_virtual_t){0};
}

size_t llm_virtual_bytes(const llm_virtual_t *self)
{
    return self->layout ? self->bytes + llm_encoder_bytes(self->encoder) : 0;
}

void llm_virtual_begin(llm_virtual_t *self, const fmq_rng_name_t *dropout)
{
    if (!self->layout)
        return;
    self->rows = llm_encoder_forward(self->encoder, self->params, dropout);
    if (self->pair)
        self->be->ops->narrow(self->be, self->acts, self->rows,
                              self->layout->count * self->layout->width, false);
}

void llm_virtual_zero_gradient(llm_virtual_t *self)
{
    if (self->layout)
        self->be->ops->zero(self->be, self->drows,
                            self->layout->count * self->layout->width * sizeof(float));
}

void llm_virtual_end(llm_virtual_t *self)
{
    if (self->layout)
        llm_encoder_backward(self->encoder, self->params, self->grads, self->drows);
}

void llm_virtual_embed(const llm_virtual_t *self, llm_act_t *x, size_t C,
                       const llm_virtual_batch_t *batch)
{
    if (!self->layout || self->pair)
        return;
    for (size_t s = 0; s < batch->sequences; s++)
        self->be->ops->narrow(self->be, llm_act_at(self->be, x, batch->starts[s] * C), self->rows,
                              self->layout->count * C, false);
}

void llm_virtual_embed_backward(const llm_virtual_t *self, const llm_act_t *dx, size_t C,
                                const llm_virtual_batch_t *batch)
{
    if (!self->layout || self->pair)
        return;
    for (size_t s = 0; s < batch->sequences; s++)
        self->be->ops->widen(self->be, self->drows,
                             llm_act_const_at(self->be, dx, batch->starts[s] * C),
                             self->layout->count * C, true);
}

void llm_virtual_attend(const llm_virtual_t *self, uint32_t layer, const llm_qkv_t *qkv,
                        const llm_virtual_batch_t *batch)
{
    if (!self->layout || !self->pair)
        return;
    llm_backend_t *be = self->be;
    size_t P = self->layout->count, width = self->layout->width, half = self->pair / 2;
    const llm_act_t *from = llm_act_const_at(be, self->acts, layer * self->pair);
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t row = batch->starts[s] * qkv->kv_stride;
        be->ops->copy_rows(be, llm_act_at(be, qkv->k, row), qkv->kv_stride, from, width, P, half);
        be->ops->copy_rows(be, llm_act_at(be, qkv->v, row), qkv->kv_stride,
                           llm_act_const_at(be, from, half), width, P, half);
    }
}

/* The sum of a layer's gradients to its place in the rows of all layers: a product
 * with the identity moves rows to others that lie further apart. */
static void place_sum(const llm_virtual_t *self, uint32_t layer)
{
    size_t P = self->layout->count, width = self->layout->width, pair = self->pair;
    llm_gemm_t move = {.M = P, .N = pair, .K = P, .alpha = 1, .lda = P, .ldb = pair, .ldc = width};
    self->be->ops->gemm(self->be, self->drows + layer * pair, self->identity, self->sum, &move);
}

static void zero_rows(const llm_virtual_t *self, llm_act_t *at, size_t first, size_t stride)
{
    llm_backend_t *be = self->be;
    be->ops->zero(be, llm_act_at(be, at, first * stride),
                  llm_act_bytes(be, self->layout->count * stride));
}

void llm_virtual_attend_backward(const llm_virtual_t *self, uint32_t layer, const llm_qkv_t *dqkv,
                                 const llm_virtual_batch_t *batch)
{
    if (!self->layout || !self->pair)
        return;
    llm_backend_t *be = self->be;
    size_t P = self->layout->count, pair = self->pair, stride = dqkv->kv_stride;
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t first = batch->starts[s];
        be->ops->copy_rows(be, self->taken, pair, llm_act_at(be, dqkv->k, first * stride), stride,
                           P, pair / 2);
        be->ops->copy_rows(be, llm_act_at(be, self->taken, pair / 2), pair,
                           llm_act_at(be, dqkv->v, first * stride), stride, P, pair / 2);
        be->ops->widen(be, self->sum, self->taken, P * pair, s > 0);
        zero_rows(self, dqkv->q, first, dqkv->q_stride);
        if (!dqkv->planes)
            continue; /* that was all of the rows */
        zero_rows(self, dqkv->k, first, stride);
        zero_rows(self, dqkv->v, first, stride);
    }
    place_sum(self, layer);
}
