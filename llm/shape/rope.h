/*
 * rope.h - rotary positions in config.json: what is read, written and made of it.
 *
 * Private to the engine.
 */
#ifndef FEDMQ_LLM_SHAPE_ROPE_H
#define FEDMQ_LLM_SHAPE_ROPE_H

#include "fedmq/llm/shape.h"
#include "llm/hub/json.h"

/* Reads rope_theta and rope_scaling, or rope_parameters as transformers 5 calls
 * it; refuses scalings that are not computed. */
void llm_rope_read(llm_json_reader_t *reader, llm_shape_t *shape);

/* Adds the keys to a config.json.  0, or -1 when out of memory. */
int llm_rope_write(json_t *root, const llm_shape_t *shape);

#endif
