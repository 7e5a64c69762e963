/*
 * layer.c - one decoder layer, forward and backward, for every family: the
 * shape's row says which norm, positions, projections and MLP it has.
 *
 *   x_mid = x_in  + s norm(O(attention(QKV(norm(x_in)))))
 *   x_out = x_mid + s norm(DOWN(activation(UP(norm(x_mid)))))
 *
 * A family has some of these norms, and seldom an s.  Where attention and MLP
 * stand in parallel, UP reads norm(x_in) instead: the norm that attention reads,
 * or one of its own.
 */
#include "llm/pass/pass.h"

/* Everything a part of a layer needs, gathered once. */
typedef struct {
    const llm_pass_t *pass;
    const llm_shape_t *shape;
    const llm_bound_layer_t *bound;
    const llm_activations_t *at;
    uint32_t layer;
    llm_backend_t *be;
    llm_linear_run_t run;
    size_t T, C;
    size_t F; /* MLP channels of this layer */
    llm_qkv_t qkv;
} part_t;

static size_t mlp_channels(const llm_bound_layer_t *layer)
{
    size_t fused = layer->linear[LLM_GATE_UP].out;
    return fused ? fused / 2 : layer->linear[LLM_UP].out;
}

static part_t part_of(const llm_pass_t *pass, uint32_t layer, const llm_packed_t *batch)
{
    const llm_shape_t *shape = pass->decoder.shape;
    llm_act_t *qkv = pass->plan.layers[layer].qkv;
    return (part_t){.pass = pass,
                    .shape = shape,
                    .bound = &pass->decoder.layers[layer],
                    .at = &pass->plan.layers[layer],
                    .be = pass->decoder.be,
                    .run = {.be = pass->decoder.be,
                            .rows = batch->tokens,
                            .first_row = batch->first_row,
                            .dropout = batch->dropout,
                            .dh = pass->plan.dh,
                            .scaled_in = pass->plan.scaled_in,
                            .scaled_out = pass->plan.scaled_out},
                    .layer = layer,
                    .T = batch->tokens,
                    .C = shape->width,
                    .F = mlp_channels(&pass->decoder.layers[layer]),
                    .qkv = llm_plan_qkv(&pass->plan, &pass->decoder, qkv)};
}

static void forward(const part_t *part, llm_module_t module, llm_act_t *y, size_t y_stride,
                    const llm_act_t *x)
{
    llm_linear_forward(&part->run, &part->bound->linear[module], y, y_stride, x,
                       &part->at->lora[module]);
}

/* dx is overwritten, or added to when add. */
static void backward(const part_t *part, llm_module_t module, llm_act_t *dx, bool add,
                     const llm_act_t *dy, const llm_act_t *x)
{
    const llm_bound_linear_t *linear = &part->bound->linear[module];
    llm_linear_backward(&part->run, linear, dx, add, dy, linear->out, x, &part->at->lora[module]);
}

static bool has_norm(const part_t *part, llm_layer_norm_t norm)
{
    return part->bound->norms[norm].width > 0;
}

/* Rows of a norm: tokens, or heads of tokens. */
static size_t norm_rows(const part_t *part, llm_layer_norm_t norm)
{
    const llm_shape_t *shape = part->shape;
    if (shape->arch->norm_qk_whole || (norm != LLM_NORM_Q && norm != LLM_NORM_K))
        return part->T;
    return part->T * (norm == LLM_NORM_Q ? shape->heads : shape->kv_heads);
}

/* Does nothing where the family has no such norm: its output is its input. */
static void norm_forward(const part_t *part, llm_layer_norm_t norm, llm_act_t *out,
                         const llm_act_t *x)
{
    if (has_norm(part, norm))
        llm_norm_forward(part->pass, &part->bound->norms[norm], out, part->at->stats[norm], x,
                         norm_rows(part, norm));
}

static void norm_backward(const part_t *part, llm_layer_norm_t norm, llm_act_t *dx, bool add,
                          const llm_act_t *dout, const llm_act_t *x)
{
    llm_norm_backward(part->pass, &part->bound->norms[norm], dx, add, dout, x,
                      part->at->stats[norm], norm_rows(part, norm));
}

/* Queries and keys that lie side by side are turned by one call. */
static void rotate(const part_t *part, const llm_qkv_t *qkv, bool inverse)
{
    const llm_shape_t *shape = part->shape;
    const llm_plan_t *plan = &part->pass->plan;
    llm_backend_t *be = part->be;
    size_t heads = qkv->planes ? shape->heads : (size_t)shape->heads + shape->kv_heads;
    if (shape->arch->positions != LLM_POSITIONS_ROPE ||
        llm_layer_bit(&shape->unrotated, part->layer))
        return;
    llm_rope_t how = {.T = part->T,
                      .heads = heads,
                      .D = shape->head_width,
                      .stride = qkv->q_stride,
                      .rotary = llm_shape_rotary(shape),
                      .interleaved = shape->arch->rope_interleaved};
    be->ops->rope(be, qkv->q, plan->positions, plan->rope, &how, inverse);
    if (!qkv->planes)
        return;
    how.heads = shape->kv_heads;
    how.stride = qkv->kv_stride;
    be->ops->rope(be, qkv->k, plan->positions, plan->rope, &how, inverse);
}

/* Between the order in which a fused projection makes queries, keys and values
 * and ours: for each group its queries, its key, its value. */
static void take_apart(const part_t *part, const llm_qkv_t *qkv, bool inverse)
{
    const llm_shape_t *shape = part->shape;
    llm_backend_t *be = part->be;
    size_t D = shape->head_width, groups = part->T * shape->kv_heads;
    size_t queries = shape->heads / shape->kv_heads * D, stride = queries + 2 * D;
    llm_act_t *const to[] = {qkv->q, qkv->k, qkv->v};
    const size_t width[] = {queries, D, D}, at[] = {0, queries, queries + D};
    for (int i = 0; i < 3; i++) {
        llm_act_t *fused = llm_act_at(be, part->pass->plan.fused, at[i]);
        if (inverse)
            be->ops->copy_rows(be, fused, stride, to[i], width[i], groups, width[i]);
        else
            be->ops->copy_rows(be, to[i], width[i], fused, stride, groups, width[i]);
    }
}

/* Projections, and the norms of queries and keys. */
static void project(const part_t *part)
{
    const llm_activations_t *at = part->at;
    const llm_qkv_t *qkv = &part->qkv;
    const llm_act_t *x = at->n_attention;
    if (part->shape->arch->modules[LLM_QKV]) {
        llm_act_t *fused = part->pass->plan.fused;
        forward(part, LLM_QKV, fused ? fused : qkv->q, llm_plan_qkv_width(part->shape), x);
        if (fused)
            take_apart(part, qkv, false);
        return;
    }
    forward(part, LLM_Q, at->raw_q ? at->raw_q : qkv->q, qkv->q_stride, x);
    forward(part, LLM_K, at->raw_k ? at->raw_k : qkv->k, qkv->kv_stride, x);
    forward(part, LLM_V, qkv->v, qkv->kv_stride, x);
    norm_forward(part, LLM_NORM_Q, qkv->q, at->raw_q);
    norm_forward(part, LLM_NORM_K, qkv->k, at->raw_k);
}

void llm_layer_project(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    part_t part = part_of(self, layer, batch);
    norm_forward(&part, LLM_NORM_ATTENTION, part.at->n_attention, part.at->x_in);
    project(&part);
    rotate(&part, &part.qkv, false);
    llm_virtual_batch_t sequences = llm_packed_sequences(batch);
    llm_virtual_attend(&self->virtual_tokens, layer, &part.qkv, &sequences);
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
                             .scale = llm_shape_attention_scale(shape),
                             .window = llm_shape_window(shape, part->layer),
                             .q_stride = part->qkv.q_stride,
                             .k_stride = part->qkv.kv_stride,
                             .v_stride = part->qkv.kv_stride,
                             .out_stride = llm_plan_query_width(shape)};
}

void llm_layer_attend(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    part_t part = part_of(self, layer, batch);
    llm_attention_t attention = attention_of(&part, batch);
    part.be->ops->attention_forward(part.be, part.at->att, part.at->lse, part.qkv.q, part.qkv.k,
                                    part.qkv.v, &attention, self->plan.attention_scratch);
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

/* to = stream + s norm(module(x)); raw: where the norm's input stays. */
static void join(const part_t *part, llm_module_t module, llm_layer_norm_t norm, llm_act_t *raw,
                 llm_act_t *to, const llm_act_t *stream, const llm_act_t *x)
{
    size_t n = part->T * part->C;
    float scale = part->shape->residual_scale;
    forward(part, module, raw ? raw : to, part->C, x);
    norm_forward(part, norm, to, raw);
    if (scale)
        part->be->ops->scale_act(part->be, to, to, scale, n);
    part->be->ops->add_act(part->be, to, stream, n);
}

/* From normed rows to gate and up. */
static void widen_stream(const part_t *part)
{
    const llm_activations_t *at = part->at;
    llm_backend_t *be = part->be;
    llm_act_t *both = part->pass->plan.gate_up;
    size_t F = part->F;
    if (!both) {
        if (at->gate)
            forward(part, LLM_GATE, at->gate, F, at->n_mlp);
        forward(part, LLM_UP, at->up, F, at->n_mlp);
        return;
    }
    forward(part, LLM_GATE_UP, both, 2 * F, at->n_mlp);
    be->ops->copy_rows(be, at->gate, F, both, 2 * F, part->T, F);
    be->ops->copy_rows(be, at->up, F, llm_act_at(be, both, F), 2 * F, part->T, F);
}

/* What the MLP reads, before the norm. */
static const llm_act_t *mlp_stream(const part_t *part)
{
    return part->shape->arch->parallel ? part->at->x_in : part->at->x_mid;
}

void llm_layer_finish(const llm_pass_t *self, uint32_t layer, const llm_packed_t *batch)
{
    part_t part = part_of(self, layer, batch);
    const llm_activations_t *at = part.at;
    join(&part, LLM_O, LLM_NORM_POST_ATTENTION, at->raw_attention, at->x_mid, at->x_in, at->att);
    norm_forward(&part, LLM_NORM_MLP, at->n_mlp, mlp_stream(&part));
    widen_stream(&part);
    activate(&part);
    join(&part, LLM_DOWN, LLM_NORM_POST_MLP, at->raw_mlp, at->x_out, at->x_mid, at->act);
}

/* The gradient of what a module adds to the stream, given plan.dx, that of the
 * stream: itself, or in plan.dn. */
static const llm_act_t *join_backward(const part_t *part, llm_layer_norm_t norm,
                                      const llm_act_t *raw)
{
    const llm_plan_t *plan = &part->pass->plan;
    float scale = part->shape->residual_scale;
    size_t n = part->T * part->C;
    if (has_norm(part, norm))
        norm_backward(part, norm, plan->dn, false, plan->dx, raw);
    else if (scale)
        part->be->ops->scale_act(part->be, plan->dn, plan->dx, scale, n);
    else
        return plan->dx;
    return plan->dn;
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
    if (stage == LLM_STAGE_UP && has_norm(part, LLM_NORM_MLP))
        norm_forward(part, LLM_NORM_MLP, at->n_mlp, mlp_stream(part));
    else
        norm_forward(part, LLM_NORM_ATTENTION, at->n_attention, at->x_in);
}

/* Where the gradient of a branch's input goes: through its norm, or at once to
 * the stream's. */
static llm_act_t *branch_gradient(const part_t *part, llm_layer_norm_t norm)
{
    const llm_plan_t *plan = &part->pass->plan;
    return has_norm(part, norm) || part->shape->arch->parallel ? plan->dn : plan->dx;
}

/* The way back, given the gradients of up and, in its place, of gate. */
static void widen_backward(const part_t *part, llm_act_t *dn, bool add, const llm_act_t *dup)
{
    const llm_activations_t *at = part->at;
    llm_backend_t *be = part->be;
    llm_act_t *both = part->pass->plan.gate_up;
    size_t F = part->F;
    if (!both) {
        backward(part, LLM_UP, dn, add, dup, at->n_mlp);
        if (at->gate)
            backward(part, LLM_GATE, dn, true, at->gate, at->n_mlp);
        return;
    }
    be->ops->copy_rows(be, both, 2 * F, at->gate, F, part->T, F);
    be->ops->copy_rows(be, llm_act_at(be, both, F), 2 * F, dup, F, part->T, F);
    backward(part, LLM_GATE_UP, dn, add, both, at->n_mlp);
}

/* MLP branch, given plan.dx, the gradient of x_out: leaves that of the input of
 * its norm's output in plan.dn; without a norm it is added to plan.dx at once. */
static void mlp_backward(const part_t *part, llm_stage_t stop)
{
    const llm_activations_t *at = part->at;
    const llm_plan_t *plan = &part->pass->plan;
    if (makes_again(part, LLM_STAGE_DOWN))
        activate(part);
    const llm_act_t *dy = join_backward(part, LLM_NORM_POST_MLP, at->raw_mlp);
    backward(part, LLM_DOWN, stop == LLM_STAGE_DOWN ? NULL : plan->dact, false, dy, at->act);
    if (stop == LLM_STAGE_DOWN)
        return;
    const llm_act_t *dup = activate_backward(part);
    llm_act_t *dn = stop == LLM_STAGE_UP ? NULL : branch_gradient(part, LLM_NORM_MLP);
    norm_again(part, LLM_STAGE_UP);
    widen_backward(part, dn, dn == plan->dx, dup);
}

/* Adds to plan.dx what mlp_backward() has left: before attention's output is
 * gone through, which adds to the stream that the MLP reads, or behind it where
 * the two are parallel. */
static void mlp_norm_backward(const part_t *part)
{
    const llm_plan_t *plan = &part->pass->plan;
    if (has_norm(part, LLM_NORM_MLP))
        norm_backward(part, LLM_NORM_MLP, plan->dx, true, plan->dn, mlp_stream(part));
}

/* Gradient of one of three projections, given that of what it made or of the
 * norm's output; passes the latter through plan.dact, whose content is used up. */
static void projection_backward(const part_t *part, llm_module_t module, llm_act_t *dn, bool add,
                                const llm_act_t *dout, size_t stride)
{
    const llm_activations_t *at = part->at;
    llm_layer_norm_t norm = module == LLM_Q ? LLM_NORM_Q : LLM_NORM_K;
    if (module != LLM_V && has_norm(part, norm)) {
        llm_act_t *draw = part->pass->plan.dact;
        norm_backward(part, norm, draw, false, dout, module == LLM_Q ? at->raw_q : at->raw_k);
        dout = draw;
    }
    llm_linear_backward(&part->run, &part->bound->linear[module], dn, add, dout, stride,
                        at->n_attention, &at->lora[module]);
}

/* Gradient of the projections, given dqkv; dn NULL when nothing below trains,
 * overwritten or added to as `add` says. */
static void projections_backward(const part_t *part, llm_act_t *dn, bool add, const llm_qkv_t *dqkv)
{
    if (part->shape->arch->modules[LLM_QKV]) {
        llm_act_t *fused = part->pass->plan.fused;
        if (fused)
            take_apart(part, dqkv, true);
        backward(part, LLM_QKV, dn, add, fused ? fused : dqkv->q, part->at->n_attention);
        return;
    }
    projection_backward(part, LLM_Q, dn, add, dqkv->q, dqkv->q_stride);
    projection_backward(part, LLM_K, dn, true, dqkv->k, dqkv->kv_stride);
    projection_backward(part, LLM_V, dn, true, dqkv->v, dqkv->kv_stride);
}

/* Attention's output, given plan.dx, the gradient of x_mid: leaves that of
 * attention itself in plan.dact. */
static void output_backward(const part_t *part, bool stop)
{
    const llm_activations_t *at = part->at;
    const llm_act_t *dy = join_backward(part, LLM_NORM_POST_ATTENTION, at->raw_attention);
    backward(part, LLM_O, stop ? NULL : part->pass->plan.dact, false, dy, at->att);
}

/* The rest of the attention branch: plan.dx is the gradient of x_in on return. */
static void attention_backward(const part_t *part, const llm_packed_t *batch, bool stop_at_qkv)
{
    const llm_activations_t *at = part->at;
    const llm_plan_t *plan = &part->pass->plan;
    llm_attention_t attention = attention_of(part, batch);
    llm_qkv_t dqkv = llm_plan_qkv(plan, &part->pass->decoder, plan->dpre);
    part->be->ops->attention_backward(part->be, dqkv.q, dqkv.k, dqkv.v, plan->dact, at->att,
                                      at->lse, part->qkv.q, part->qkv.k, part->qkv.v, &attention,
                                      plan->attention_scratch);
    llm_virtual_batch_t sequences = llm_packed_sequences(batch);
    llm_virtual_attend_backward(&part->pass->virtual_tokens, part->layer, &dqkv, &sequences);
    rotate(part, &dqkv, true);
    llm_act_t *dn = stop_at_qkv ? NULL : branch_gradient(part, LLM_NORM_ATTENTION);
    bool normed = has_norm(part, LLM_NORM_ATTENTION);
    norm_again(part, LLM_STAGE_QKV);
    projections_backward(part, dn, dn == plan->dx || llm_plan_shares_norm(part->shape), &dqkv);
    if (dn && normed)
        norm_backward(part, LLM_NORM_ATTENTION, plan->dx, true, dn, at->x_in);
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
    bool parallel = part.shape->arch->parallel;
    mlp_backward(&part, stop);
    if (stop == LLM_STAGE_DOWN || stop == LLM_STAGE_UP)
        return;
    if (!parallel)
        mlp_norm_backward(&part);
    output_backward(&part, stop == LLM_STAGE_O);
    if (stop == LLM_STAGE_O)
        return;
    if (parallel)
        mlp_norm_backward(&part);
    attention_backward(&part, batch, stop == LLM_STAGE_QKV);
}
