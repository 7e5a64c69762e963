/*
 * key.c - what a layer of an emulator was made from, as a digest: the name
 * under which its file is found again.  Another way to make layers, or another
 * reading of the same numbers, needs another LAYOUT.
 */
#include <string.h>

#include "fedmq/llm/align.h"
#include "llm/offsite/quantize.h"
#include "llm/offsite/strategy.h"

#define LAYOUT "fedmq emulator layer 2"

static void add_number(fmq_digest_state_t *state, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    fmq_digest_add(state, bytes, sizeof bytes);
}

static void add_real(fmq_digest_state_t *state, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_number(state, bits);
}

static void add_text(fmq_digest_state_t *state, const char *text)
{
    fmq_digest_add(state, text, strlen(text) + 1);
}

static void add_digest(fmq_digest_state_t *state, const fmq_digest_t *digest)
{
    fmq_digest_add(state, digest->bytes, sizeof digest->bytes);
}

static void add_data(fmq_digest_state_t *state, const llm_dataset_t *data)
{
    size_t size = llm_dataset_size(data);
    add_number(state, size);
    for (size_t i = 0; i < size; i++) {
        llm_example_t example = llm_dataset_at(data, i);
        add_number(state, example.size);
        add_number(state, example.prompt);
        for (uint32_t t = 0; t < example.size; t++)
            add_number(state, (uint64_t)(uint32_t)example.ids[t]);
    }
}

static void add_schedule(fmq_digest_state_t *state, const llm_schedule_t *schedule)
{
    add_number(state, schedule->kind);
    add_number(state, schedule->warmup);
    add_number(state, schedule->total);
    add_number(state, schedule->step_size);
    add_number(state, schedule->t_max);
    add_real(state, schedule->gamma);
    add_real(state, schedule->eta_min);
    add_real(state, schedule->start_factor);
    add_real(state, schedule->end_factor);
    add_number(state, schedule->milestones_size);
    for (size_t i = 0; i < schedule->milestones_size && i < LLM_MILESTONES_MAX; i++)
        add_number(state, schedule->milestones[i]);
}

/* Nothing for optimizers that have been there from the beginning, so that their keys
 * stay. */
static void add_further(fmq_digest_state_t *state, const llm_optimizer_t *optimizer)
{
    const double reals[] = {optimizer->alpha, optimizer->lr_decay, optimizer->initial_accumulator,
                            optimizer->eps2,  optimizer->clip,     optimizer->beta2_decay};
    const uint64_t numbers[] = {optimizer->maximize,      optimizer->amsgrad,
                                optimizer->centered,      optimizer->scale_parameter,
                                optimizer->relative_step, optimizer->warmup_init,
                                optimizer->min_8bit_size};
    if (optimizer->kind <= LLM_ADAMW && !optimizer->maximize && !optimizer->amsgrad)
        return;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        add_real(state, reals[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        add_number(state, numbers[i]);
}

static void add_training(fmq_digest_state_t *state, const llm_train_options_t *train)
{
    const llm_optimizer_t *optimizer = &train->optimizer;
    add_number(state, optimizer->kind);
    const double reals[] = {optimizer->lr,    optimizer->momentum, optimizer->dampening,
                            optimizer->beta1, optimizer->beta2,    optimizer->weight_decay,
                            optimizer->eps,   train->grad_clip,    train->proximal_mu};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        add_real(state, reals[i]);
    add_further(state, optimizer);
    add_schedule(state, &train->schedule);
    const uint64_t numbers[] = {optimizer->nesterov, train->by_epoch,     train->steps,
                                train->batch_size,   train->shuffle,      train->drop_last,
                                train->grad_accum,   train->retry_on_nan, train->retries_max,
                                train->seed,         train->client,       train->round};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        add_number(state, numbers[i]);
}

static void add_distillation(fmq_digest_state_t *state, const llm_making_t *self)
{
    const llm_align_options_t *distil = self->how->distil;
    const llm_structure_t *structure = self->structure;
    for (uint32_t i = 0; i < structure->layers; i++)
        add_number(state, structure->source[i]);
    add_number(state, structure->l);
    add_number(state, structure->r);
    add_number(state, distil->sim);
    add_number(state, distil->layerwise);
    add_number(state, distil->kl);
    add_real(state, distil->sim_weight);
    add_real(state, distil->kl_weight);
    add_real(state, distil->lm_weight);
    add_number(state, distil->released);
    add_training(state, &distil->train);
    add_data(state, self->how->data);
}

/* In what the teacher's passes compute, where layers depend on them. */
static void add_precision(fmq_digest_state_t *state, const llm_making_t *self)
{
    llm_form_choice_t form = llm_model_form(self->teacher);
    add_number(state, form.given);
    add_number(state, form.given ? form.form : 0);
    add_number(state, self->how->be ? self->how->be->ops->act : FMQ_F32);
}

fmq_digest_t llm_making_key_common(const llm_making_t *self)
{
    const llm_emulator_spec_t *spec = self->spec;
    fmq_digest_t teacher = llm_model_digest(self->teacher);
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    add_text(&state, LAYOUT);
    add_text(&state, llm_making_strategy(spec));
    add_digest(&state, &teacher);
    if (spec->strategy == LLM_QUANTIZATION) {
        add_number(&state, spec->bits);
        add_number(&state, spec->group ? spec->group : LLM_QUANTIZATION_GROUP);
    } else if (spec->strategy == LLM_PRUNING) {
        add_real(&state, spec->prune_ratio);
        if (spec->structured) {
            add_precision(&state, self);
            add_number(&state, self->how->seed);
            add_data(&state, self->how->data);
        }
    } else {
        add_precision(&state, self);
        add_distillation(&state, self);
    }
    return fmq_digest_end(&state);
}

fmq_digest_t llm_making_key(const llm_making_t *self, uint32_t i, const fmq_digest_t *common)
{
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    add_digest(&state, common);
    add_number(&state, llm_making_source(self, i));
    return fmq_digest_end(&state);
}
