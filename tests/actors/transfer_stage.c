/*
 * transfer_stage.c - see transfer_stage.h.
 */
#include "transfer_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors_test.h"

#define CONFIG                                                                                     \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":6,\"hidden_size\":16,"                        \
    "\"num_attention_heads\":2,\"intermediate_size\":32,\"vocab_size\":64,"                        \
    "\"max_position_embeddings\":32}"

fmq_object_t *stage_part(uint32_t index, uint32_t seed)
{
    size_t size = index == 2 ? 2 * FMQ_CHUNK_MAX + 1000 : 500 + 100 * index;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(((i + 1) * (index + 3) * 2654435761u + seed) >> 11);
    fmq_object_t *object = fmq_object_from_bytes(bytes, size, NULL);
    assert_non_null(object);
    free(bytes);
    return object;
}

static void describe(fmq_blob_t *part, fmq_object_t *object, fmq_object_t **keep)
{
    *part = (fmq_blob_t){.digest = *fmq_object_digest(object), .bytes = fmq_object_bytes(object)};
    if (keep)
        *keep = object;
    else
        fmq_object_drop(&object);
}

fmq_manifest_t *stage_manifest(uint32_t seed, fmq_object_t *objects[STAGE_PARTS])
{
    static const uint32_t source[4] = {0, 1, 4, 5};
    fmq_manifest_t *self = calloc(1, sizeof *self);
    assert_non_null(self);
    strcpy(self->config, CONFIG);
    self->l = 1;
    self->r = 5;
    self->behind = 3;
    self->layers = 4;
    self->files = 2;
    memcpy(self->source, source, sizeof source);
    strcpy(self->file[0].name, "tokenizer.json");
    strcpy(self->file[1].name, "tokenizer_config.json");
    for (uint32_t i = 0; i < STAGE_PARTS; i++) {
        fmq_blob_t *part = i == 0              ? &self->stem
                           : i <= self->layers ? &self->parts[i - 1]
                                               : &self->file[i - 1 - self->layers].part;
        describe(part, stage_part(i == 4 ? 3 : i, seed), objects ? &objects[i] : NULL);
    }
    return self;
}

void *stage_read(const char *path, size_t *size)
{
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return NULL;
    char *bytes = malloc((1 << 21) + 1);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 21, stream);
    fclose(stream);
    return bytes;
}

void stage_write(const char *path, const void *data, size_t size)
{
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

bool stage_holds(const char *path, const fmq_object_t *object)
{
    size_t size = 0, at = 0;
    char *bytes = stage_read(path, &size);
    bool same = bytes && size == fmq_object_bytes(object);
    for (uint32_t i = 0; same && i < fmq_object_chunks(object); i++) {
        size_t length;
        const void *chunk = fmq_object_chunk(object, i, &length);
        same = memcmp(bytes + at, chunk, length) == 0;
        at += length;
    }
    free(bytes);
    return same;
}
