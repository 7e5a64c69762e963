/*
 * ids.c - the id of a token, and growing lists of ids.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/tokenizer/loader.h"
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

int32_t llm_tokenizer_id(const llm_tokenizer_t *self, const char *token)
{
    int32_t id = llm_vocab_find(&self->added.vocab, token, strlen(token));
    return id >= 0 ? id : llm_vocab_find(&self->bpe.vocab, token, strlen(token));
}
