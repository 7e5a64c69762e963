/*
 * ids.c - a growing list of token ids.
 */
#include <stdlib.h>

#include "fedmq/llm/tokenizer.h"
#include "llm/tokenizer/text.h"

void llm_ids_release(llm_ids_t *ids)
{
    free(ids->ids);
    *ids = (llm_ids_t){0};
}

int llm_ids_append(llm_ids_t *ids, int32_t id, fmq_error_t *err)
{
    int32_t *grown = llm_text_grow(ids->ids, ids->size, &ids->capacity, sizeof *grown, err);
    if (!grown)
        return -1;
    ids->ids = grown;
    ids->ids[ids->size++] = id;
    return 0;
}
