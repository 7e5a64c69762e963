/*
 * layers.c - sets of decoder layers.  Knows no model: which of them exist is
 * for others to check.
 */
#include "fedmq/llm/layers.h"

void llm_layer_set_add(llm_layer_set_t *self, uint32_t first, uint32_t behind)
{
    self->some = true;
    for (uint32_t layer = first; layer < behind && layer < LLM_LAYERS_MAX; layer++)
        llm_layer_bit_set(&self->bits, layer, true);
}

bool llm_layer_set_has(const llm_layer_set_t *self, uint32_t layer)
{
    if (!self->some)
        return true;
    return layer < LLM_LAYERS_MAX && llm_layer_bit(&self->bits, layer);
}
