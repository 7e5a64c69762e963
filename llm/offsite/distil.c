/*
 * distil.c - E's layers trained to do the work of all that they stand for:
 * begins as drop_layer does, trains every weight of E against the teacher on
 * public examples, and writes the result.  The training is llm_align_run()'s.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/align.h"
#include "llm/adapter/layout.h"
#include "llm/hub/half.h"
#include "llm/offsite/draft.h"
#include "llm/offsite/emulator.h"
#include "llm/offsite/strategy.h"

typedef struct {
    const llm_making_t *making;
    llm_emulator_t *start; /* owned: what drop_layer gives */
    llm_adapter_t *state;  /* owned: E's layers themselves, over start's student */
    float *vector;         /* owned: of state */
    float *adapter;        /* owned: A's vector, without effect */
    bool bf16, f16;        /* the teacher's own precision, and so the files' */
} distillation_t;

static void distillation_release(distillation_t *self)
{
    llm_adapter_destroy(&self->state);
    llm_emulator_destroy(&self->start);
    free(self->vector);
    free(self->adapter);
}

static float *vector_new(const llm_adapter_t *adapter, fmq_error_t *err)
{
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(adapter));
    float *vector = calloc((size_t)elements, sizeof *vector);
    if (!vector)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %llu weights of an emulator",
                      (unsigned long long)elements);
    return vector;
}

/* LoRA of zeros has no effect; full fine-tuning has none with the weights. */
static int adapter_init(distillation_t *self, const llm_offsite_t *offsite, fmq_error_t *err)
{
    self->adapter = vector_new(offsite->adapter, err);
    if (!self->adapter)
        return -1;
    if (llm_adapter_silent_at_zero(offsite->adapter))
        return 0;
    return llm_adapter_init(offsite->adapter, offsite->student, 0, self->adapter, err);
}

static int distillation_init(distillation_t *self, const llm_making_t *making, fmq_error_t *err)
{
    llm_emulator_spec_t spec = *making->spec;
    memset(self, 0, sizeof *self);
    self->making = making;
    spec.strategy = LLM_DROP_LAYER;
    self->start = llm_emulator_begin(making->teacher, &spec, err);
    if (!self->start || llm_emulator_compose(self->start, making->teacher, NULL, err) < 0)
        return -1;
    const llm_offsite_t *offsite = llm_emulator_offsite(self->start);
    llm_adapter_spec_t full = {.kind = LLM_ADAPTER_FULL,
                               .layers = llm_structure_emulator(making->structure)};
    self->state = llm_adapter_new(llm_model_shape(offsite->student), &full, err);
    if (!self->state)
        return -1;
    self->vector = vector_new(self->state, err);
    if (!self->vector || llm_adapter_init(self->state, offsite->student, 0, self->vector, err) < 0)
        return -1;
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(self->state));
    self->bf16 = llm_values_are_bf16(self->vector, elements);
    self->f16 = !self->bf16 && llm_values_are_f16(self->vector, elements);
    return adapter_init(self, offsite, err);
}

static int train(distillation_t *self, fmq_error_t *err)
{
    const llm_emulator_building_t *how = self->making->how;
    llm_offsite_t offsite = *llm_emulator_offsite(self->start);
    llm_align_stats_t stats;
    offsite.state = self->state;
    llm_align_t align = {.offsite = &offsite,
                         .data = how->data,
                         .options = how->distil,
                         .be = how->be,
                         .progress = how->progress,
                         .argument = how->argument};
    return llm_align_run(&align, self->adapter, self->vector, &stats, err);
}

/* Rounds to what a file of the teacher's precision holds. */
static void round_values(const distillation_t *self, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        if (self->bf16) {
            llm_half_to_bf16(&values[i], 1, &half);
            llm_half_from_bf16(&half, 1, &values[i]);
        } else if (self->f16) {
            llm_half_to_f16(&values[i], 1, &half);
            llm_half_from_f16(&half, 1, &values[i]);
        }
    }
}

static int write_layer(const distillation_t *self, uint32_t layer, const char *path,
                       fmq_error_t *err)
{
    const fmq_schema_t *schema = llm_adapter_schema(self->state);
    llm_draft_t draft = {.size = 0};
    char prefix[FMQ_SCHEMA_NAME_MAX];
    int rc = 0;
    (void)snprintf(prefix, sizeof prefix, "%s%u.",
                   llm_adapter_shape(self->state)->arch->layer_prefix, layer);
    for (size_t i = 0; rc == 0 && i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        if (strncmp(tensor->name, prefix, strlen(prefix)) != 0)
            continue;
        llm_draft_tensor_t out = {.name = tensor->name + strlen(prefix),
                                  .suffix = "",
                                  .rank = tensor->rank,
                                  .shape = {tensor->shape[0], tensor->shape[1]}};
        rc = llm_draft_add_values(&draft, &out, self->vector + tensor->offset, err);
    }
    if (rc == 0)
        rc = llm_draft_save(&draft, path, err);
    llm_draft_release(&draft);
    return rc;
}

static int write_all(distillation_t *self, char *const *paths, fmq_error_t *err)
{
    const llm_structure_t *structure = self->making->structure;
    uint64_t elements = fmq_schema_elements(llm_adapter_schema(self->state));
    round_values(self, self->vector, (size_t)elements);
    for (uint32_t layer = structure->l; layer < structure->behind; layer++) {
        if (write_layer(self, layer, paths[layer - structure->l], err) < 0)
            return -1;
    }
    return 0;
}

int llm_make_distilled(const llm_making_t *self, char *const *paths, fmq_error_t *err)
{
    distillation_t distillation;
    int rc = distillation_init(&distillation, self, err);
    if (rc == 0)
        rc = train(&distillation, err);
    if (rc == 0)
        rc = write_all(&distillation, paths, err);
    else
        fmq_error_prefix(err, "distillation");
    distillation_release(&distillation);
    return rc;
}
