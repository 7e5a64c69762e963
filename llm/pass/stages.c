/*
 * stages.c - the parts of a workspace's passes, one by one.
 */
#include "llm/pass/stages.h"

#include "llm/pass/workspace_private.h"

int llm_stages_begin(llm_workspace_t *ws, const llm_batch_t *batch, const fmq_rng_name_t *dropout,
                     llm_packed_t *packed, fmq_error_t *err)
{
    if (llm_workspace_take_tokens(ws, batch, packed, err) < 0)
        return -1;
    packed->dropout = dropout;
    return 0;
}

void llm_stages_embed(llm_workspace_t *ws, const llm_packed_t *packed)
{
    llm_embed_forward(&ws->pass, packed);
}

void llm_stages_forward(llm_workspace_t *ws, const llm_packed_t *packed, uint32_t from, uint32_t to)
{
    for (uint32_t l = from; l < to; l++) {
        llm_layer_project(&ws->pass, l, packed);
        llm_layer_attend(&ws->pass, l, packed);
        llm_layer_finish(&ws->pass, l, packed);
    }
}

llm_act_t *llm_stages_stream(llm_workspace_t *ws, uint32_t layer)
{
    const llm_activations_t *layers = ws->pass.plan.layers;
    return layer ? layers[layer - 1].x_out : layers[0].x_in;
}

size_t llm_stages_block(const llm_workspace_t *ws)
{
    return ws->pass.plan.block_rows;
}

/* These losses are of a head that nothing is dropped in. */
static const llm_packed_t undropped;

llm_act_t *llm_stages_logits(llm_workspace_t *ws, const int32_t *rows, size_t count)
{
    const llm_plan_t *plan = &ws->pass.plan;
    ws->be->ops->upload(ws->be, plan->rows, rows, count * sizeof *rows);
    llm_head_logits(&ws->pass, &undropped, 0, count);
    return plan->logits;
}

void llm_stages_cross_entropy(llm_workspace_t *ws, const int32_t *targets, size_t first,
                              size_t count, float scale)
{
    const llm_plan_t *plan = &ws->pass.plan;
    const llm_cross_entropy_t how = {.scale = scale};
    ws->be->ops->upload(ws->be, plan->targets, targets, count * sizeof *targets);
    ws->be->ops->cross_entropy(ws->be, plan->losses + first, plan->logits, plan->targets, count,
                               ws->pass.decoder.shape->vocab, &how);
}

void llm_stages_divergence(llm_workspace_t *ws, const llm_act_t *full, size_t first, size_t count,
                           float scale)
{
    const llm_plan_t *plan = &ws->pass.plan;
    ws->be->ops->kl_divergence(ws->be, plan->losses + first, plan->logits, full, count,
                               ws->pass.decoder.shape->vocab, scale);
}

const float *llm_stages_losses(llm_workspace_t *ws, size_t count)
{
    (void)llm_head_sum(&ws->pass, count, ws->losses_host);
    return ws->losses_host;
}

void llm_stages_logits_backward(llm_workspace_t *ws, size_t count)
{
    llm_head_backward(&ws->pass, &undropped, 0, count);
}

llm_act_t *llm_stages_gradient(llm_workspace_t *ws)
{
    return ws->pass.plan.dx;
}

void llm_stages_zero_gradient(llm_workspace_t *ws, const llm_packed_t *packed)
{
    ws->be->ops->zero(ws->be, ws->pass.plan.dx,
                      llm_act_bytes(ws->be, packed->tokens * ws->pass.decoder.shape->width));
}

void llm_stages_backward(llm_workspace_t *ws, const llm_packed_t *packed, uint32_t layer)
{
    llm_layer_backward(&ws->pass, layer, packed);
}

void llm_stages_collect(llm_workspace_t *ws)
{
    llm_decoder_collect(&ws->pass.decoder);
}

int llm_stages_end(llm_workspace_t *ws, fmq_error_t *err)
{
    return ws->be->ops->synchronize(ws->be, err);
}
