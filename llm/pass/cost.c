/*
 * cost.c - what a model costs to hold and a step costs to run, counted from
 * shapes.  Runs and measures nothing.
 *
 * With T tokens in sequences of S, P of them supervised, a multiply-add being
 * 2 FLOPs:
 *   a module W[out][in]     forward 2 T out in; the same for dx, and for dW
 *   LoRA of rank r on it    forward 2 T r (in + out); backward twice as much,
 *                           less 2 T r in where dx is not needed
 *   attention               a token sees (S + 1) / 2 keys on average, and a key
 *                           costs q k and p v, 2 D each, in each of H heads:
 *                           forward 2 T H D (S + 1); backward has five such
 *                           products instead of two (q k again, dp, dq, dk, dv)
 *   head                    2 P V C; the same for dx, and for dW
 * Backward runs from the head to the lowest module that trains, as layer.c.
 */
#include "fedmq/llm/offsite.h"

#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"
#include "llm/pass/decoder.h"
#include "llm/weights/source.h"

#define ATTENTION_BACKWARD 2.5 /* of forward */

typedef struct {
    llm_shape_t shape; /* with this layer's channels */
    const llm_adapter_t *adapter;
    uint32_t layer;
    double tokens, length;
    llm_stage_t stop; /* LLM_STAGES: backward goes all through the layer */
} layer_t;

static double product(const layer_t *self, llm_module_t module)
{
    size_t out = 0, in = 0;
    llm_shape_module(&self->shape, module, &out, &in);
    return 2.0 * self->tokens * (double)out * (double)in;
}

/* x A^T, or h B^T. */
static void lora_products(const layer_t *self, llm_module_t module, double *a, double *b)
{
    size_t out = 0, in = 0;
    *a = *b = 0.0;
    llm_shape_module(&self->shape, module, &out, &in);
    double rank = (double)llm_adapter_slot(self->adapter, self->layer, module)->rank;
    *a = 2.0 * self->tokens * rank * (double)in;
    *b = 2.0 * self->tokens * rank * (double)out;
}

static double attention(const layer_t *self)
{
    return 2.0 * self->tokens * (double)self->shape.heads * (double)self->shape.head_width *
           (self->length + 1.0);
}

static double layer_forward(const layer_t *self)
{
    double sum = attention(self);
    for (int m = 0; m < LLM_MODULES; m++) {
        if (!self->shape.arch->modules[m])
            continue;
        double a, b;
        lora_products(self, (llm_module_t)m, &a, &b);
        sum += product(self, (llm_module_t)m) + a + b;
    }
    return sum;
}

static double layer_backward(const layer_t *self)
{
    bool through = self->stop == LLM_STAGES;
    double sum =
        through || self->stop == LLM_STAGE_QKV ? ATTENTION_BACKWARD * attention(self) : 0.0;
    for (int m = 0; m < LLM_MODULES; m++) {
        llm_module_t module = (llm_module_t)m;
        llm_stage_t stage = llm_module_stage(module);
        if (!self->shape.arch->modules[m] || (!through && stage < self->stop))
            continue;
        bool dx = through || stage > self->stop;
        double a, b, w = product(self, module);
        lora_products(self, module, &a, &b);
        sum += 2.0 * b + a + (dx ? w + a : 0.0);
        if (llm_adapter_slot(self->adapter, self->layer, module)->whole)
            sum += w;
    }
    return sum;
}

static layer_t layer_of(const llm_shape_t *shape, const uint32_t *ffn, const llm_adapter_t *adapter,
                        const llm_cost_batch_t *batch, uint32_t layer)
{
    layer_t self = {.shape = *shape,
                    .adapter = adapter,
                    .layer = layer,
                    .tokens = (double)batch->tokens,
                    .length = (double)batch->length,
                    .stop = LLM_STAGES};
    if (ffn)
        self.shape.ffn = ffn[layer];
    if (layer == adapter->first_layer)
        self.stop = adapter->first_stage;
    return self;
}

/* Of one layer more or less: those of the shape with and without it. */
static uint64_t layer_parameters(llm_shape_t shape, uint32_t ffn)
{
    shape.ffn = ffn;
    shape.layers = 1;
    uint64_t with = llm_shape_parameters(&shape);
    shape.layers = 0;
    return with - llm_shape_parameters(&shape);
}

void llm_cost_of_shape(const llm_shape_t *shape, const uint32_t *ffn, const llm_adapter_t *adapter,
                       const llm_cost_batch_t *batch, llm_cost_t *out)
{
    llm_shape_t stem = *shape;
    stem.layers = 0;
    double head = 2.0 * (double)batch->supervised * (double)shape->vocab * (double)shape->width;
    memset(out, 0, sizeof *out);
    out->parameters = llm_shape_parameters(&stem);
    out->trained = fmq_schema_elements(adapter->schema);
    out->forward = head;
    if (adapter->size)
        out->backward = adapter->trains_head ? 2.0 * head : head;
    for (uint32_t l = 0; l < shape->layers; l++) {
        layer_t layer = layer_of(shape, ffn, adapter, batch, l);
        double forward = layer_forward(&layer);
        out->parameters += layer_parameters(*shape, layer.shape.ffn);
        out->forward += forward;
        if (l < adapter->first_layer)
            out->prefix += forward;
        else
            out->backward += layer_backward(&layer);
    }
}

int llm_cost(const llm_model_t *model, const llm_adapter_t *adapter, const llm_cost_batch_t *batch,
             llm_cost_t *out, fmq_error_t *err)
{
    const llm_shape_t *shape = &model->shape;
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->parameters.size; i++) {
        uint64_t one = 0;
        if (llm_source_bytes(model, i, &one, err) < 0)
            return -1;
        bytes += one;
    }
    uint32_t *ffn = calloc(shape->layers, sizeof *ffn);
    if (!ffn)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of %u layers",
                             shape->layers);
    for (uint32_t l = 0; l < shape->layers; l++)
        ffn[l] = model->parts[l].ffn;
    llm_cost_of_shape(shape, ffn, adapter, batch, out);
    out->weight_bytes = bytes;
    free(ffn);
    return 0;
}
