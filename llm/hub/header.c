/*
 * header.c - a safetensors file that is to be written: its header, and the
 * order of what follows.  Sees names, dtypes and sizes; never the tensors'
 * bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/hub/file.h"
#include "llm/hub/json.h"
#include "llm/hub/safetensors.h"

#define ALIGNMENT 8 /* of the first tensor in the file */

/* Do the bytes of a tensor follow from its shape? */
static bool consistent(const llm_safetensors_entry_t *entry)
{
    uint64_t bytes = llm_safetensors_element_size(entry->dtype);
    for (uint32_t i = 0; i < entry->rank; i++)
        if (__builtin_mul_overflow(bytes, entry->shape[i], &bytes))
            return false;
    return bytes == entry->bytes && bytes / 4 <= FMQ_SCHEMA_ELEMENTS_MAX;
}

static int check(const llm_safetensors_entry_t *entry, const char *path, fmq_error_t *err)
{
    const char *why = NULL;
    if (!entry->name || !*entry->name || strcmp(entry->name, "__metadata__") == 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "cannot write '%s': a tensor has no name", path);
    if (!entry->dtype || llm_safetensors_element_size(entry->dtype) == 0)
        why = "has a dtype that cannot be written";
    else if (entry->rank > FMQ_SCHEMA_RANK_MAX)
        why = "has too many dimensions";
    else if (!consistent(entry))
        why = "has a size that does not fit its shape, or is too large";
    return why ? fmq_error_set(err, FMQ_ERR_FORMAT, "cannot write '%s': tensor '%s' %s", path,
                               entry->name, why)
               : 0;
}

static json_t *entry_json(const llm_safetensors_entry_t *entry, uint64_t *offset)
{
    uint64_t begin = *offset;
    *offset += entry->bytes;
    json_t *shape = json_array();
    for (uint32_t i = 0; i < entry->rank; i++)
        (void)json_array_append_new(shape, json_integer((json_int_t)entry->shape[i]));
    return json_pack("{ss so s[II]}", "dtype", entry->dtype, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)*offset);
}

static json_t *header_json(const char *path, const llm_safetensors_entry_t *entries, size_t count,
                           fmq_error_t *err)
{
    uint64_t offset = 0;
    json_t *header = json_pack("{s{ss}}", "__metadata__", "format", "pt");
    for (size_t i = 0; i < count; i++) {
        if (check(&entries[i], path, err) < 0)
            goto fail;
        if (json_object_get(header, entries[i].name)) {
            fmq_error_set(err, FMQ_ERR_FORMAT, "cannot write '%s': tensor '%s' is given twice",
                          path, entries[i].name);
            goto fail;
        }
        if (json_object_set_new(header, entries[i].name, entry_json(&entries[i], &offset)) < 0) {
            fmq_error_set(err, FMQ_ERR_FORMAT,
                          "cannot write '%s': the name '%s' is not UTF-8, or memory is short", path,
                          entries[i].name);
            goto fail;
        }
    }
    return header;
fail:
    json_decref(header);
    return NULL;
}

/* Length, text, and blanks up to the alignment. */
static char *assemble(const char *text, size_t *size)
{
    size_t length = strlen(text);
    size_t padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *bytes = malloc(ALIGNMENT + padded);
    if (!bytes)
        return NULL;
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)padded >> 8 * i & 0xff);
    memcpy(bytes + 8, text, length);
    memset(bytes + 8 + length, ' ', padded - length);
    *size = 8 + padded;
    return bytes;
}

char *llm_safetensors_header(const char *path, const llm_safetensors_entry_t *entries, size_t count,
                             size_t *size, fmq_error_t *err)
{
    json_t *header = header_json(path, entries, count, err);
    if (!header)
        return NULL;
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    char *bytes = text ? assemble(text, size) : NULL;
    free(text);
    if (!bytes)
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the header of '%s'", path);
    return bytes;
}

int llm_safetensors_write(const char *path, const llm_safetensors_content_t *content,
                          fmq_error_t *err)
{
    size_t size = 0;
    char *header = llm_safetensors_header(path, content->entries, content->count, &size, err);
    if (!header)
        return -1;
    llm_file_out_t out;
    if (llm_file_create(&out, path, err) < 0) {
        free(header);
        return -1;
    }
    /* A failed write shows in the stream, and commit reports it. */
    bool going = fwrite(header, 1, size, out.stream) == size;
    for (size_t i = 0; i < content->count && going; i++)
        going = content->write(content->argument, i, out.stream) == 0;
    free(header);
    return llm_file_commit(&out, err);
}
