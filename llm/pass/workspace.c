/*
 * workspace.c - the public passes: check the batch, upload it, run the parts of
 * pass.h over it.  Does no arithmetic of its own.
 */
#include "fedmq/llm/workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "llm/pass/batch.h"
#include "llm/pass/parts.h"
#include "llm/pass/workspace_private.h"

static float *vector_new(llm_backend_t *be, uint64_t elements, fmq_error_t *err)
{
    if (elements > SIZE_MAX / sizeof(float)) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "%llu trainable elements are beyond this machine",
                      (unsigned long long)elements);
        return NULL;
    }
    float *vector = be->ops->alloc(be, (size_t)elements * sizeof(float));
    if (!vector) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %llu trainable elements",
                      (unsigned long long)elements);
        return NULL;
    }
    be->ops->zero(be, vector, (size_t)elements * sizeof(float));
    return vector;
}

static int vectors_new(llm_workspace_t *self, bool training, fmq_error_t *err)
{
    if (!self->elements)
        return 0;
    self->params = vector_new(self->be, self->elements, err);
    if (!self->params)
        return -1;
    if (training)
        self->grads = vector_new(self->be, self->elements, err);
    return training && !self->grads ? -1 : 0;
}

static int host_new(llm_workspace_t *self, fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    self->positions_host = malloc(plan->tokens_max * sizeof *self->positions_host);
    self->losses_host = malloc(plan->tokens_max * sizeof *self->losses_host);
    if (!self->positions_host || !self->losses_host)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a workspace");
    return llm_spread_init(&self->spread, llm_virtual_count(&self->pass.virtual_tokens),
                           plan->tokens_max, err);
}

static int virtual_new(llm_workspace_t *self, fmq_error_t *err)
{
    llm_virtual_t *tokens = &self->pass.virtual_tokens;
    if (llm_virtual_init(tokens, self->adapter, self->be, self->limits.training, err) < 0)
        return -1;
    llm_virtual_bind(tokens, self->params, self->grads);
    return 0;
}

/* Positions that limits ask for, as a plan counts them. */
static size_t supervised_in(const llm_limits_t *limits)
{
    size_t most = limits->supervised_max;
    return most && most < limits->tokens_max ? most : limits->tokens_max;
}

/* The limits of what passes run over: with virtual tokens in front of sequences. */
static llm_limits_t limits_of_rows(const llm_workspace_t *self, const llm_limits_t *limits)
{
    llm_limits_t rows = *limits;
    rows.supervised_max = supervised_in(limits);
    rows.tokens_max = llm_spread_tokens(llm_virtual_count(&self->pass.virtual_tokens),
                                        limits->tokens_max, limits->sequences_max);
    return rows;
}

llm_workspace_t *llm_workspace_new_stack(const llm_stack_t *stack, const llm_limits_t *limits,
                                         llm_backend_t *be, fmq_error_t *err)
{
    llm_workspace_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a workspace");
        return NULL;
    }
    self->be = be;
    self->stack = *stack;
    self->limits = *limits;
    self->adapter = stack->adapter;
    self->elements = fmq_schema_elements(llm_adapter_schema(stack->adapter));
    if (llm_decoder_init(&self->pass.decoder, stack, be, err) < 0 ||
        vectors_new(self, limits->training, err) < 0 ||
        llm_fixed_init(&self->fixed, stack->fixed, be, err) < 0)
        goto fail;
    llm_vectors_t vectors = {
        .params = self->params, .grads = self->grads, .fixed = self->fixed.vector};
    llm_decoder_bind(&self->pass.decoder, stack, &vectors);
    if (virtual_new(self, err) < 0)
        goto fail;
    llm_limits_t rows = limits_of_rows(self, limits);
    if (llm_plan_init(&self->pass.plan, &self->pass.decoder, &rows, err) < 0 ||
        llm_pass_prepare(&self->pass, err) < 0 || host_new(self, err) < 0)
        goto fail;
    return self;
fail:
    llm_workspace_destroy(&self);
    return NULL;
}

llm_workspace_t *llm_workspace_new(const llm_model_t *model, const llm_adapter_t *adapter,
                                   const llm_limits_t *limits, llm_backend_t *be, fmq_error_t *err)
{
    llm_stack_t stack = {.model = model, .adapter = adapter};
    return llm_workspace_new_stack(&stack, limits, be, err);
}

void llm_workspace_destroy(llm_workspace_t **self_p)
{
    llm_workspace_t *self = *self_p;
    if (!self)
        return;
    llm_pass_release(&self->pass);
    llm_fixed_release(&self->fixed);
    if (self->params)
        self->be->ops->release(self->be, self->params);
    if (self->grads)
        self->be->ops->release(self->be, self->grads);
    llm_spread_release(&self->spread);
    free(self->positions_host);
    free(self->losses_host);
    free(self);
    *self_p = NULL;
}

/* The head adds up blocks of rows: who would cut it otherwise, or keep other
 * things, is not served. */
bool llm_workspace_serves(const llm_workspace_t *self, const llm_stack_t *stack,
                          const llm_limits_t *limits)
{
    const llm_plan_t *plan = &self->pass.plan;
    size_t supervised = supervised_in(limits);
    return self->stack.model == stack->model && self->stack.adapter == stack->adapter &&
           self->stack.fixed == stack->fixed && self->limits.training == limits->training &&
           self->limits.behind == limits->behind &&
           self->limits.bytes_wanted == limits->bytes_wanted &&
           self->limits.recompute == limits->recompute && self->limits.sharers == limits->sharers &&
           limits_of_rows(self, limits).tokens_max <= plan->tokens_max &&
           supervised <= plan->supervised_max && supervised >= plan->block_rows;
}

void llm_workspace_strip(llm_workspace_t *self)
{
    llm_pass_release(&self->pass);
    self->pass = (llm_pass_t){0};
    llm_fixed_release(&self->fixed);
    if (self->grads)
        self->be->ops->release(self->be, self->grads);
    self->grads = NULL;
}

size_t llm_workspace_bytes(const llm_workspace_t *self)
{
    size_t vectors = (self->params ? 1u : 0u) + (self->grads ? 1u : 0u);
    return self->pass.plan.arena_bytes + self->pass.decoder.own_bytes +
           llm_virtual_bytes(&self->pass.virtual_tokens) +
           vectors * (size_t)self->elements * sizeof(float) + llm_fixed_bytes(&self->fixed);
}

llm_recompute_t llm_workspace_recomputes(const llm_workspace_t *self, size_t *spared)
{
    const llm_plan_t *plan = &self->pass.plan;
    *spared = plan->bytes_kept > plan->arena_bytes ? plan->bytes_kept - plan->arena_bytes : 0;
    return plan->recompute;
}

llm_backend_t *llm_workspace_backend(const llm_workspace_t *self)
{
    return self->be;
}

const llm_adapter_t *llm_workspace_adapter(const llm_workspace_t *self)
{
    return self->adapter;
}

float *llm_workspace_params(llm_workspace_t *self)
{
    return self->params;
}

float *llm_workspace_grads(llm_workspace_t *self)
{
    return self->grads;
}

uint64_t llm_workspace_elements(const llm_workspace_t *self)
{
    return self->elements;
}

int llm_workspace_set_params(llm_workspace_t *self, const float *host, fmq_error_t *err)
{
    if (!self->elements)
        return 0;
    if (!host)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "no vector is given for %llu elements",
                             (unsigned long long)self->elements);
    self->be->ops->upload(self->be, self->params, host, (size_t)self->elements * sizeof *host);
    return 0;
}

int llm_workspace_set_range(llm_workspace_t *self, uint64_t first, uint64_t count,
                            const float *host, fmq_error_t *err)
{
    if (count > self->elements || first > self->elements - count)
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "%llu elements from %llu on: there are %llu",
                             (unsigned long long)count, (unsigned long long)first,
                             (unsigned long long)self->elements);
    if (count > 0)
        self->be->ops->upload(self->be, self->params + first, host, (size_t)count * sizeof *host);
    return 0;
}

int llm_workspace_set_fixed(llm_workspace_t *self, const float *host, fmq_error_t *err)
{
    return llm_fixed_set(&self->fixed, host, err);
}

void llm_workspace_get_params(const llm_workspace_t *self, float *host)
{
    if (self->elements)
        self->be->ops->download(self->be, host, self->params,
                                (size_t)self->elements * sizeof *host);
}

int llm_workspace_take_tokens(llm_workspace_t *self, const llm_batch_t *batch, llm_packed_t *packed,
                              fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    const llm_shape_t *shape = self->pass.decoder.shape;
    llm_batch_t spread;
    if (llm_fixed_check(&self->fixed, err) < 0 ||
        llm_batch_check_tokens(batch, shape, plan->tokens_max, err) < 0 ||
        llm_spread_batch(&self->spread, batch, llm_shape_reach(shape), &spread, err) < 0)
        return -1;
    llm_decoder_prepare(&self->pass.decoder);
    *packed = llm_pass_pack(&self->pass, spread.sequences, spread.starts);
    packed->first_row = spread.first_row;
    llm_batch_positions(&spread, self->positions_host);
    size_t bytes = packed->tokens * sizeof(int32_t);
    self->be->ops->upload(self->be, plan->ids, spread.ids, bytes);
    self->be->ops->upload(self->be, plan->positions, self->positions_host, bytes);
    return 0;
}

static int take_batch(llm_workspace_t *self, const llm_batch_t *batch, llm_packed_t *packed,
                      fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    if (llm_workspace_take_tokens(self, batch, packed, err) < 0 ||
        llm_batch_check_targets(batch, self->pass.decoder.shape, plan->supervised_max, err) < 0)
        return -1;
    size_t bytes = batch->supervised * sizeof(int32_t);
    if (!bytes)
        return 0;
    self->be->ops->upload(self->be, plan->rows, llm_spread_rows(&self->spread, batch), bytes);
    self->be->ops->upload(self->be, plan->targets, batch->targets, bytes);
    return 0;
}

size_t llm_workspace_prefix_bytes(const llm_workspace_t *self)
{
    return self->pass.decoder.first_layer ? llm_act_bytes(self->be, self->pass.decoder.shape->width)
                                          : 0;
}

static void run_layers(llm_workspace_t *self, const llm_packed_t *packed, uint32_t from,
                       uint32_t to)
{
    for (uint32_t l = from; l < to; l++) {
        llm_layer_project(&self->pass, l, packed);
        llm_layer_attend(&self->pass, l, packed);
        llm_layer_finish(&self->pass, l, packed);
    }
}

/* The frozen layers' part of the forward pass, or what was kept of it. */
static void run_prefix(llm_workspace_t *self, const llm_batch_t *batch, const llm_packed_t *packed)
{
    uint32_t first = self->pass.decoder.first_layer;
    llm_act_t *stream = first ? self->pass.plan.layers[first - 1].x_out : NULL;
    size_t bytes = llm_act_bytes(self->be, packed->tokens * self->pass.decoder.shape->width);
    if (stream && batch->prefix) {
        self->be->ops->upload(self->be, stream, batch->prefix, bytes);
        return;
    }
    llm_virtual_begin(&self->pass.virtual_tokens, packed->dropout);
    llm_embed_forward(&self->pass, packed);
    run_layers(self, packed, 0, first);
    if (stream && batch->prefix_out)
        self->be->ops->download(self->be, batch->prefix_out, stream, bytes);
}

int llm_workspace_prefix(llm_workspace_t *self, const llm_batch_t *batch, void *out,
                         fmq_error_t *err)
{
    llm_packed_t packed;
    llm_batch_t computed = *batch;
    computed.prefix = NULL;
    computed.prefix_out = out;
    if (llm_workspace_take_tokens(self, batch, &packed, err) < 0)
        return -1;
    if (llm_workspace_prefix_bytes(self))
        run_prefix(self, &computed, &packed);
    return self->be->ops->synchronize(self->be, err);
}

static void forward(llm_workspace_t *self, const llm_batch_t *batch, const llm_packed_t *packed)
{
    run_prefix(self, batch, packed);
    run_layers(self, packed, self->pass.decoder.first_layer, self->pass.decoder.shape->layers);
}

int llm_workspace_loss(llm_workspace_t *self, const llm_batch_t *batch, double *loss_sum,
                       fmq_error_t *err)
{
    llm_packed_t packed;
    if (take_batch(self, batch, &packed, err) < 0)
        return -1;
    forward(self, batch, &packed);
    double sum = llm_head_loss(&self->pass, &packed, batch->supervised, &(llm_cross_entropy_t){0},
                               self->losses_host);
    if (self->be->ops->synchronize(self->be, err) < 0)
        return -1;
    *loss_sum = sum;
    return 0;
}

static void backward(llm_workspace_t *self, const llm_packed_t *packed)
{
    llm_virtual_zero_gradient(&self->pass.virtual_tokens);
    for (uint32_t l = self->pass.decoder.shape->layers; l-- > self->pass.decoder.first_layer;)
        llm_layer_backward(&self->pass, l, packed);
    llm_embed_backward(&self->pass, packed);
    llm_decoder_collect(&self->pass.decoder);
    llm_virtual_end(&self->pass.virtual_tokens);
}

static int check_backward(const llm_workspace_t *self, fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    if (self->elements && !self->grads)
        return fmq_error_set(err, FMQ_ERR_INTERNAL, "the workspace was not planned for training");
    if (plan->training && plan->behind < self->pass.decoder.shape->layers)
        return fmq_error_set(err, FMQ_ERR_INTERNAL,
                             "the workspace was planned for backward passes through layers below "
                             "%u only",
                             plan->behind);
    return 0;
}

int llm_workspace_train(llm_workspace_t *self, const llm_batch_t *batch, float scale,
                        const fmq_rng_name_t *dropout, double *loss_sum, fmq_error_t *err)
{
    const llm_train_pass_t pass = {.scale = scale, .dropout = dropout};
    return llm_workspace_train_when(self, batch, &pass, loss_sum, err);
}

int llm_workspace_train_when(llm_workspace_t *self, const llm_batch_t *batch,
                             const llm_train_pass_t *pass, double *loss_sum, fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    llm_packed_t packed;
    if (check_backward(self, err) < 0 || take_batch(self, batch, &packed, err) < 0)
        return -1;
    packed.dropout = pass->dropout;
    forward(self, batch, &packed);
    bool learns = plan->training && batch->supervised > 0 && pass->scale != 0.0f;
    if (learns)
        self->be->ops->zero(
            self->be, plan->dx,
            llm_act_bytes(self->be, packed.tokens * self->pass.decoder.shape->width));
    const llm_cross_entropy_t how = {.scale = learns ? pass->scale : 0.0f,
                                     .smoothing = pass->smoothing};
    double sum = llm_head_loss(&self->pass, &packed, batch->supervised, &how, self->losses_host);
    bool goes_on = pass->agree ? pass->agree(pass->argument, sum) : isfinite(sum);
    if (learns && goes_on)
        backward(self, &packed);
    if (self->be->ops->synchronize(self->be, err) < 0)
        return -1;
    *loss_sum = sum;
    return 0;
}

const float *llm_workspace_losses(const llm_workspace_t *self)
{
    return self->losses_host;
}

static int check_rows(const int32_t *rows, size_t count, size_t tokens, fmq_error_t *err)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i] < 0 || (size_t)rows[i] >= tokens)
            return fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "logits are asked for row %d of a batch of %zu tokens", rows[i],
                                 tokens);
    }
    return 0;
}

int llm_workspace_logits(llm_workspace_t *self, const llm_batch_t *batch, const int32_t *rows,
                         size_t count, float *out, fmq_error_t *err)
{
    const llm_plan_t *plan = &self->pass.plan;
    size_t vocab = self->pass.decoder.shape->vocab;
    llm_packed_t packed;
    if (llm_workspace_take_tokens(self, batch, &packed, err) < 0 ||
        check_rows(rows, count, batch->starts[batch->sequences], err) < 0)
        return -1;
    forward(self, batch, &packed);
    for (size_t first = 0; first < count; first += plan->block_rows) {
        size_t part = count - first < plan->block_rows ? count - first : plan->block_rows;
        for (size_t i = 0; i < part; i++)
            self->positions_host[i] = llm_spread_row(&self->spread, batch, rows[first + i]);
        self->be->ops->upload(self->be, plan->rows, self->positions_host, part * sizeof *rows);
        llm_head_logits(&self->pass, &packed, 0, part);
        llm_act_download(self->be, out + first * vocab, plan->logits, part * vocab);
    }
    return self->be->ops->synchronize(self->be, err);
}
