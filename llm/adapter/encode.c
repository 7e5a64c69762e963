/*
 * encode.c - runs an encoder of virtual tokens: dense modules here, an LSTM in
 * lstm.c.
 *
 * Forward:  x_0 = embedding, or what an LSTM makes of it;
 *           y_i = x_i W_i' + b_i;  x_(i+1) = tanh(y_i) or relu(y_i)
 * Backward: dW_i += dy_i' x_i;  db_i += sum of dy_i rows;  dx_i = dy_i W_i;
 *           dy_(i-1) = dx_i (1 - x_i^2), or dx_i where x_i > 0
 * Between products the rows pass by the host, which applies the function.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/encoder.h"
#include "llm/adapter/lstm.h"
#include "llm/backend/fill.h"

struct llm_encoder {
    const llm_encoder_layout_t *layout; /* borrowed */
    llm_backend_t *be;                  /* borrowed */
    llm_lstm_t *lstm;                   /* owned; NULL: none */
    float *device;                      /* owned; NULL without modules */
    size_t bytes;
    float *ones;                        /* [P] */
    float *rows;                        /* [P][width] */
    float *x[LLM_ENCODER_DENSE_MAX];    /* inputs of modules 1 and up; of all [P][in] */
    float *dx;                          /* [P][widest input]; NULL unless training */
    float *host[LLM_ENCODER_DENSE_MAX]; /* owned: x of modules 1 and up again */
    float *host_dx;                     /* owned, [P][widest input] */
    const float *first;                 /* x of module 0: in params, or the LSTM's */
};

static size_t widest_input(const llm_encoder_layout_t *layout)
{
    size_t most = layout->embedded;
    for (uint32_t i = 0; i < layout->dense_size; i++)
        most = layout->dense[i].in > most ? layout->dense[i].in : most;
    return most;
}

static int reserve(llm_encoder_t *self, bool training, fmq_error_t *err)
{
    const llm_encoder_layout_t *layout = self->layout;
    size_t P = layout->count, floats = P + P * layout->width, widest = widest_input(layout);
    for (uint32_t i = 1; i < layout->dense_size; i++)
        floats += P * layout->dense[i].in;
    floats += training ? P * widest : 0;
    self->bytes = floats * sizeof(float);
    self->device = self->be->ops->alloc(self->be, self->bytes);
    bool whole = self->device != NULL;
    for (uint32_t i = 1; i < layout->dense_size; i++) {
        self->host[i] = calloc(P * layout->dense[i].in, sizeof(float));
        whole = whole && self->host[i];
    }
    self->host_dx = calloc(P * widest, sizeof(float));
    if (!whole || !self->host_dx)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "out of memory for an encoder of %zu virtual tokens", P);
    float *cursor = self->device;
    self->ones = cursor;
    cursor += P;
    self->rows = cursor;
    cursor += P * layout->width;
    for (uint32_t i = 1; i < layout->dense_size; i++) {
        self->x[i] = cursor;
        cursor += P * layout->dense[i].in;
    }
    self->dx = training ? cursor : NULL;
    return 0;
}

static int build(llm_encoder_t *self, bool training, fmq_error_t *err)
{
    if (self->layout->dense_size == 0)
        return 0;
    if (reserve(self, training, err) < 0)
        return -1;
    llm_backend_fill(self->be, self->ones, self->layout->count, 1.0f);
    if (self->layout->lstm_layers)
        self->lstm = llm_lstm_new(self->layout, self->be, self->ones, err);
    return self->layout->lstm_layers && !self->lstm ? -1 : 0;
}

llm_encoder_t *llm_encoder_new(const llm_encoder_layout_t *layout, llm_backend_t *be, bool training,
                               fmq_error_t *err)
{
    llm_encoder_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an encoder");
        return NULL;
    }
    self->layout = layout;
    self->be = be;
    if (build(self, training, err) < 0)
        llm_encoder_destroy(&self);
    return self;
}

void llm_encoder_destroy(llm_encoder_t **self_p)
{
    llm_encoder_t *self = *self_p;
    if (!self)
        return;
    llm_lstm_destroy(&self->lstm);
    if (self->device)
        self->be->ops->release(self->be, self->device);
    for (uint32_t i = 0; i < LLM_ENCODER_DENSE_MAX; i++)
        free(self->host[i]);
    free(self->host_dx);
    free(self);
    *self_p = NULL;
}

size_t llm_encoder_bytes(const llm_encoder_t *self)
{
    return self->bytes + (self->lstm ? llm_lstm_bytes(self->lstm) : 0);
}

/* y[P][out] = x W' + b. */
static void dense_forward(const llm_encoder_t *self, const llm_encoder_dense_t *dense,
                          const float *params, float *y, const float *x)
{
    size_t P = self->layout->count, out = dense->out, in = dense->in;
    llm_gemm_t product = {.transpose_b = true,
                          .M = P,
                          .N = out,
                          .K = in,
                          .alpha = 1,
                          .lda = in,
                          .ldb = in,
                          .ldc = out};
    llm_gemm_t bias = {
        .M = P, .N = out, .K = 1, .alpha = 1, .beta = 1, .lda = 1, .ldb = out, .ldc = out};
    self->be->ops->gemm(self->be, y, x, params + dense->weight, &product);
    self->be->ops->gemm(self->be, y, self->ones, params + dense->bias, &bias);
}

/* x[index] holds y of the module before; it is replaced by its function. */
static void activate(const llm_encoder_t *self, uint32_t index)
{
    size_t n = self->layout->count * self->layout->dense[index].in, bytes = n * sizeof(float);
    float *host = self->host[index];
    self->be->ops->download(self->be, host, self->x[index], bytes);
    for (size_t i = 0; i < n; i++)
        host[i] = self->layout->tanh ? (float)llm_encoder_tanh((double)host[i])
                  : host[i] < 0.0f   ? 0.0f
                                     : host[i];
    self->be->ops->upload(self->be, self->x[index], host, bytes);
}

const float *llm_encoder_forward(llm_encoder_t *self, const float *params,
                                 const fmq_rng_name_t *dropout)
{
    const llm_encoder_layout_t *layout = self->layout;
    self->first = params + layout->embedding;
    if (self->lstm)
        self->first = llm_lstm_forward(self->lstm, params, self->first, dropout);
    for (uint32_t i = 0; i < layout->dense_size; i++) {
        bool last = i + 1 == layout->dense_size;
        dense_forward(self, &layout->dense[i], params, last ? self->rows : self->x[i + 1],
                      i ? self->x[i] : self->first);
        if (!last)
            activate(self, i + 1);
    }
    return layout->dense_size ? self->rows : self->first;
}

static void dense_gradients(const llm_encoder_t *self, const llm_encoder_dense_t *dense,
                            float *grads, const float *dy, const float *x)
{
    size_t P = self->layout->count, out = dense->out, in = dense->in;
    llm_gemm_t weight = {.transpose_a = true,
                         .M = out,
                         .N = in,
                         .K = P,
                         .alpha = 1,
                         .beta = 1,
                         .lda = out,
                         .ldb = in,
                         .ldc = in};
    llm_gemm_t bias = {
        .M = 1, .N = out, .K = P, .alpha = 1, .beta = 1, .lda = P, .ldb = out, .ldc = out};
    self->be->ops->gemm(self->be, grads + dense->weight, dy, x, &weight);
    self->be->ops->gemm(self->be, grads + dense->bias, self->ones, dy, &bias);
}

/* dx[P][in] = dy W, or += when add. */
static void dense_backward(const llm_encoder_t *self, const llm_encoder_dense_t *dense,
                           const float *params, float *dx, const float *dy, bool add)
{
    size_t P = self->layout->count, out = dense->out, in = dense->in;
    llm_gemm_t product = {.M = P,
                          .N = in,
                          .K = out,
                          .alpha = 1,
                          .beta = add ? 1.0f : 0.0f,
                          .lda = out,
                          .ldb = in,
                          .ldc = in};
    self->be->ops->gemm(self->be, dx, dy, params + dense->weight, &product);
}

/* dx of module index becomes dy of the one before, in the memory of x. */
static void activate_backward(const llm_encoder_t *self, uint32_t index)
{
    size_t n = self->layout->count * self->layout->dense[index].in, bytes = n * sizeof(float);
    const float *x = self->host[index];
    float *dx = self->host_dx;
    self->be->ops->download(self->be, dx, self->dx, bytes);
    for (size_t i = 0; i < n; i++)
        dx[i] = self->layout->tanh ? (float)((double)dx[i] * (1.0 - (double)x[i] * (double)x[i]))
                : x[i] > 0.0f      ? dx[i]
                                   : 0.0f;
    self->be->ops->upload(self->be, self->x[index], dx, bytes);
}

void llm_encoder_backward(llm_encoder_t *self, const float *params, float *grads,
                          const float *drows)
{
    const llm_encoder_layout_t *layout = self->layout;
    float *dembedding = grads + layout->embedding;
    if (layout->dense_size == 0) {
        self->be->ops->add(self->be, dembedding, drows, layout->count * layout->width);
        return;
    }
    const float *dy = drows;
    for (uint32_t i = layout->dense_size; i-- > 0;) {
        const llm_encoder_dense_t *dense = &layout->dense[i];
        bool embedding = i == 0 && !self->lstm;
        dense_gradients(self, dense, grads, dy, i ? self->x[i] : self->first);
        dense_backward(self, dense, params, embedding ? dembedding : self->dx, dy, embedding);
        if (i)
            activate_backward(self, i);
        dy = self->x[i];
    }
    if (self->lstm)
        llm_lstm_backward(self->lstm, params, params + layout->embedding, self->dx, grads,
                          dembedding);
}
