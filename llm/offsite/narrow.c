/*
 * narrow.c - structured pruning: MLP channels that matter least go, with their
 * rows of up (and gate) and their column of down.
 *
 * A channel's score sums Wanda's (Sun et al. 2023, |W_ij| ||X_j||) over the
 * column: what it writes into the stream, weighed by how loud it is on public
 * examples.  Attention is left as it is.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/activations.h"
#include "llm/offsite/draft.h"
#include "llm/offsite/magnitude.h"
#include "llm/offsite/strategy.h"

typedef struct {
    llm_draft_t draft;
    uint32_t channels, kept;
    bool input_major;
    float *scores;     /* owned, [channels]: loudness, then scores */
    uint32_t *channel; /* owned, [kept], ascending */
} narrowing_t;

static int narrowing_init(narrowing_t *self, const llm_making_t *making, const float *loudness,
                          fmq_error_t *err)
{
    const llm_shape_t *shape = llm_model_shape(making->teacher);
    memset(self, 0, sizeof *self);
    self->channels = shape->ffn;
    self->kept = shape->ffn - (uint32_t)(making->spec->prune_ratio * (double)shape->ffn);
    self->input_major = shape->arch->input_major;
    self->scores = malloc(self->channels * sizeof *self->scores);
    self->channel = malloc(self->kept * sizeof *self->channel);
    if (!self->scores || !self->channel)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the scores of channels");
    memcpy(self->scores, loudness, self->channels * sizeof *self->scores);
    return 0;
}

static void narrowing_release(narrowing_t *self)
{
    llm_draft_release(&self->draft);
    free(self->scores);
    free(self->channel);
}

static bool is_down(const llm_layer_tensor_t *tensor)
{
    return tensor->parameter->role == LLM_ROLE_MODULE && tensor->parameter->module == LLM_DOWN &&
           !tensor->parameter->bias;
}

/* loudness * sum of |w| over the channel's column of down. */
static int score_down(void *argument, const llm_layer_tensor_t *tensor, fmq_error_t *err)
{
    narrowing_t *self = argument;
    if (!is_down(tensor))
        return 0;
    size_t outputs = (size_t)(self->input_major ? tensor->columns : tensor->rows);
    for (uint32_t c = 0; c < self->channels; c++) {
        double sum = 0.0;
        for (size_t o = 0; o < outputs; o++)
            sum += fabs((double)(self->input_major ? tensor->values[c * outputs + o]
                                                   : tensor->values[o * self->channels + c]));
        self->scores[c] = (float)(sum * (double)self->scores[c]);
        if (!isfinite(self->scores[c]))
            return fmq_error_set(err, FMQ_ERR_NUMERIC, "the score of channel %u is not finite", c);
    }
    return 0;
}

static int choose(narrowing_t *self, fmq_error_t *err)
{
    uint8_t *mask = malloc((self->channels + 7) / 8);
    if (!mask)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the scores of channels");
    int rc =
        llm_magnitude_mask(self->scores, self->channels, self->channels - self->kept, mask, err);
    uint32_t next = 0;
    for (uint32_t c = 0; rc == 0 && c < self->channels; c++) {
        if (mask[c / 8] >> (c % 8) & 1)
            self->channel[next++] = c;
    }
    free(mask);
    return rc;
}

/* The kept channels of a tensor whose rows (or columns) are channels. */
static void gather(const narrowing_t *self, const llm_layer_tensor_t *tensor, bool by_row,
                   float *out)
{
    size_t columns = (size_t)tensor->columns;
    if (by_row) {
        for (uint32_t k = 0; k < self->kept; k++)
            memcpy(out + k * columns, tensor->values + self->channel[k] * columns,
                   columns * sizeof *out);
        return;
    }
    for (size_t r = 0; r < tensor->rows; r++) {
        for (uint32_t k = 0; k < self->kept; k++)
            *out++ = tensor->values[r * columns + self->channel[k]];
    }
}

static int narrow_tensor(void *argument, const llm_layer_tensor_t *tensor, fmq_error_t *err)
{
    narrowing_t *self = argument;
    const llm_parameter_t *parameter = tensor->parameter;
    bool widens = parameter->module == LLM_UP || parameter->module == LLM_GATE;
    if (parameter->role != LLM_ROLE_MODULE || !(widens || is_down(tensor)))
        return llm_draft_add_layer_tensor(&self->draft, tensor, err);
    bool by_row = parameter->bias || widens != self->input_major;
    llm_draft_tensor_t out = {
        .name = tensor->name,
        .suffix = "",
        .rank = parameter->rank,
        .shape = {by_row ? self->kept : tensor->rows, by_row ? tensor->columns : self->kept}};
    float *values = malloc((size_t)(out.shape[0] * out.shape[1]) * sizeof *values);
    if (!values)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a narrower weight");
    gather(self, tensor, by_row, values);
    int rc = llm_draft_add_values(&self->draft, &out, values, err);
    free(values);
    return rc;
}

static int make_layer(const llm_making_t *making, uint32_t layer, const float *loudness,
                      const char *path, fmq_error_t *err)
{
    narrowing_t self;
    const llm_model_t *teacher = making->teacher;
    int rc = -1;
    if (narrowing_init(&self, making, loudness, err) == 0 &&
        llm_layer_each(teacher, layer, score_down, &self, err) == 0 && choose(&self, err) == 0 &&
        llm_layer_each(teacher, layer, narrow_tensor, &self, err) == 0)
        rc = llm_draft_save(&self.draft, path, err);
    narrowing_release(&self);
    return rc;
}

int llm_make_narrowed(const llm_making_t *self, char *const *paths, fmq_error_t *err)
{
    const llm_arch_t *arch = llm_model_shape(self->teacher)->arch;
    uint32_t channels = llm_model_shape(self->teacher)->ffn;
    if (arch->modules[LLM_GATE_UP])
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "channels of '%s' cannot be pruned: its gate and up are one tensor; "
                             "prune by magnitude, or make the emulator in another way",
                             arch->model_type);
    llm_loudness_t loudness = {.model = self->teacher,
                               .l = self->structure->l,
                               .r = self->structure->r,
                               .data = self->how->data,
                               .be = self->how->be,
                               .seed = self->how->seed};
    float *rms = llm_loudness_new(&loudness, err);
    int rc = rms ? 0 : -1;
    for (uint32_t i = 0; rc == 0 && i < self->structure->behind - self->structure->l; i++) {
        uint32_t layer = llm_making_source(self, i);
        const float *of_layer = rms + (size_t)(layer - self->structure->l) * channels;
        rc = make_layer(self, layer, of_layer, paths[i], err);
        if (rc < 0)
            fmq_error_prefix(err, "layer %u for the emulator", layer);
        else
            rc = llm_making_progress(self, i, err);
    }
    free(rms);
    return rc;
}
