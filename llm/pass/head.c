/*
 * head.c - final norm, language-model head and loss on chosen rows, in blocks:
 * forward and backward of a block are done before the next, so that neither
 * the full logits nor the head's activations ever exist.  Losses stay on the
 * backend until the last block: nothing waits for them in between.
 */
#include "llm/pass/pass.h"

/* Rows of the head count behind those of the batch that come before. */
static llm_linear_run_t run_of(const llm_pass_t *self, const llm_packed_t *batch, size_t first,
                               size_t rows)
{
    return (llm_linear_run_t){.be = self->decoder.be,
                              .rows = rows,
                              .first_row = batch->first_row + first,
                              .dropout = batch->dropout,
                              .dh = self->plan.dh};
}

static const llm_act_t *last_stream(const llm_pass_t *self)
{
    return self->plan.layers[self->decoder.shape->layers - 1].x_out;
}

/* Logits that are multiplied by a number are those of rows that are: so are
 * the gradients of the head and of its input. */
static void scale_head(const llm_pass_t *self, llm_act_t *rows, size_t count)
{
    const llm_shape_t *shape = self->decoder.shape;
    llm_backend_t *be = self->decoder.be;
    if (shape->logit_scale)
        be->ops->scale_act(be, rows, rows, shape->logit_scale, count * shape->width);
}

void llm_head_logits(const llm_pass_t *self, const llm_packed_t *batch, size_t first, size_t count)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    decoder->be->ops->gather_rows(decoder->be, plan->head_x, last_stream(self), plan->rows + first,
                                  count, decoder->shape->width);
    llm_norm_forward(self, &decoder->norm_final, plan->head_n, plan->head_stats, plan->head_x,
                     count);
    scale_head(self, plan->head_n, count);
    llm_linear_run_t run = run_of(self, batch, first, count);
    llm_linear_forward(&run, &decoder->head, plan->logits, decoder->shape->vocab, plan->head_n,
                       &plan->head_hidden);
}

void llm_head_backward(const llm_pass_t *self, const llm_packed_t *batch, size_t first,
                       size_t count)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    size_t C = decoder->shape->width;
    llm_backend_t *be = decoder->be;
    llm_linear_run_t run = run_of(self, batch, first, count);
    llm_linear_backward(&run, &decoder->head, plan->head_dn, false, plan->logits,
                        decoder->shape->vocab, plan->head_n, &plan->head_hidden);
    scale_head(self, plan->head_dn, count);
    llm_norm_backward(self, &decoder->norm_final, plan->head_dx, false, plan->head_dn, plan->head_x,
                      plan->head_stats, count);
    be->ops->scatter_rows(be, plan->dx, plan->head_dx, plan->rows + first, count, C);
}

double llm_head_sum(const llm_pass_t *self, size_t count, float *host)
{
    llm_backend_t *be = self->decoder.be;
    double sum = 0.0;
    if (count)
        be->ops->download(be, host, self->plan.losses, count * sizeof *host);
    for (size_t i = 0; i < count; i++)
        sum += (double)host[i];
    return sum;
}

double llm_head_loss(const llm_pass_t *self, const llm_packed_t *batch, size_t supervised,
                     const llm_cross_entropy_t *how, float *host)
{
    const llm_plan_t *plan = &self->plan;
    llm_backend_t *be = self->decoder.be;
    size_t blocks = (supervised + plan->block_rows - 1) / plan->block_rows;
    size_t rows = blocks ? (supervised + blocks - 1) / blocks : 0;
    for (size_t first = 0; first < supervised; first += rows) {
        size_t count = supervised - first < rows ? supervised - first : rows;
        llm_head_logits(self, batch, first, count);
        be->ops->cross_entropy(be, plan->losses + first, plan->logits, plan->targets + first, count,
                               self->decoder.shape->vocab, how);
        if (how->scale != 0.0f)
            llm_head_backward(self, batch, first, count);
    }
    return llm_head_sum(self, supervised, host);
}
