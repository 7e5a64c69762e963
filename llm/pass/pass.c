/*
 * pass.c - what surrounds the layers: tables of a pass, norms, embeddings.
 */
#include "llm/pass/pass.h"

#include <stdlib.h>

#include "base/half.h"
#include "base/real.h"

/* cos and sin of position * inverse frequency, in float as HF computes them. */
static void fill_rope(float *table, size_t rows, size_t width, const float *frequencies,
                      float factor)
{
    size_t half = width / 2;
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < half; i++) {
            float angle = (float)row * frequencies[i];
            table[row * width + i] = (float)fmq_cos((double)angle) * factor;
            table[row * width + half + i] = (float)fmq_sin((double)angle) * factor;
        }
    }
}

static int prepare_rope(llm_pass_t *self, fmq_error_t *err)
{
    const llm_shape_t *shape = self->decoder.shape;
    size_t rows = self->plan.rope_rows, width = llm_shape_rotary(shape);
    float *host = malloc((rows + 1) * width * sizeof *host);
    if (!host)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of rotations");
    float *frequencies = host + rows * width;
    llm_shape_rope_frequencies(shape, frequencies);
    fill_rope(host, rows, width, frequencies, llm_shape_rope_attention(shape));
    llm_backend_t *be = self->decoder.be;
    be->ops->upload(be, self->plan.rope, host, rows * width * sizeof *host);
    free(host);
    return 0;
}

int llm_pass_prepare(llm_pass_t *self, fmq_error_t *err)
{
    return self->plan.rope ? prepare_rope(self, err) : 0;
}

llm_packed_t llm_pass_pack(const llm_pass_t *self, size_t sequences, const uint32_t *starts)
{
    llm_packed_t packed = {.tokens = starts[sequences], .sequences = sequences, .starts = starts};
    for (size_t s = 0; s < sequences; s++) {
        size_t tokens = starts[s + 1] - starts[s];
        packed.longest = tokens > packed.longest ? tokens : packed.longest;
    }
    llm_backend_t *be = self->decoder.be;
    if (self->plan.starts)
        be->ops->upload(be, self->plan.starts, starts, (sequences + 1) * sizeof *starts);
    return packed;
}

llm_virtual_batch_t llm_packed_sequences(const llm_packed_t *batch)
{
    return (llm_virtual_batch_t){.sequences = batch->continues ? 0 : batch->sequences,
                                 .starts = batch->starts};
}

void llm_pass_release(llm_pass_t *self)
{
    if (self->decoder.be)
        llm_plan_release(&self->plan, self->decoder.be);
    llm_virtual_release(&self->virtual_tokens);
    llm_decoder_release(&self->decoder);
}

void llm_norm_forward(const llm_pass_t *self, const llm_bound_norm_t *norm, llm_act_t *out,
                      float *stats, const llm_act_t *x, size_t rows)
{
    const llm_shape_t *shape = self->decoder.shape;
    llm_backend_t *be = self->decoder.be;
    if (shape->arch->norm == LLM_NORM_LAYER)
        be->ops->layernorm_forward(be, out, stats, x, norm->weight, norm->bias, rows, norm->width,
                                   shape->norm_eps);
    else
        be->ops->rmsnorm_forward(be, out, stats, x, norm->weight, rows, norm->width,
                                 shape->norm_eps);
}

void llm_norm_backward(const llm_pass_t *self, const llm_bound_norm_t *norm, llm_act_t *dx,
                       bool add, const llm_act_t *dout, const llm_act_t *x, const float *stats,
                       size_t rows)
{
    const llm_shape_t *shape = self->decoder.shape;
    llm_backend_t *be = self->decoder.be;
    if (shape->arch->norm == LLM_NORM_LAYER)
        be->ops->layernorm_backward(be, dx, norm->dweight, norm->dbias, dout, x, stats,
                                    norm->weight, rows, norm->width, add);
    else
        be->ops->rmsnorm_backward(be, dx, norm->dweight, dout, x, stats, norm->weight, rows,
                                  norm->width, add);
}

/* What the token embedding is multiplied by, 0: nothing.  Where it is the table
 * that is scaled, transformers rounds the factor to the table's type, and virtual
 * tokens, which are not from the table, stay as they are; else they are scaled, too. */
static float embedding_scale(const llm_pass_t *self)
{
    float scale = self->decoder.shape->embedding_scale;
    if (self->decoder.be->ops->act == FMQ_BF16 && self->decoder.shape->arch->embedding_scaled)
        scale = fmq_float_of_bf16(fmq_bf16_of_float(scale));
    return scale;
}

static llm_lora_t lookup_of(const llm_pass_t *self, size_t rows)
{
    const llm_bound_lookup_t *lookup = &self->decoder.lookup;
    return (llm_lora_t){.M = rows,
                        .out = self->decoder.shape->width,
                        .rank = lookup->rank,
                        .b = lookup->b,
                        .scaling = lookup->scaling};
}

/* x += s h B^T, h being columns of A. */
static void lookup_forward(const llm_pass_t *self, const llm_packed_t *batch)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    llm_backend_t *be = decoder->be;
    size_t T = batch->tokens, C = decoder->shape->width;
    llm_lora_t how = lookup_of(self, T);
    be->ops->gather_columns(be, plan->dh, decoder->lookup.a, plan->ids, T, decoder->lookup.rank,
                            decoder->shape->vocab);
    be->ops->lora_up(be, plan->layers[0].x_in, C, plan->dh, &how);
}

/* dB += s dx^T h, dh = s dx B, and dA's columns += rows of dh. */
static void lookup_backward(const llm_pass_t *self, const llm_packed_t *batch)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    const llm_bound_lookup_t *lookup = &decoder->lookup;
    llm_backend_t *be = decoder->be;
    size_t T = batch->tokens, C = decoder->shape->width, r = lookup->rank;
    llm_lora_t how = lookup_of(self, T);
    const llm_gemm_t db = {.transpose_a = true,
                           .M = C,
                           .N = r,
                           .K = T,
                           .alpha = lookup->scaling,
                           .beta = 1,
                           .lda = C,
                           .ldb = r,
                           .ldc = r};
    be->ops->gather_columns(be, plan->dh, lookup->a, plan->ids, T, r, decoder->shape->vocab);
    be->ops->widen(be, plan->lookup_dx, plan->dx, T * C, false);
    be->ops->gemm(be, lookup->db, plan->lookup_dx, plan->dh, &db);
    be->ops->lora_gradients(be, plan->dh, NULL, NULL, plan->dx, C, NULL, NULL, NULL, &how);
    be->ops->scatter_columns(be, lookup->da, plan->dh, plan->ids, T, r, decoder->shape->vocab);
}

void llm_embed_forward(const llm_pass_t *self, const llm_packed_t *batch)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    llm_backend_t *be = decoder->be;
    size_t T = batch->tokens, C = decoder->shape->width;
    bool normed = decoder->norm_embedding.width > 0;
    llm_act_t *to = plan->layers[0].x_in, *x = normed ? plan->embedded : to;

    if (decoder->tokens)
        be->ops->matrix_gather(be, x, decoder->tokens, plan->ids, T);
    else
        be->ops->embed_forward(be, x, decoder->token_table, plan->ids, T, C);
    if (decoder->lookup.rank)
        lookup_forward(self, batch);
    float scale = embedding_scale(self);
    bool table = decoder->shape->arch->embedding_scaled;
    if (scale && table)
        be->ops->scale_act(be, x, x, scale, T * C);
    llm_virtual_batch_t sequences = llm_packed_sequences(batch);
    llm_virtual_embed(&self->virtual_tokens, x, C, &sequences);
    if (scale && !table)
        be->ops->scale_act(be, x, x, scale, T * C);
    if (normed)
        llm_norm_forward(self, &decoder->norm_embedding, to, plan->embedded_stats, x, T);
    if (!decoder->positions)
        return;
    llm_act_t *positions = plan->layers[0].x_mid; /* free until attention's output */
    be->ops->embed_forward(be, positions, decoder->positions, plan->positions, T, C);
    be->ops->add_act(be, to, positions, T * C);
}

void llm_embed_backward(const llm_pass_t *self, const llm_packed_t *batch)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    llm_backend_t *be = decoder->be;
    size_t T = batch->tokens, C = decoder->shape->width;
    float scale = embedding_scale(self);
    bool table = decoder->shape->arch->embedding_scaled;
    llm_virtual_batch_t sequences = llm_packed_sequences(batch);
    if (decoder->dpositions)
        be->ops->embed_backward(be, decoder->dpositions, plan->dx, plan->positions, T, C);
    if (decoder->norm_embedding.width) {
        llm_norm_backward(self, &decoder->norm_embedding, plan->dn, false, plan->dx, plan->embedded,
                          plan->embedded_stats, T);
        be->ops->copy_rows(be, plan->dx, C, plan->dn, C, T, C);
    }
    if (scale && !table)
        be->ops->scale_act(be, plan->dx, plan->dx, scale, T * C);
    llm_virtual_embed_backward(&self->virtual_tokens, plan->dx, C, &sequences);
    if (!decoder->dtoken_table && !decoder->lookup.db)
        return;
    if (scale && table)
        be->ops->scale_act(be, plan->dx, plan->dx, scale, T * C);
    if (decoder->lookup.db)
        lookup_backward(self, batch);
    if (decoder->dtoken_table)
        be->ops->embed_backward(be, decoder->dtoken_table, plan->dx, plan->ids, T, C);
}
