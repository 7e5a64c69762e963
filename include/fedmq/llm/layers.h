/*
 * layers.h - a set of decoder layers.
 */
#ifndef FEDMQ_LLM_LAYERS_H
#define FEDMQ_LLM_LAYERS_H

#include "fedmq/base/api.h"
#include "fedmq/llm/shape.h"

FMQ_API_BEGIN

/* All zero it means every layer of whatever model it is used with. */
typedef struct {
    bool some; /* only those whose bit is set */
    llm_layer_bits_t bits;
} llm_layer_set_t;

/* Adds layers first .. behind - 1; from then on the set is `some`.  Numbers at
 * or above LLM_LAYERS_MAX are left out. */
void llm_layer_set_add(llm_layer_set_t *self, uint32_t first, uint32_t behind);
bool llm_layer_set_has(const llm_layer_set_t *self, uint32_t layer);

FMQ_API_END

#endif
