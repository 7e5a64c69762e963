/*
 * shard.c - fuzz target: a client's data as it travels.  What is accepted must
 * give the same records when it is encoded and decoded again.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/actors/shard.h"
#include "tests/fuzz/fuzz.h"

static void destroy(llm_records_t *parts[3])
{
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
}

/* The bytes of a shard of these parts, the caller's. */
static char *encode(llm_records_t *const parts[3], size_t *size)
{
    const llm_records_t *borrowed[3] = {parts[0], parts[1], parts[2]};
    fmq_object_t *object = fmq_shard_encode(borrowed, NULL);
    if (!object)
        __builtin_trap();
    char *bytes = malloc(fmq_object_bytes(object) + 1);
    *size = 0;
    for (uint32_t i = 0; bytes && i < fmq_object_chunks(object); i++) {
        size_t length;
        const void *chunk = fmq_object_chunk(object, i, &length);
        memcpy(bytes + *size, chunk, length);
        *size += length;
    }
    fmq_object_drop(&object);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    llm_records_t *parts[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
    fmq_error_t err;
    if (fmq_shard_decode(data, size, parts, &err) == 0) {
        llm_records_t *again[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
        size_t first, second;
        char *a = encode(parts, &first);
        if (a && fmq_shard_decode(a, first, again, &err) < 0)
            __builtin_trap();
        char *b = encode(again, &second);
        if (a && b && (first != second || memcmp(a, b, first) != 0))
            __builtin_trap();
        free(a);
        free(b);
        destroy(again);
    }
    destroy(parts);
    return 0;
}
