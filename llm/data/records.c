/*
 * records.c - the store of records: an array of four pointers each, and the
 * texts in blocks that never move.  Files and formats are elsewhere.
 */
#include "fedmq/llm/records.h"

#include <stdlib.h>
#include <string.h>

#include "llm/data/store.h"
#include "llm/data/utf8.h"

#define BLOCK_BYTES (1u << 20)

typedef struct block {
    struct block *before; /* owned */
    size_t used, size;
    char bytes[];
} block_t;

struct llm_records {
    llm_record_t *items; /* owned */
    size_t size, capacity;
    block_t *block; /* owned: the newest */
};

llm_records_t *llm_records_new(void)
{
    return calloc(1, sizeof(llm_records_t));
}

void llm_records_destroy(llm_records_t **self_p)
{
    llm_records_t *self = *self_p;
    if (!self)
        return;
    while (self->block) {
        block_t *before = self->block->before;
        free(self->block);
        self->block = before;
    }
    free(self->items);
    free(self);
    *self_p = NULL;
}

static char *reserve_text(llm_records_t *self, size_t bytes, fmq_error_t *err)
{
    block_t *block = self->block;
    if (!block || block->size - block->used < bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = malloc(sizeof *block + size);
        if (!block) {
            fmq_error_set(err, FMQ_ERR_NOMEM, "cannot keep a record: out of memory");
            return NULL;
        }
        *block = (block_t){.before = self->block, .size = size};
        self->block = block;
    }
    char *text = block->bytes + block->used;
    block->used += bytes;
    return text;
}

/* Copies text; what is not UTF-8 becomes U+FFFD, so that every record can
 * travel as JSON. */
static const char *keep_text(llm_records_t *self, const char *text, fmq_error_t *err)
{
    if (!text || !*text)
        return "";
    size_t size = strlen(text);
    if (size > LLM_RECORD_TEXT_MAX) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "a field has %zu bytes, more than %u", size,
                      LLM_RECORD_TEXT_MAX);
        return NULL;
    }
    size_t mended = llm_utf8_mend(text, size, NULL);
    char *kept = reserve_text(self, mended + 1, err);
    if (!kept)
        return NULL;
    llm_utf8_mend(text, size, kept);
    kept[mended] = '\0';
    return kept;
}

static int reserve_item(llm_records_t *self, fmq_error_t *err)
{
    if (self->size < self->capacity)
        return 0;
    if (self->size >= LLM_RECORDS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "more than %zu records", self->size);
    size_t capacity = self->capacity ? 2 * self->capacity : 256;
    llm_record_t *items = realloc(self->items, capacity * sizeof *items);
    if (!items)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot keep %zu records: out of memory",
                             capacity);
    self->items = items;
    self->capacity = capacity;
    return 0;
}

int llm_records_add(llm_records_t *self, const llm_record_t *record, fmq_error_t *err)
{
    if (reserve_item(self, err) < 0)
        return -1;
    llm_record_t kept = {.instruction = keep_text(self, record->instruction, err)};
    if (!kept.instruction)
        return -1;
    kept.input = keep_text(self, record->input, err);
    if (!kept.input)
        return -1;
    kept.output = keep_text(self, record->output, err);
    if (!kept.output)
        return -1;
    kept.category = keep_text(self, record->category, err);
    if (!kept.category)
        return -1;
    self->items[self->size++] = kept;
    return 0;
}

size_t llm_records_size(const llm_records_t *self)
{
    return self->size;
}

const llm_record_t *llm_records_at(const llm_records_t *self, size_t index)
{
    return &self->items[index];
}

void llm_records_truncate(llm_records_t *self, size_t size)
{
    if (size < self->size)
        self->size = size;
}
