/*
 * build.h - steps that opening, drawing and composing a model have in common.
 *
 * Private to this folder.  A model that fails half way is given to
 * llm_model_destroy(), which takes it as it is.
 */
#ifndef FEDMQ_LLM_WEIGHTS_BUILD_H
#define FEDMQ_LLM_WEIGHTS_BUILD_H

#include "llm/weights/weights.h"

/* A model of this shape with its lists of tensors and parts, but no weights. */
llm_model_t *llm_model_shell_new(const llm_shape_t *shape, const char *directory, fmq_error_t *err);

/* Are all tensors where they should be, as many and as large?  Then places them
 * with be, unless that is NULL. */
int llm_model_finish(const llm_model_t *self, llm_backend_t *be, fmq_error_t *err);

/* Tensor number index as llm_model_read() gives it. */
int llm_model_read_at(const llm_model_t *self, size_t index, float *out, fmq_error_t *err);

/* Its extents there: those of the shape, where a layer has fewer channels. */
void llm_model_extents(const llm_model_t *self, const llm_parameter_t *parameter,
                       uint64_t shape[2]);

#endif
