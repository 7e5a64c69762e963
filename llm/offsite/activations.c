/*
 * activations.c - runs public examples through the frozen layers, one at a
 * time, and has the squares of what each MLP channel gives added up.
 */
#include "llm/offsite/activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "llm/pass/batch.h"
#include "llm/pass/pass.h"

typedef struct {
    const llm_loudness_t *how;
    const llm_shape_t *shape;
    llm_adapter_t *none; /* owned: nothing trains */
    llm_pass_t pass;
    int32_t *positions; /* owned, [tokens_max] */
    double *squares;    /* owned, [r - l][ffn] */
    uint64_t tokens;    /* added up so far */
} listener_t;

static void listener_release(listener_t *self)
{
    llm_pass_release(&self->pass);
    llm_adapter_destroy(&self->none);
    free(self->positions);
    free(self->squares);
}

static int listener_init(listener_t *self, const llm_loudness_t *how, fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    self->how = how;
    self->shape = llm_model_shape(how->model);
    size_t tokens = llm_dataset_longest(how->data), channels = self->shape->ffn;
    llm_adapter_spec_t nothing = {.kind = LLM_ADAPTER_NONE};
    self->none = llm_adapter_new(self->shape, &nothing, err);
    if (!self->none)
        return -1;
    llm_stack_t stack = {.model = how->model, .adapter = self->none};
    llm_limits_t limits = {.tokens_max = tokens, .supervised_max = 1};
    llm_vectors_t vectors = {0};
    if (llm_decoder_init(&self->pass.decoder, &stack, how->be, err) < 0)
        return -1;
    llm_decoder_bind(&self->pass.decoder, &stack, &vectors);
    if (llm_plan_init(&self->pass.plan, &self->pass.decoder, &limits, err) < 0 ||
        llm_pass_prepare(&self->pass, err) < 0)
        return -1;
    self->positions = malloc(tokens * sizeof *self->positions);
    self->squares = calloc((size_t)(how->r - how->l) * channels, sizeof *self->squares);
    if (!self->positions || !self->squares)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the activations of channels");
    return 0;
}

/* Adds the layer's last activations. */
static void add_layer(listener_t *self, uint32_t layer, size_t tokens)
{
    llm_backend_t *be = self->how->be;
    size_t channels = self->shape->ffn;
    double *squares = self->squares + (size_t)(layer - self->how->l) * channels;
    be->ops->column_sum_squares(be, squares, self->pass.plan.layers[layer].act, tokens, channels);
}

static int listen(listener_t *self, llm_example_t example, fmq_error_t *err)
{
    const uint32_t starts[] = {0, example.size};
    llm_batch_t batch = {.sequences = 1, .starts = starts, .ids = example.ids};
    const llm_plan_t *plan = &self->pass.plan;
    llm_backend_t *be = self->how->be;
    if (llm_batch_check_tokens(&batch, self->shape, plan->tokens_max, err) < 0)
        return -1;
    llm_packed_t packed = llm_pass_pack(&self->pass, 1, starts);
    llm_batch_positions(&batch, self->positions);
    be->ops->upload(be, plan->ids, batch.ids, packed.tokens * sizeof(int32_t));
    be->ops->upload(be, plan->positions, self->positions, packed.tokens * sizeof(int32_t));
    llm_embed_forward(&self->pass, &packed);
    for (uint32_t layer = 0; layer < self->how->r; layer++) {
        llm_layer_project(&self->pass, layer, &packed);
        llm_layer_attend(&self->pass, layer, &packed);
        llm_layer_finish(&self->pass, layer, &packed);
        if (layer >= self->how->l)
            add_layer(self, layer, packed.tokens);
    }
    self->tokens += packed.tokens;
    return 0;
}

/* Which examples to look at: the first of an order of the seed's. */
static uint32_t *order_new(const llm_loudness_t *how, size_t size, fmq_error_t *err)
{
    uint32_t *order = malloc(size * sizeof *order);
    if (!order) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an order of %zu examples", size);
        return NULL;
    }
    for (size_t i = 0; i < size; i++)
        order[i] = (uint32_t)i;
    fmq_rng_t rng;
    fmq_rng_name_t name = {.seed = how->seed, .purpose = FMQ_RNG_ALIGN, .round = UINT32_MAX};
    fmq_rng_init(&rng, &name);
    fmq_rng_shuffle(&rng, order, size);
    return order;
}

static int listen_to_all(listener_t *self, fmq_error_t *err)
{
    size_t size = llm_dataset_size(self->how->data);
    uint32_t *order = order_new(self->how, size, err);
    int rc = order ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < size && i < LLM_LOUDNESS_EXAMPLES; i++)
        rc = listen(self, llm_dataset_at(self->how->data, order[i]), err);
    free(order);
    llm_backend_t *be = self->how->be;
    return rc == 0 ? be->ops->synchronize(be, err) : rc;
}

float *llm_loudness_new(const llm_loudness_t *how, fmq_error_t *err)
{
    listener_t listener;
    size_t count = (size_t)(how->r - how->l) * llm_model_shape(how->model)->ffn;
    float *out = malloc(count * sizeof *out);
    int rc = out ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %zu channels", count);
    if (rc == 0) {
        rc = listener_init(&listener, how, err);
        if (rc == 0)
            rc = listen_to_all(&listener, err);
        for (size_t c = 0; rc == 0 && c < count; c++)
            out[c] = (float)sqrt(listener.squares[c] / (double)listener.tokens);
        listener_release(&listener);
    }
    if (rc < 0) {
        free(out);
        return NULL;
    }
    return out;
}
