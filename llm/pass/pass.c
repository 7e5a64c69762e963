/*
 * pass.c - what surrounds the layers: tables of a pass, norms, embeddings.
 */
#include "llm/pass/pass.h"

#include <stdlib.h>

#include "base/real.h"

/* cos and sin of position * inverse frequency, in float as HF computes them. */
static void fill_rope(float *table, size_t rows, size_t width, const float *frequencies)
{
    size_t half = width / 2;
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < half; i++) {
            float angle = (float)row * frequencies[i];
            table[row * width + i] = (float)fmq_cos((double)angle);
            table[row * width + half + i] = (float)fmq_sin((double)angle);
        }
    }
}

static int prepare_rope(llm_pass_t *self, fmq_error_t *err)
{
    const llm_shape_t *shape = self->decoder.shape;
    size_t rows = self->plan.rope_rows, width = shape->head_width;
    float *host = malloc((rows + 1) * width * sizeof *host);
    if (!host)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a table of rotations");
    float *frequencies = host + rows * width;
    llm_shape_rope_frequencies(shape, frequencies);
    fill_rope(host, rows, width, frequencies);
    llm_backend_t *be = self->decoder.be;
    be->ops->upload(be, self->plan.rope, host, rows * width * sizeof *host);
    free(host);
    return 0;
}

static int prepare_ones(llm_pass_t *self, fmq_error_t *err)
{
    size_t count = self->plan.tokens_max;
    float *host = malloc(count * sizeof *host);
    if (!host)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a plan of %zu tokens", count);
    for (size_t i = 0; i < count; i++)
        host[i] = 1.0f;
    llm_backend_t *be = self->decoder.be;
    be->ops->upload(be, self->plan.ones, host, count * sizeof *host);
    free(host);
    return 0;
}

int llm_pass_prepare(llm_pass_t *self, fmq_error_t *err)
{
    if (self->plan.rope && prepare_rope(self, err) < 0)
        return -1;
    if (self->plan.ones && prepare_ones(self, err) < 0)
        return -1;
    return 0;
}

void llm_pass_release(llm_pass_t *self)
{
    if (self->decoder.be)
        llm_plan_release(&self->plan, self->decoder.be);
    llm_decoder_release(&self->decoder);
}

void llm_norm_forward(const llm_pass_t *self, const llm_bound_norm_t *norm, float *out,
                      float *stats, const float *x, size_t rows)
{
    const llm_shape_t *shape = self->decoder.shape;
    llm_backend_t *be = self->decoder.be;
    if (shape->arch->norm == LLM_NORM_LAYER)
        be->ops->layernorm_forward(be, out, stats, x, norm->weight, norm->bias, rows, shape->width,
                                   shape->norm_eps);
    else
        be->ops->rmsnorm_forward(be, out, stats, x, norm->weight, rows, shape->width,
                                 shape->norm_eps);
}

void llm_norm_backward(const llm_pass_t *self, const llm_bound_norm_t *norm, float *dx,
                       const float *dout, const float *x, const float *stats, size_t rows)
{
    const llm_shape_t *shape = self->decoder.shape;
    llm_backend_t *be = self->decoder.be;
    if (shape->arch->norm == LLM_NORM_LAYER)
        be->ops->layernorm_backward(be, dx, norm->dweight, norm->dbias, dout, x, stats,
                                    norm->weight, rows, shape->width);
    else
        be->ops->rmsnorm_backward(be, dx, norm->dweight, dout, x, stats, norm->weight, rows,
                                  shape->width);
}

void llm_embed_forward(const llm_pass_t *self, const llm_packed_t *batch)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    llm_backend_t *be = decoder->be;
    size_t T = batch->tokens, C = decoder->shape->width;
    float *x = plan->layers[0].x_in;

    if (decoder->tokens)
        be->ops->matrix_gather(be, x, decoder->tokens, plan->ids, T);
    else
        be->ops->embed_forward(be, x, decoder->token_table, plan->ids, T, C);
    if (!decoder->positions)
        return;
    float *positions = plan->layers[0].n_attention; /* free until the first norm */
    be->ops->embed_forward(be, positions, decoder->positions, plan->positions, T, C);
    be->ops->add(be, x, positions, T * C);
}

void llm_embed_backward(const llm_pass_t *self, const llm_packed_t *batch)
{
    const llm_decoder_t *decoder = &self->decoder;
    const llm_plan_t *plan = &self->plan;
    llm_backend_t *be = decoder->be;
    size_t T = batch->tokens, C = decoder->shape->width;
    if (decoder->dtoken_table)
        be->ops->embed_backward(be, decoder->dtoken_table, plan->dx, plan->ids, T, C);
    if (decoder->dpositions)
        be->ops->embed_backward(be, decoder->dpositions, plan->dx, plan->positions, T, C);
}
