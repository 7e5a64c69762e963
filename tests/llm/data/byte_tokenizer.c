/*
 * byte_tokenizer.c - the functions of tokenizer.h over bytes, as far as data
 * and training use them.
 */
#include "tests/llm/data/byte_tokenizer.h"

#include <stdlib.h>
#include <string.h>

void llm_ids_release(llm_ids_t *ids)
{
    free(ids->ids);
    *ids = (llm_ids_t){0};
}

int llm_ids_append(llm_ids_t *ids, int32_t id, fmq_error_t *err)
{
    if (ids->size == ids->capacity) {
        size_t capacity = ids->capacity ? 2 * ids->capacity : 16;
        int32_t *grown = realloc(ids->ids, capacity * sizeof *grown);
        if (!grown)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory");
        ids->ids = grown;
        ids->capacity = capacity;
    }
    ids->ids[ids->size++] = id;
    return 0;
}

int llm_tokenizer_encode(const llm_tokenizer_t *self, const char *text, size_t size, bool special,
                         llm_ids_t *ids, fmq_error_t *err)
{
    union {
        const llm_tokenizer_t *given;
        llm_tokenizer_t *counted;
    } both = {.given = self};
    if (++both.counted->calls == self->refused_at)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "refused");
    if (size > self->largest)
        both.counted->largest = size;
    if (special && llm_ids_append(ids, BYTE_BOS, err) < 0)
        return -1;
    for (size_t i = 0; i < size; i++)
        if (llm_ids_append(ids, (unsigned char)text[i], err) < 0)
            return -1;
    return 0;
}

char *llm_tokenizer_decode(const llm_tokenizer_t *self, const int32_t *ids, size_t count,
                           bool skip_special, size_t *size, fmq_error_t *err)
{
    (void)self, (void)skip_special;
    char *text = malloc(count + 1);
    if (!text) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory");
        return NULL;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 256)
            text[used++] = (char)ids[i];
    text[used] = '\0';
    if (size)
        *size = used;
    return text;
}

int32_t llm_tokenizer_eos(const llm_tokenizer_t *self)
{
    (void)self;
    return BYTE_EOS;
}

const int32_t *llm_tokenizer_ends(const llm_tokenizer_t *self, size_t *size)
{
    static const int32_t ends[] = {BYTE_EOS, BYTE_EOS + 7};
    (void)self;
    *size = 2;
    return ends;
}

/* There is none on disk. */
llm_tokenizer_t *llm_tokenizer_open(const char *directory, fmq_error_t *err)
{
    fmq_error_set(err, FMQ_ERR_NOTFOUND, "'%s' has no tokenizer", directory);
    return NULL;
}

void llm_tokenizer_destroy(llm_tokenizer_t **self_p)
{
    *self_p = NULL;
}
