/*
 * draft.h - a layer's part file in the making: tensors under relative names,
 * with their bytes.  Private to this folder.
 */
#ifndef FEDMQ_LLM_OFFSITE_DRAFT_H
#define FEDMQ_LLM_OFFSITE_DRAFT_H

#include "fedmq/llm/parts.h"
#include "llm/weights/parameter.h"

/* Two norms and every module, each with weight (of two pieces) and bias. */
#define LLM_DRAFT_TENSORS_MAX (3 * (2 + LLM_MODULES))

typedef struct {
    llm_part_tensor_t tensors[LLM_DRAFT_TENSORS_MAX]; /* name and data owned */
    size_t size;
} llm_draft_t;

/* Takes *data_p (malloc'd) also on failure; name is copied, suffix appended. */
typedef struct {
    const char *name, *suffix; /* suffix "" for none */
    const char *dtype;
    uint32_t rank;
    uint64_t shape[2];
    uint64_t bytes;
} llm_draft_tensor_t;
int llm_draft_add(llm_draft_t *self, const llm_draft_tensor_t *tensor, void **data_p,
                  fmq_error_t *err);

/* Adds values in the narrowest of BF16, F16 and F32 that holds them exactly. */
int llm_draft_add_values(llm_draft_t *self, const llm_draft_tensor_t *tensor, const float *values,
                         fmq_error_t *err);

int llm_draft_save(const llm_draft_t *self, const char *path, fmq_error_t *err);
void llm_draft_release(llm_draft_t *self);

/* Can BF16 (F16) hold every value exactly? */
bool llm_values_are_bf16(const float *values, uint64_t count);
bool llm_values_are_f16(const float *values, uint64_t count);

/* A tensor of a layer that is rewritten. */
typedef struct {
    const llm_parameter_t *parameter;
    char name[FMQ_SCHEMA_NAME_MAX]; /* relative, with ".weight" or ".bias" */
    uint64_t rows, columns;         /* as stored; columns 1 for vectors */
    const float *values;
} llm_layer_tensor_t;

/* Calls each for every tensor of the layer, in the order of the model, until
 * it returns other than 0. */
typedef int(llm_layer_tensor_fn)(void *argument, const llm_layer_tensor_t *tensor,
                                 fmq_error_t *err);
int llm_layer_each(const llm_model_t *model, uint32_t layer, llm_layer_tensor_fn *each,
                   void *argument, fmq_error_t *err);

/* Adds it unchanged. */
int llm_draft_add_layer_tensor(llm_draft_t *self, const llm_layer_tensor_t *tensor,
                               fmq_error_t *err);

#endif
