/*
 * lstm.c - forward and backward of torch.nn.LSTM, rows of one sequence.
 *
 * Forward, with gates z = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh:
 *   i, f, o = sigmoid(z_i, z_f, z_o);  g = tanh(z_g)
 *   c_t = f c_(t-1) + i g;  h_t = o tanh(c_t)
 * Backward, dh and dc being what comes from above and from the row behind:
 *   dc += dh o (1 - tanh(c_t)^2);  dz_o = dh tanh(c_t) o (1 - o)
 *   dz_i = dc g i (1 - i);  dz_f = dc c_(t-1) f (1 - f);  dz_g = dc i (1 - g^2)
 *   dc_(t-1) = dc f;  dh_(t-1) = W_hh' dz;  dx_t = W_ih' dz
 *   dW_ih += sum dz x_t';  dW_hh += sum dz h_(t-1)';  db += sum dz
 * The second direction goes from the last row to the first.  Between layers what
 * both directions give is dropped, as torch does it: scaled where it is kept.
 */
#include "llm/adapter/lstm.h"

#include <stdlib.h>
#include <string.h>

#include "base/real.h"

#define GATES           4
#define DIRECTIONS      LLM_ENCODER_DIRECTIONS
#define GOLDEN_RATIO_64 UINT64_C(0x9E3779B97F4A7C15)

/* What one direction of a layer leaves for backward, in host memory. */
typedef struct {
    float *gates; /* [P][4H]: i | f | g | o of each row */
    float *c, *h; /* [P][H] */
} trace_t;

struct llm_lstm {
    const llm_encoder_layout_t *layout; /* borrowed */
    llm_backend_t *be;                  /* borrowed */
    const float *ones;                  /* borrowed */
    size_t P, H;
    float *device; /* owned: the buffers below, on the backend */
    size_t bytes;
    float *inputs[LLM_ENCODER_LAYERS_MAX]; /* of layers 1 and up: [P][2H] */
    float *out;                            /* [P][2H] */
    float *z;                              /* [P][4H]: gates before, or their gradients */
    float *before;                         /* [P][H]: states that rows begin from */
    float *dlayer;                         /* [P][2H]: gradient of a layer's input */
    float *row;                            /* [4H] */
    float *state;                          /* [H] */
    float *host;                           /* owned: all of these */
    trace_t traces[LLM_ENCODER_LAYERS_MAX][DIRECTIONS];
    float *kept[LLM_ENCODER_LAYERS_MAX]; /* [P][2H]: factor of what leaves a layer; 1 or of drop */
    float *mixed, *gates, *carried;      /* [P][2H], [P][4H], [2H]: dh | dc of the next row */
    float *product;                      /* [4H] */
};

static double sigmoid(double x)
{
    return 1.0 / (1.0 + fmq_exp(-x));
}

double llm_encoder_tanh(double x)
{
    double e = fmq_exp(-2.0 * (x < 0 ? -x : x)), t = (1.0 - e) / (1.0 + e);
    return x < 0 ? -t : t;
}

/* The next so many floats of a block. */
static float *take(float **cursor, size_t count)
{
    float *at = *cursor;
    *cursor += count;
    return at;
}

static size_t device_floats(const llm_lstm_t *self)
{
    size_t layers = self->layout->lstm_layers;
    return self->P * self->H * (2 * (layers - 1) + 2 + GATES + 1 + 2) + (GATES + 1) * self->H;
}

static size_t host_floats(const llm_lstm_t *self)
{
    size_t layers = self->layout->lstm_layers;
    size_t trace = DIRECTIONS * (GATES + 2) + 2;
    return self->P * self->H * (layers * trace + 2 + GATES) + (2 + GATES) * self->H;
}

static void cut_device(llm_lstm_t *self)
{
    float *cursor = self->device;
    size_t P = self->P, H = self->H;
    for (uint32_t layer = 1; layer < self->layout->lstm_layers; layer++)
        self->inputs[layer] = take(&cursor, P * 2 * H);
    self->out = take(&cursor, P * 2 * H);
    self->z = take(&cursor, P * GATES * H);
    self->before = take(&cursor, P * H);
    self->dlayer = take(&cursor, P * 2 * H);
    self->row = take(&cursor, GATES * H);
    self->state = take(&cursor, H);
}

static void cut_host(llm_lstm_t *self)
{
    float *cursor = self->host;
    size_t P = self->P, H = self->H;
    for (uint32_t layer = 0; layer < self->layout->lstm_layers; layer++) {
        for (int d = 0; d < DIRECTIONS; d++) {
            trace_t *trace = &self->traces[layer][d];
            trace->gates = take(&cursor, P * GATES * H);
            trace->c = take(&cursor, P * H);
            trace->h = take(&cursor, P * H);
        }
        self->kept[layer] = take(&cursor, P * 2 * H);
    }
    self->mixed = take(&cursor, P * 2 * H);
    self->gates = take(&cursor, P * GATES * H);
    self->carried = take(&cursor, 2 * H);
    self->product = take(&cursor, GATES * H);
}

llm_lstm_t *llm_lstm_new(const llm_encoder_layout_t *layout, llm_backend_t *be, const float *ones,
                         fmq_error_t *err)
{
    llm_lstm_t *self = calloc(1, sizeof *self);
    if (self) {
        self->layout = layout;
        self->be = be;
        self->ones = ones;
        self->P = layout->count;
        self->H = layout->hidden;
        self->bytes = device_floats(self) * sizeof(float);
        self->device = be->ops->alloc(be, self->bytes);
        self->host = calloc(host_floats(self), sizeof(float));
    }
    if (!self || !self->device || !self->host) {
        llm_lstm_destroy(&self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an encoder of %zu virtual tokens",
                      layout->count);
        return NULL;
    }
    cut_device(self);
    cut_host(self);
    return self;
}

void llm_lstm_destroy(llm_lstm_t **self_p)
{
    llm_lstm_t *self = *self_p;
    if (!self)
        return;
    if (self->device)
        self->be->ops->release(self->be, self->device);
    free(self->host);
    free(self);
    *self_p = NULL;
}

size_t llm_lstm_bytes(const llm_lstm_t *self)
{
    return self->bytes;
}

static void gemm(const llm_lstm_t *self, float *c, const float *a, const float *b,
                 const llm_gemm_t *shape)
{
    self->be->ops->gemm(self->be, c, a, b, shape);
}

/* z[P][4H] = x W_ih' + b_ih + b_hh. */
static void inputs_forward(const llm_lstm_t *self, const llm_encoder_cell_t *cell,
                           const float *params, const float *x)
{
    size_t P = self->P, Z = GATES * self->H, in = cell->in;
    llm_gemm_t product = {
        .transpose_b = true, .M = P, .N = Z, .K = in, .alpha = 1, .lda = in, .ldb = in, .ldc = Z};
    llm_gemm_t bias = {.M = P, .N = Z, .K = 1, .alpha = 1, .beta = 1, .lda = 1, .ldb = Z, .ldc = Z};
    gemm(self, self->z, x, params + cell->weight_ih, &product);
    gemm(self, self->z, self->ones, params + cell->bias_ih, &bias);
    gemm(self, self->z, self->ones, params + cell->bias_hh, &bias);
}

/* product[4H] = W_hh h, h in host memory. */
static void state_forward(const llm_lstm_t *self, const llm_encoder_cell_t *cell,
                          const float *params, const float *h)
{
    size_t H = self->H, Z = GATES * H;
    llm_gemm_t product = {
        .transpose_b = true, .M = 1, .N = Z, .K = H, .alpha = 1, .lda = H, .ldb = H, .ldc = Z};
    self->be->ops->upload(self->be, self->state, h, H * sizeof *h);
    gemm(self, self->row, self->state, params + cell->weight_hh, &product);
    self->be->ops->download(self->be, self->product, self->row, Z * sizeof *h);
}

/* One row: gates z are replaced by what they are after their functions. */
static void row_forward(const llm_lstm_t *self, float *z, const float *c_before, float *c, float *h)
{
    size_t H = self->H;
    for (size_t k = 0; k < H; k++) {
        double i = sigmoid((double)z[k]), f = sigmoid((double)z[H + k]);
        double g = llm_encoder_tanh((double)z[2 * H + k]), o = sigmoid((double)z[3 * H + k]);
        double cell = (c_before ? f * (double)c_before[k] : 0.0) + i * g;
        z[k] = (float)i;
        z[H + k] = (float)f;
        z[2 * H + k] = (float)g;
        z[3 * H + k] = (float)o;
        c[k] = (float)cell;
        h[k] = (float)(o * llm_encoder_tanh(cell));
    }
}

static void direction_forward(llm_lstm_t *self, uint32_t layer, int d, const float *params,
                              const float *x)
{
    const llm_encoder_cell_t *cell = &self->layout->cells[layer][d];
    trace_t *trace = &self->traces[layer][d];
    size_t P = self->P, H = self->H, Z = GATES * H, before = P;
    inputs_forward(self, cell, params, x);
    self->be->ops->download(self->be, trace->gates, self->z, P * Z * sizeof *trace->gates);
    for (size_t step = 0; step < P; step++) {
        size_t t = d ? P - 1 - step : step;
        float *z = trace->gates + t * Z;
        if (step > 0) {
            state_forward(self, cell, params, trace->h + before * H);
            for (size_t k = 0; k < Z; k++)
                z[k] += self->product[k];
        }
        row_forward(self, z, step ? trace->c + before * H : NULL, trace->c + t * H,
                    trace->h + t * H);
        before = t;
    }
}

/* Factors of what leaves a layer. */
static void draw_kept(llm_lstm_t *self, uint32_t layer, const fmq_rng_name_t *dropout)
{
    size_t n = self->P * 2 * self->H;
    float p = layer + 1 < self->layout->lstm_layers && dropout ? self->layout->spec.dropout : 0.0f;
    for (size_t i = 0; i < n; i++)
        self->kept[layer][i] = 1.0f;
    if (!(p > 0.0f))
        return;
    fmq_rng_t rng;
    fmq_rng_name_t name = *dropout;
    name.seed -= GOLDEN_RATIO_64 * ((uint64_t)layer + 1); /* modules of the model go upwards */
    fmq_rng_init(&rng, &name);
    for (size_t i = 0; i < n; i++)
        self->kept[layer][i] = fmq_rng_uniform(&rng) < (double)p ? 0.0f : 1.0f / (1.0f - p);
}

/* Both directions side by side, dropped, to the backend. */
static void leave_layer(llm_lstm_t *self, uint32_t layer, float *to)
{
    size_t P = self->P, H = self->H;
    for (size_t t = 0; t < P; t++)
        for (int d = 0; d < DIRECTIONS; d++)
            for (size_t k = 0; k < H; k++) {
                size_t at = (2 * t + (size_t)d) * H + k;
                self->mixed[at] = self->kept[layer][at] * self->traces[layer][d].h[t * H + k];
            }
    self->be->ops->upload(self->be, to, self->mixed, P * 2 * H * sizeof *to);
}

const float *llm_lstm_forward(llm_lstm_t *self, const float *params, const float *x,
                              const fmq_rng_name_t *dropout)
{
    uint32_t layers = self->layout->lstm_layers;
    for (uint32_t layer = 0; layer < layers; layer++) {
        for (int d = 0; d < DIRECTIONS; d++)
            direction_forward(self, layer, d, params, x);
        draw_kept(self, layer, dropout);
        float *to = layer + 1 < layers ? self->inputs[layer + 1] : self->out;
        leave_layer(self, layer, to);
        x = to;
    }
    return self->out;
}

/* One row: dz from dh, which is carried's first half with what comes from above,
 * and dc, its second; dc becomes that of the row before. */
static void row_backward(const llm_lstm_t *self, const trace_t *trace, size_t t,
                         const float *c_before, float *dz)
{
    size_t H = self->H;
    const float *gates = trace->gates + t * GATES * H;
    for (size_t k = 0; k < H; k++) {
        double i = (double)gates[k], f = (double)gates[H + k];
        double g = (double)gates[2 * H + k], o = (double)gates[3 * H + k];
        double dh = (double)self->carried[k], bent = llm_encoder_tanh((double)trace->c[t * H + k]);
        double dc = (double)self->carried[H + k] + dh * o * (1.0 - bent * bent);
        dz[k] = (float)(dc * g * i * (1.0 - i));
        dz[H + k] = (float)(c_before ? dc * (double)c_before[k] * f * (1.0 - f) : 0.0);
        dz[2 * H + k] = (float)(dc * i * (1.0 - g * g));
        dz[3 * H + k] = (float)(dh * bent * o * (1.0 - o));
        self->carried[H + k] = (float)(dc * f);
    }
}

/* dh of the row before: W_hh' dz. */
static void carry(llm_lstm_t *self, const llm_encoder_cell_t *cell, const float *params,
                  const float *dz)
{
    size_t H = self->H, Z = GATES * H;
    llm_gemm_t product = {.M = 1, .N = H, .K = Z, .alpha = 1, .lda = Z, .ldb = H, .ldc = H};
    self->be->ops->upload(self->be, self->row, dz, Z * sizeof *dz);
    gemm(self, self->state, self->row, params + cell->weight_hh, &product);
    self->be->ops->download(self->be, self->carried, self->state, H * sizeof *dz);
}

/* Weights' gradients and dx += dz W_ih, of all rows' dz and earlier states. */
static void inputs_backward(const llm_lstm_t *self, const llm_encoder_cell_t *cell,
                            const float *params, const float *x, float *grads, float *dx)
{
    size_t P = self->P, H = self->H, Z = GATES * H, in = cell->in;
    llm_gemm_t weights = {.transpose_a = true,
                          .M = Z,
                          .N = in,
                          .K = P,
                          .alpha = 1,
                          .beta = 1,
                          .lda = Z,
                          .ldb = in,
                          .ldc = in};
    llm_gemm_t states = weights;
    states.N = states.ldb = states.ldc = H;
    llm_gemm_t bias = {.M = 1, .N = Z, .K = P, .alpha = 1, .beta = 1, .lda = P, .ldb = Z, .ldc = Z};
    llm_gemm_t input = {
        .M = P, .N = in, .K = Z, .alpha = 1, .beta = 1, .lda = Z, .ldb = in, .ldc = in};
    gemm(self, grads + cell->weight_ih, self->z, x, &weights);
    gemm(self, grads + cell->weight_hh, self->z, self->before, &states);
    gemm(self, grads + cell->bias_ih, self->ones, self->z, &bias);
    gemm(self, grads + cell->bias_hh, self->ones, self->z, &bias);
    gemm(self, dx, self->z, params + cell->weight_ih, &input);
}

/* self->mixed holds the gradient of what both directions of the layer give. */
static void direction_backward(llm_lstm_t *self, uint32_t layer, int d, const float *params)
{
    const llm_encoder_cell_t *cell = &self->layout->cells[layer][d];
    const trace_t *trace = &self->traces[layer][d];
    size_t P = self->P, H = self->H, Z = GATES * H;
    memset(self->carried, 0, 2 * H * sizeof *self->carried);
    for (size_t step = P; step-- > 0;) {
        size_t t = d ? P - 1 - step : step, before = d ? t + 1 : t - 1;
        float *dz = self->gates + t * Z;
        for (size_t k = 0; k < H; k++)
            self->carried[k] += self->mixed[(2 * t + (size_t)d) * H + k];
        row_backward(self, trace, t, step ? trace->c + before * H : NULL, dz);
        if (step > 0)
            carry(self, cell, params, dz);
    }
    self->be->ops->upload(self->be, self->z, self->gates, P * Z * sizeof *self->gates);
}

/* The states that rows of a direction begin from, to the backend: those of their
 * neighbours, and zeros. */
static void upload_before(llm_lstm_t *self, const trace_t *trace, int d)
{
    llm_backend_t *be = self->be;
    size_t row = self->H * sizeof *trace->h, rest = (self->P - 1) * self->H;
    be->ops->zero(be, self->before + (d ? rest : 0), row);
    if (rest)
        be->ops->upload(be, self->before + (d ? 0 : self->H), trace->h + (d ? self->H : 0),
                        rest * sizeof *trace->h);
}

void llm_lstm_backward(llm_lstm_t *self, const float *params, const float *x, const float *dout,
                       float *grads, float *dx)
{
    llm_backend_t *be = self->be;
    size_t n = self->P * 2 * self->H;
    for (uint32_t layer = self->layout->lstm_layers; layer-- > 0;) {
        be->ops->download(be, self->mixed, dout, n * sizeof *dout);
        for (size_t i = 0; i < n; i++)
            self->mixed[i] *= self->kept[layer][i];
        if (layer)
            be->ops->zero(be, self->dlayer, n * sizeof *dout);
        for (int d = 0; d < DIRECTIONS; d++) {
            direction_backward(self, layer, d, params);
            upload_before(self, &self->traces[layer][d], d);
            inputs_backward(self, &self->layout->cells[layer][d], params,
                            layer ? self->inputs[layer] : x, grads, layer ? self->dlayer : dx);
        }
        dout = self->dlayer;
    }
}
