/*
 * targets.h - which modules of a model an adapter's settings mean, as PEFT
 * decides it: target_modules, exclude_modules, modules_to_save,
 * layers_to_transform.  Adds what is trained whole beside the targets.
 */
#ifndef FEDMQ_LLM_ADAPTER_TARGETS_H
#define FEDMQ_LLM_ADAPTER_TARGETS_H

#include "llm/adapter/layout.h"
#include "llm/adapter/names.h"

typedef struct {
    llm_adapter_t *adapter; /* borrowed */
    llm_names_t pattern;    /* target_modules when it is an expression */
    bool all_linear;
    llm_matcher_t expression, excluded;
    bool anywhere[LLM_TARGETS_MAX], here[LLM_TARGETS_MAX]; /* what each target found */
    bool any;
} llm_targets_t;

/* Names the architecture's own targets where the spec has none; defaults is a
 * NULL-terminated list, or NULL.  Release after failure too. */
int llm_targets_init(llm_targets_t *self, llm_adapter_t *adapter, const char *const *defaults,
                     fmq_error_t *err);
void llm_targets_release(llm_targets_t *self);

/* Is the module that this weight is of a target?  Asked of all in turn. */
bool llm_targets_has(llm_targets_t *self, const llm_parameter_t *weight);

/* Behind the last of them: FMQ_ERR_CONFIG when a target named nothing. */
int llm_targets_check(const llm_targets_t *self, fmq_error_t *err);

/* Adds the tensors of modules_to_save; FMQ_ERR_CONFIG when a name finds none.
 * None of them may be a target. */
int llm_targets_add_saved(llm_adapter_t *adapter, fmq_error_t *err);

/* All tensors that a target may be: those of the model, and the head of a tied
 * one, which has no tensor of its own. */
int llm_targets_list(llm_parameters_t *out, const llm_shape_t *shape, fmq_error_t *err);

/* Is this parameter trained whole? */
bool llm_targets_is_saved(const llm_adapter_spec_t *spec, const llm_shape_t *shape,
                          const llm_parameter_t *parameter);

#endif
