/*
 * align_pass.c - strings the stages of both models together.
 *
 * The stream is compared behind each tapped layer as soon as it is there, for
 * in evaluation the next layer overwrites it.  Gradients of all losses are
 * taken only when their sum is known to be finite, and enter on the way down.
 */
#include "llm/offsite/align_pass.h"

#include <math.h>
#include <stdlib.h>

#define MODEL_BYTES_SMALL ((size_t)256 << 20)

/* Number of the teacher's stream that is compared behind a layer of the
 * student; SIZE_MAX: none. */
static size_t tap_behind(const llm_align_pass_t *self, uint32_t layer)
{
    const llm_offsite_t *offsite = self->offsite;
    if (!self->similar || layer < offsite->first || layer >= offsite->behind)
        return SIZE_MAX;
    if (self->options->layerwise)
        return layer - offsite->first;
    return layer == offsite->behind - 1 ? 0 : SIZE_MAX;
}

static int init_teacher(llm_align_pass_t *self, const llm_align_t *align,
                        const llm_align_start_t *start, fmq_error_t *err)
{
    const llm_offsite_t *offsite = self->offsite;
    uint32_t last = offsite->r - 1;
    llm_teacher_wish_t wish = {.tap = &last,
                               .taps = self->similar ? 1 : 0,
                               .whole = self->options->kl_weight != 0.0,
                               .tokens_max = start->tokens_max,
                               .sequences_max = self->options->train.batch_size};
    if (wish.sequences_max > wish.tokens_max) /* each has a token */
        wish.sequences_max = wish.tokens_max;
    if (self->similar && self->options->layerwise) {
        wish.tap = offsite->source + offsite->first;
        wish.taps = offsite->behind - offsite->first;
    }
    return llm_teacher_init(&self->teacher, align, &wish, start->adapter, err);
}

/* A server holds the full model anyway: a share of that may go to the passes
 * of the student before activations are computed again instead of kept.  Beside
 * a small model there is nothing to be saved that would be worth the time. */
static size_t bytes_wanted(const llm_offsite_t *offsite)
{
    const llm_model_t *model = offsite->teacher ? offsite->teacher : offsite->student;
    size_t bytes = (size_t)llm_shape_parameters(llm_model_shape(model)) * sizeof(float);
    return bytes < MODEL_BYTES_SMALL ? 0 : bytes / 12;
}

static int init_student(llm_align_pass_t *self, const llm_align_start_t *start, llm_backend_t *be,
                        fmq_error_t *err)
{
    const llm_offsite_t *offsite = self->offsite;
    llm_stack_t stack = {
        .model = offsite->student, .adapter = offsite->state, .fixed = offsite->adapter};
    llm_limits_t limits = {.tokens_max = start->tokens_max,
                           .supervised_max = LLM_ALIGN_ROWS_MAX,
                           .training = start->training,
                           .behind = self->words ? 0 : offsite->behind,
                           .recompute = self->options->recompute,
                           .bytes_wanted = bytes_wanted(offsite)};
    self->student = llm_workspace_new_stack(&stack, &limits, be, err);
    if (!self->student || llm_workspace_set_params(self->student, start->state, err) < 0 ||
        llm_workspace_set_fixed(self->student, start->adapter, err) < 0)
        return -1;
    self->rows = malloc((limits.tokens_max + 1) * sizeof *self->rows);
    if (!self->rows)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for batches of %zu tokens",
                             limits.tokens_max);
    for (size_t i = 0; i < limits.tokens_max; i++)
        self->rows[i] = (int32_t)i;
    return 0;
}

int llm_align_pass_init(llm_align_pass_t *self, const llm_align_t *align,
                        const llm_align_start_t *start, fmq_error_t *err)
{
    const llm_align_options_t *options = align->options;
    *self = (llm_align_pass_t){.offsite = align->offsite,
                               .options = options,
                               .compares = options->sim_weight != 0.0 || options->kl_weight != 0.0,
                               .similar = options->sim_weight != 0.0,
                               .words = options->kl_weight != 0.0 || options->lm_weight != 0.0};
    if (init_student(self, start, align->be, err) < 0 ||
        (self->compares && init_teacher(self, align, start, err) < 0))
        return -1;
    if (!self->similar)
        return 0;
    llm_similarity_how_t how = {
        .kind = options->sim, .rows_max = start->tokens_max, .width = align->offsite->full->width};
    return llm_similarity_init(&self->similarity, &how, align->be, err);
}

void llm_align_pass_release(llm_align_pass_t *self)
{
    llm_workspace_destroy(&self->student);
    llm_teacher_release(&self->teacher);
    if (self->similar)
        llm_similarity_release(&self->similarity);
    free(self->rows);
    *self = (llm_align_pass_t){0};
}

/* What is compared behind a layer of the student, which has a tap. */
static llm_streams_t streams_behind(llm_align_pass_t *self, uint32_t layer, size_t rows)
{
    return (llm_streams_t){.teacher = llm_teacher_stream(&self->teacher, tap_behind(self, layer)),
                           .student = llm_stages_stream(self->student, layer + 1),
                           .rows = rows};
}

/* Forward through the emulator, comparing on the way. */
static void emulate(llm_align_pass_t *self, const llm_packed_t *packed, llm_align_losses_t *losses)
{
    for (uint32_t l = self->offsite->first; l < self->offsite->behind; l++) {
        llm_stages_forward(self->student, packed, l, l + 1);
        if (tap_behind(self, l) == SIZE_MAX)
            continue;
        llm_streams_t streams = streams_behind(self, l, packed->tokens);
        losses->sim += llm_similarity(&self->similarity, &streams);
    }
}

static void backward(llm_align_pass_t *self, const llm_packed_t *packed, double scale)
{
    const llm_offsite_t *offsite = self->offsite;
    uint32_t lowest = llm_adapter_first_layer(offsite->state);
    uint32_t top = self->words ? llm_model_shape(offsite->student)->layers : offsite->behind;
    for (uint32_t l = top; l-- > lowest;) {
        if (tap_behind(self, l) != SIZE_MAX) {
            llm_streams_t streams = streams_behind(self, l, packed->tokens);
            llm_similarity_backward(&self->similarity, llm_stages_gradient(self->student), &streams,
                                    scale * self->options->sim_weight);
        }
        llm_stages_backward(self->student, packed, l);
    }
    llm_stages_collect(self->student);
}

int llm_align_pass_run(llm_align_pass_t *self, const llm_align_step_t *step,
                       llm_align_losses_t *losses, fmq_error_t *err)
{
    const llm_offsite_t *offsite = self->offsite;
    const llm_align_options_t *options = self->options;
    llm_align_losses_t sums = {0};
    llm_packed_t packed;
    if (llm_stages_begin(self->student, step->batch, step->dropout, &packed, err) < 0)
        return -1;
    llm_stages_embed(self->student, &packed);
    llm_stages_forward(self->student, &packed, 0, offsite->first);
    if (self->compares &&
        llm_teacher_run(&self->teacher, step->batch, step->examples,
                        llm_stages_stream(self->student, offsite->first), err) < 0)
        return -1;
    emulate(self, &packed, &sums);
    if (step->scale != 0.0)
        llm_stages_zero_gradient(self->student, &packed);
    if (self->words) {
        llm_stages_forward(self->student, &packed, offsite->behind,
                           llm_model_shape(offsite->student)->layers);
        llm_align_head(self, step, &sums);
    }
    sums.loss = options->sim_weight * sums.sim + options->kl_weight * sums.kl +
                options->lm_weight * sums.lm;
    if (step->scale != 0.0 && isfinite(sums.loss))
        backward(self, &packed, step->scale);
    if (llm_stages_end(self->student, err) < 0)
        return -1;
    *losses = sums;
    return 0;
}
