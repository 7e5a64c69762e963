/*
 * align_head.c - divergence and language modelling: the losses made of logits,
 * a block of rows at a time, forward and backward of a block before the next;
 * the host sees losses when all are there.
 */
#include "llm/offsite/align_pass.h"

/* Rows that both models have room for. */
static size_t block_of(const llm_align_pass_t *self)
{
    size_t block = llm_stages_block(self->student);
    size_t other = self->teacher.ws ? llm_stages_block(self->teacher.ws) : block;
    return other < block ? other : block;
}

static double sum_of(const float *losses, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)losses[i];
    return sum;
}

/* Mean over tokens of the divergence of the client's words from the full
 * model's. */
static double divergence(llm_align_pass_t *self, const llm_align_step_t *step)
{
    size_t tokens = step->batch->starts[step->batch->sequences];
    size_t block = block_of(self);
    float scale = (float)(step->scale * self->options->kl_weight / (double)tokens);
    for (size_t first = 0; first < tokens; first += block) {
        size_t count = tokens - first < block ? tokens - first : block;
        const llm_act_t *full = llm_stages_logits(self->teacher.ws, self->rows + first, count);
        (void)llm_stages_logits(self->student, self->rows + first, count);
        llm_stages_divergence(self->student, full, first, count, scale);
        if (scale != 0.0f)
            llm_stages_logits_backward(self->student, count);
    }
    return sum_of(llm_stages_losses(self->student, tokens), tokens) / (double)tokens;
}

/* Supervised rows first .. first + count of a batch. */
typedef struct {
    size_t first, count;
    float scale; /* of the gradient of the client's sum */
    bool full;   /* the full model's losses are wanted too */
} words_t;

/* Losses -log p(target), kept as those of the same numbers. */
static void surprise(llm_align_pass_t *self, const llm_batch_t *batch, const words_t *words)
{
    size_t block = block_of(self), end = words->first + words->count;
    for (size_t first = words->first; first < end; first += block) {
        size_t rows = end - first < block ? end - first : block;
        (void)llm_stages_logits(self->student, batch->rows + first, rows);
        llm_stages_cross_entropy(self->student, batch->targets + first, first, rows, words->scale);
        if (words->scale != 0.0f)
            llm_stages_logits_backward(self->student, rows);
        if (!words->full)
            continue;
        (void)llm_stages_logits(self->teacher.ws, batch->rows + first, rows);
        llm_stages_cross_entropy(self->teacher.ws, batch->targets + first, first, rows, 0.0f);
    }
}

/* Supervised rows of the sequence that begins at row number `first` of them. */
static size_t supervised_in(const llm_batch_t *batch, size_t sequence, size_t first)
{
    size_t last = first;
    while (last < batch->supervised && batch->rows[last] < (int32_t)batch->starts[sequence + 1])
        last++;
    return last - first;
}

/* log p_full - log p_client of an example's targets is the client's surprise
 * less the full model's.  Each example counts the same, whatever its length;
 * so one example's rows are taken at a time.  (Every example of a dataset has
 * a supervised row; one without would count as one without a difference.) */
static void likelihoods(llm_align_pass_t *self, const llm_align_step_t *step,
                        llm_align_losses_t *losses)
{
    const llm_align_options_t *options = self->options;
    const llm_batch_t *batch = step->batch;
    double sign = options->released ? -1.0 : 1.0, examples = (double)batch->sequences;
    for (size_t s = 0, first = 0, count; s < batch->sequences; s++, first += count) {
        count = supervised_in(batch, s, first);
        double each = sign * options->kl_weight / (examples * (double)count) +
                      options->lm_weight / (double)batch->supervised;
        words_t words = {
            .first = first, .count = count, .scale = (float)(step->scale * each), .full = true};
        if (count)
            surprise(self, batch, &words);
    }
    const float *client = llm_stages_losses(self->student, batch->supervised);
    const float *full = llm_stages_losses(self->teacher.ws, batch->supervised);
    double apart = 0.0, total = 0.0;
    for (size_t s = 0, first = 0, count; s < batch->sequences; s++, first += count) {
        count = supervised_in(batch, s, first);
        if (!count)
            continue;
        double mine = sum_of(client + first, count);
        apart += (mine - sum_of(full + first, count)) / (double)count;
        total += mine;
    }
    losses->kl = sign * apart / examples;
    losses->lm = options->lm_weight != 0.0 ? total / (double)batch->supervised : 0.0;
}

void llm_align_head(llm_align_pass_t *self, const llm_align_step_t *step,
                    llm_align_losses_t *losses)
{
    const llm_align_options_t *options = self->options;
    const llm_batch_t *batch = step->batch;
    if (options->kl_weight != 0.0 && options->kl == LLM_KL_LOGPS) {
        likelihoods(self, step, losses);
        return;
    }
    if (options->kl_weight != 0.0)
        losses->kl = divergence(self, step);
    if (options->lm_weight == 0.0)
        return;
    double each = options->lm_weight / (double)batch->supervised;
    words_t words = {.count = batch->supervised, .scale = (float)(step->scale * each)};
    surprise(self, batch, &words);
    const float *client = llm_stages_losses(self->student, batch->supervised);
    losses->lm = sum_of(client, batch->supervised) / (double)batch->supervised;
}
