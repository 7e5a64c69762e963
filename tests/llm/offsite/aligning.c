/*
 * aligning.c - see aligning.h.
 */
#include "tests/llm/offsite/aligning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/data/byte_tokenizer.h"

static fmq_error_t err;

static void must(bool done)
{
    if (!done)
        fail_msg("%s", err.text);
}

aligning_how_t aligning_usual(void)
{
    return (aligning_how_t){.family = "llama",
                            .l = 1,
                            .r = 5,
                            .adapter = {.kind = LLM_ADAPTER_LORA,
                                        .rank = 4,
                                        .alpha = 8.0f,
                                        .targets = 7,
                                        .target = {"q_proj", "k_proj", "v_proj", "o_proj",
                                                   "gate_proj", "up_proj", "down_proj"}}};
}

/* Questions and answers of different lengths. */
static llm_dataset_t *examples_new(void)
{
    llm_records_t *records = llm_records_new();
    llm_tokenizer_t tokenizer = {0};
    for (int i = 0; i < ALIGNING_EXAMPLES; i++) {
        char question[32], answer[32];
        (void)snprintf(question, sizeof question, "%.*s", 3 + i % 4, "which word?");
        (void)snprintf(answer, sizeof answer, "%d%.*s", i * 37 % 100, 2 + i % 5, "abcdefgh");
        llm_record_t record = {.instruction = question, .output = answer};
        must(llm_records_add(records, &record, &err) == 0);
    }
    llm_dataset_t *data = llm_dataset_new(records, NULL, &tokenizer, 1000, &err);
    must(data != NULL);
    llm_records_destroy(&records);
    return data;
}

void aligning_open(aligning_t *self, const aligning_how_t *how, llm_backend_t *be)
{
    memset(self, 0, sizeof *self);
    assert_non_null(be);
    self->be = be;
    llm_shape_t shape = small_shape(how->family, 6);
    self->data = examples_new();
    shape.context = (uint32_t)llm_dataset_longest(self->data);
    self->teacher = llm_model_new_random(&shape, 5, be, &err);
    must(self->teacher != NULL);
    llm_emulator_spec_t spec = small_spec(how->l, how->r, 0.5);
    spec.adapter = how->adapter;
    llm_emulator_building_t building = {.be = be};
    self->emulator = llm_emulator_new(self->teacher, &spec, &building, &err);
    must(self->emulator != NULL);
    const llm_offsite_t *offsite = llm_emulator_offsite(self->emulator);
    self->adapter = small_vector(offsite->adapter, 0.1, 1);
    self->adapter_size = (size_t)fmq_schema_elements(llm_adapter_schema(offsite->adapter));
    self->state_size = (size_t)fmq_schema_elements(llm_adapter_schema(offsite->state));
    self->state = calloc(self->state_size, sizeof *self->state);
    must(llm_adapter_init(offsite->state, offsite->student, 9, self->state, &err) == 0);
    self->options = (llm_align_options_t){
        .sim_weight = 1.0,
        .train = {
            .optimizer = {.kind = LLM_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8},
            .steps = 6,
            .batch_size = 3,
            .shuffle = true,
            .grad_accum = 1,
            .seed = 3,
            .round = 1}};
    self->align =
        (llm_align_t){.offsite = offsite, .data = self->data, .options = &self->options, .be = be};
}

void aligning_close(aligning_t *self)
{
    free(self->adapter);
    free(self->state);
    llm_dataset_destroy(&self->data);
    llm_emulator_destroy(&self->emulator);
    llm_model_destroy(&self->teacher);
    llm_backend_destroy(&self->be);
}

float *aligning_run(aligning_t *self, llm_align_stats_t *stats)
{
    float *state = malloc(self->state_size * sizeof *state);
    assert_non_null(state);
    memcpy(state, self->state, self->state_size * sizeof *state);
    must(llm_align_run(&self->align, self->adapter, state, stats, &err) == 0);
    return state;
}

llm_align_stats_t aligning_measure(aligning_t *self, const float *state)
{
    llm_align_stats_t stats;
    must(llm_align_measure(&self->align, self->adapter, state, &stats, &err) == 0);
    return stats;
}
