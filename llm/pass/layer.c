/*
 * layer.c - one decoder layer, forward and backward, for every family: the
 * shape's row says which norm, positions, projections and MLP it has.
 *
 *   x_mid = x_in  + O(attention(QKV(norm(x_in))))
 *   x_out = x_mid + DOWN(activation(UP(norm(x_mid))))
 */
#include "llm/pass/pass.h"

#include <math.h>

/* Everything a part of a layer needs, gathered once. */
typedef struct {
    const llm_pass_t *pass;
    const llm_shape_t *shape;
    const llm_bound_layer_t *bound;
    const llm_activations_t *at;
    llm_backend_t *be;
    llm_linear_run_t run;
    uint32_t layer;
    size_t T, C;
    size_t F; /* MLP channels of this layer */
    size_t qkv_width;
} part_t;

static part_t part_of(const llm_pass_t *pass, uint32_t layer, const llm_packed_t *batch)
{
    const llm_shape_t *shape = pass->decoder.shape;
    return (part_t){.pass = pass,
                    .shape = shape,
                    .bound = &pass->decoder.layers[layer],
                    .at = &pass->plan.layers[layer],
                    .be = pass->decoder.be,
                    .run = {.be = pass->decoder.be,
                            .rows = batch->tokens,
                            .first_row = batch->first_row,
                            .dropout = batch->dropout,
                            .dh = pass->plan.dh},
                    .layer = layer,
                    .T = batch->tokens,
                    .C = shape->width,
                    .F = pass->decoder.layers[layer].linear[LLM_UP].out,
                    .qkv_width = llm_plan_qkv_width(shape)};
}

static void forward(const part_t *part, llm_module_t module, llm_act_t *y, size_t y_stride,
                    const llm_act_t *x)
{
    llm_linear_forward(&part->run, &part->bound->linear[module], y, y_stride, x,
                       &part->at->lora[module]);
}

static void backward(const part_t *part, llm_module_t module, llm_act_t *dx, const llm_act_t *dy,
                     const llm_act_t *x)
{
    const llm_bound_linear_t *linear = &part->bound->linear[module];
    llm_linear_backward(&part->run, linear, dx, false, dy, linear->out, x, &part->at->lora[module]);
}

/* Where queries, keys and values of a token begin within its row. */
static size_t key_offset(const llm_shape_t *shape)
{
    return llm_plan_query_width(shape);
}

static size_t value_offset(const llm_shape_t *shape)
{
    return key_offset(shape) + (size_t)shape->kv_heads * shape->head_width;
}

/* The part of a token's row that begins there. */
static llm_act_t *within(const part_t *part, llm_act_t *qkv, size_t offset)
{
    return llm_act_at(part->be, qkv, offset);
}

/* Queries and keys lie side by side: one call turns both. */
static void rotate(const part_t *part, llm_act_t *qkv, bool inverse)
{
    const llm_shape_t *shape = part->shape;
    const llm_plan_t *plan = &part->pass->plan;
    if (shape->arch->positions != LLM_POSITIONS_ROPE)
        return;
    const llm_rope_t how = {.T = part->T,
                            .heads = (size_t)shape->heads + shape->kv_heads,
                            .D = shape->head_width,
                            .stride = part->qkv_width,
                            .rotary = shape->head_width};
    part->be->ops->rope(part->be, qkv, plan->positions, plan->rope, &how, inverse);
}

void llm_layer_project(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    part_t part = part_of(self, layer, batch);
    const llm_activations_t *at = part.at;
    llm_norm_forward(self, &part.bound->norm_attention, at->n_attention, at->stats_attention,
                     at->x_in, part.T);
    if (part.shape->arch->modules[LLM_QKV]) {
        forward(&part, LLM_QKV, at->qkv, part.qkv_width, at->n_attention);
    } else {
        forward(&part, LLM_Q, at->qkv, part.qkv_width, at->n_attention);
        forward(&part, LLM_K, within(&part, at->qkv, key_offset(part.shape)), part.qkv_width,
                at->n_attention);
        forward(&part, LLM_V, within(&part, at->qkv, value_offset(part.shape)), part.qkv_width,
                at->n_attention);
    }
    rotate(&part, at->qkv, false);
    llm_virtual_batch_t sequences = llm_packed_sequences(batch);
    llm_virtual_attend(&self->virtual_tokens, layer, within(&part, at->qkv, key_offset(part.shape)),
                       part.qkv_width, &sequences);
}

static llm_attention_t attention_of(const part_t *part, const llm_packed_t *batch)
{
    const llm_shape_t *shape = part->shape;
    return (llm_attention_t){.T = part->T,
                             .S = batch->sequences,
                             .starts = batch->starts,
                             .device_starts = part->pass->plan.starts,
                             .longest = batch->longest,
                             .H = shape->heads,
                             .KV = shape->kv_heads,
                             .D = shape->head_width,
                             .scale = 1.0f / sqrtf((float)shape->head_width),
                             .q_stride = part->qkv_width,
                             .k_stride = part->qkv_width,
                             .v_stride = part->qkv_width,
                             .out_stride = llm_plan_query_width(shape)};
}

void llm_layer_attend(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    part_t part = part_of(self, layer, batch);
    llm_attention_t attention = attention_of(&part, batch);
    llm_act_t *qkv = part.at->qkv;
    part.be->ops->attention_forward(
        part.be, part.at->att, part.at->lse, qkv, within(&part, qkv, key_offset(part.shape)),
        within(&part, qkv, value_offset(part.shape)), &attention, self->plan.attention_scratch);
}

static void activate(const part_t *part)
{
    const llm_activations_t *at = part->at;
    llm_activation_t kind = part->shape->activation;
    size_t n = part->T * part->F;
    if (part->shape->arch->gated)
        part->be->ops->glu_forward(part->be, at->act, at->gate, at->up, n, kind);
    else
        part->be->ops->activation_forward(part->be, at->act, at->up, n, kind);
}

void llm_layer_finish(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    part_t part = part_of(self, layer, batch);
    const llm_activations_t *at = part.at;
    size_t ffn = part.F, n = part.T * part.C;

    forward(&part, LLM_O, at->x_mid, part.C, at->att);
    part.be->ops->add_act(part.be, at->x_mid, at->x_in, n);

    llm_norm_forward(self, &part.bound->norm_mlp, at->n_mlp, at->stats_mlp, at->x_mid, part.T);
    if (at->gate)
        forward(&part, LLM_GATE, at->gate, ffn, at->n_mlp);
    forward(&part, LLM_UP, at->up, ffn, at->n_mlp);
    activate(&part);
    forward(&part, LLM_DOWN, at->x_out, part.C, at->act);
    part.be->ops->add_act(part.be, at->x_out, at->x_mid, n);
}

/* Turns the gradient of act (plan.dact) into those of gate and up, in the
 * memory of gate and up where there is a gate, else in plan.dpre. */
static const llm_act_t *activate_backward(const part_t *part)
{
    const llm_activations_t *at = part->at;
    const llm_plan_t *plan = &part->pass->plan;
    llm_activation_t kind = part->shape->activation;
    size_t n = part->T * part->F;
    if (at->gate) {
        part->be->ops->glu_backward(part->be, at->gate, at->up, plan->dact, at->gate, at->up, n,
                                    kind);
        return at->up;
    }
    part->be->ops->activation_backward(part->be, plan->dpre, plan->dact, at->up, n, kind);
    return plan->dpre;
}

/* Is the input of this stage needed, and was not kept? */
static bool makes_again(const part_t *part, llm_stage_t stage)
{
    return part->pass->plan.recompute == LLM_RECOMPUTE_NORMS &&
           llm_stage_trains(part->bound, stage);
}

static void norm_again(const part_t *part, llm_stage_t stage)
{
    const llm_activations_t *at = part->at;
    if (!makes_again(part, stage))
        return;
    if (stage == LLM_STAGE_UP)
        llm_norm_forward(part->pass, &part->bound->norm_mlp, at->n_mlp, at->stats_mlp, at->x_mid,
                         part->T);
    else
        llm_norm_forward(part->pass, &part->bound->norm_attention, at->n_attention,
                         at->stats_attention, at->x_in, part->T);
}

/* MLP branch: plan.dx is the gradient of x_out, and of x_mid on return. */
static void mlp_backward(const part_t *part, llm_stage_t stop)
{
    const llm_activations_t *at = part->at;
    const llm_plan_t *plan = &part->pass->plan;
    if (makes_again(part, LLM_STAGE_DOWN))
        activate(part);
    backward(part, LLM_DOWN, stop == LLM_STAGE_DOWN ? NULL : plan->dact, plan->dx, at->act);
    if (stop == LLM_STAGE_DOWN)
        return;
    const llm_act_t *dup = activate_backward(part);
    llm_act_t *dn = stop == LLM_STAGE_UP ? NULL : plan->dn;
    norm_again(part, LLM_STAGE_UP);
    backward(part, LLM_UP, dn, dup, at->n_mlp);
    if (at->gate) {
        const llm_bound_linear_t *gate = &part->bound->linear[LLM_GATE];
        llm_linear_backward(&part->run, gate, dn, true, at->gate, gate->out, at->n_mlp,
                            &at->lora[LLM_GATE]);
    }
    if (dn)
        llm_norm_backward(part->pass, &part->bound->norm_mlp, plan->dx, true, dn, at->x_mid,
                          at->stats_mlp, part->T);
}

/* Gradient of the projections, given dqkv; dn NULL when nothing below trains. */
static void projections_backward(const part_t *part, llm_act_t *dn, const llm_act_t *dqkv)
{
    const llm_activations_t *at = part->at;
    static const llm_module_t separate[] = {LLM_Q, LLM_K, LLM_V};
    if (part->shape->arch->modules[LLM_QKV]) {
        backward(part, LLM_QKV, dn, dqkv, at->n_attention);
        return;
    }
    const size_t offset[] = {0, key_offset(part->shape), value_offset(part->shape)};
    for (int i = 0; i < 3; i++)
        llm_linear_backward(&part->run, &part->bound->linear[separate[i]], dn, i > 0,
                            llm_act_const_at(part->be, dqkv, offset[i]), part->qkv_width,
                            at->n_attention, &at->lora[separate[i]]);
}

/* Attention branch: plan.dx is the gradient of x_mid, and of x_in on return. */
static void attention_backward(const part_t *part, const llm_packed_t *batch, bool stop_at_o,
                               bool stop_at_qkv)
{
    const llm_activations_t *at = part->at;
    const llm_plan_t *plan = &part->pass->plan;
    const llm_shape_t *shape = part->shape;
    backward(part, LLM_O, stop_at_o ? NULL : plan->dact, plan->dx, at->att);
    if (stop_at_o)
        return;
    llm_attention_t attention = attention_of(part, batch);
    size_t k = key_offset(shape), v = value_offset(shape);
    llm_act_t *dqkv = plan->dpre;
    part->be->ops->attention_backward(part->be, dqkv, within(part, dqkv, k), within(part, dqkv, v),
                                      plan->dact, at->att, at->lse, at->qkv,
                                      within(part, at->qkv, k), within(part, at->qkv, v),
                                      &attention, plan->attention_scratch);
    llm_virtual_batch_t sequences = llm_packed_sequences(batch);
    llm_virtual_attend_backward(&part->pass->virtual_tokens, part->layer, dqkv, part->qkv_width, k,
                                &sequences);
    rotate(part, dqkv, true);
    llm_act_t *dn = stop_at_qkv ? NULL : plan->dn;
    norm_again(part, LLM_STAGE_QKV);
    projections_backward(part, dn, dqkv);
    if (dn)
        llm_norm_backward(part->pass, &part->bound->norm_attention, plan->dx, true, dn, at->x_in,
                          at->stats_attention, part->T);
}

static void forward_again(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    llm_layer_project(self, layer, batch);
    llm_layer_attend(self, layer, batch);
    llm_layer_finish(self, layer, batch);
}

void llm_layer_backward(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    if (self->plan.recompute == LLM_RECOMPUTE_LAYERS)
        forward_again(self, layer, batch);
    part_t part = part_of(self, layer, batch);
    bool lowest = layer == self->decoder.first_layer;
    llm_stage_t stop = lowest ? self->decoder.first_stage : LLM_STAGES;
    mlp_backward(&part, stop);
    if (stop == LLM_STAGE_DOWN || stop == LLM_STAGE_UP)
        return;
    attention_backward(&part, batch, stop == LLM_STAGE_O, stop == LLM_STAGE_QKV);
}
