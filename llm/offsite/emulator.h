/*
 * emulator.h - an emulator step by step, for who makes its layers.  Private to
 * this folder.
 */
#ifndef FEDMQ_LLM_OFFSITE_EMULATOR_H
#define FEDMQ_LLM_OFFSITE_EMULATOR_H

#include "fedmq/llm/offsite.h"
#include "llm/offsite/structure.h"

/* What is known before any layer is made.  NULL with err; release with
 * llm_emulator_destroy(). */
llm_emulator_t *llm_emulator_begin(const llm_model_t *teacher, const llm_emulator_spec_t *spec,
                                   fmq_error_t *err);
/* Borrowed. */
const llm_structure_t *llm_emulator_structure(const llm_emulator_t *self);
/* Puts the client's model together: E's layers come from the files of paths,
 * [behind - l] of them (NULL: from the teacher), all else from the teacher. */
int llm_emulator_compose(llm_emulator_t *self, const llm_model_t *teacher, char *const *paths,
                         fmq_error_t *err);

#endif
