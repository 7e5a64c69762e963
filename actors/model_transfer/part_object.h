/*
 * part_object.h - a part of an open model as an object.
 */
#ifndef FEDMQ_ACTORS_MODEL_TRANSFER_PART_OBJECT_H
#define FEDMQ_ACTORS_MODEL_TRANSFER_PART_OBJECT_H

#include "fedmq/actors/model_transfer.h"
#include "fedmq/broker/object.h"
#include "fedmq/llm/parts.h"

/* part: LLM_PART_STEM or a layer of model, whose weights are borrowed as long
 * as the object lives.  lending may be NULL for an object that nobody gets. */
fmq_object_t *fmq_part_object(const llm_model_t *model, uint32_t part, fmq_pins_t *pins,
                              fmq_error_t *err);

#endif
