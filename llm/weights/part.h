/*
 * part.h - part files: what a stranger may have put into them, checked.
 *
 * Private to this folder.
 */
#ifndef FEDMQ_LLM_WEIGHTS_PART_H
#define FEDMQ_LLM_WEIGHTS_PART_H

#include "llm/weights/source.h"

/* What follows the name of a weight that is stored in two pieces. */
#define LLM_PART_CODES  ".codes"
#define LLM_PART_SCALES ".scales"
#define LLM_PART_MASK   ".mask"
#define LLM_PART_VALUES ".values"

/* Opens a part file as part number of a model, and learns from it how many
 * channels the MLP has.  FMQ_ERR_MISMATCH when it holds tensors that such a
 * part does not have. */
int llm_part_open(llm_model_t *model, uint32_t number, const char *path, fmq_error_t *err);

/* Finds a tensor in the part file it belongs to, and checks its extents. */
int llm_part_find(llm_source_t *source, const llm_model_t *model, const llm_parameter_t *parameter,
                  fmq_error_t *err);

#endif
