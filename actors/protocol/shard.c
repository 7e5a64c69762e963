/*
 * shard.c - three lists of records as one object of JSON Lines, and back.
 * Reads the line that opens a part itself: it has one fixed form.
 */
#include "fedmq/actors/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[3] = {"train", "val", "test"};

#define HEAD_MAX 64 /* bytes of the line that opens a part */

typedef struct {
    char *data; /* owned */
    size_t size;
} text_t;

static int append(text_t *text, const void *data, size_t size, fmq_error_t *err)
{
    if (size > FMQ_SHARD_MAX - text->size)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a shard of more than %" PRIu64 " bytes",
                             FMQ_SHARD_MAX);
    char *grown = realloc(text->data, text->size + size + 1);
    if (!grown)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a shard");
    text->data = grown;
    if (size > 0)
        memcpy(grown + text->size, data, size);
    text->size += size;
    return 0;
}

static int append_part(text_t *text, const char *name, const llm_records_t *records,
                       fmq_error_t *err)
{
    char head[HEAD_MAX];
    size_t count = records ? llm_records_size(records) : 0;
    int length = snprintf(head, sizeof head, "{\"part\":\"%s\",\"records\":%zu}\n", name, count);
    if (append(text, head, (size_t)length, err) < 0)
        return -1;
    if (count == 0)
        return 0;
    size_t size = 0;
    char *lines = llm_records_encode(records, &size, err);
    if (!lines)
        return -1;
    int rc = append(text, lines, size, err);
    free(lines);
    return rc;
}

fmq_object_t *fmq_shard_encode(const llm_records_t *const parts[3], fmq_error_t *err)
{
    text_t text = {NULL, 0};
    fmq_object_t *object = NULL;
    for (int i = 0; i < 3; i++)
        if (append_part(&text, part_names[i], parts[i], err) < 0)
            goto fail;
    object = fmq_object_from_bytes(text.data, text.size, err);
fail:
    free(text.data);
    return object;
}

/* Reads {"part":"<name>","records":N} and a newline from data; its length, or
 * 0 when it is not there. */
static size_t read_head(const char *data, size_t size, const char *name, uint64_t *records)
{
    char expected[HEAD_MAX];
    size_t at = (size_t)snprintf(expected, sizeof expected, "{\"part\":\"%s\",\"records\":", name);
    if (size <= at || memcmp(data, expected, at) != 0)
        return 0;
    uint64_t value = 0;
    size_t digits = 0;
    for (; at < size && data[at] >= '0' && data[at] <= '9' && digits < 18; at++, digits++)
        value = 10 * value + (uint64_t)(data[at] - '0');
    if (digits == 0 || size - at < 2 || data[at] != '}' || data[at + 1] != '\n')
        return 0;
    *records = value;
    return at + 2;
}

/* Length of `lines` lines of data, or size + 1 when there are fewer. */
static size_t span_lines(const char *data, size_t size, uint64_t lines)
{
    size_t at = 0;
    for (uint64_t i = 0; i < lines; i++) {
        const char *end = at < size ? memchr(data + at, '\n', size - at) : NULL;
        if (!end)
            return size + 1;
        at = (size_t)(end - data) + 1;
    }
    return at;
}

static int read_part(const char *data, size_t size, const char *name, llm_records_t *records,
                     fmq_error_t *err)
{
    size_t before = llm_records_size(records);
    if (size > 0 && llm_records_decode(records, name, data, size, err) < 0)
        return -1;
    uint64_t lines = 0;
    for (size_t at = 0; at < size; at++)
        lines += data[at] == '\n';
    if (llm_records_size(records) - before != lines)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "part '%s' has %zu records where %" PRIu64 " were announced", name,
                             llm_records_size(records) - before, lines);
    return 0;
}

int fmq_shard_decode(const void *data, size_t size, llm_records_t *const parts[3], fmq_error_t *err)
{
    const char *text = data;
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t records = 0;
        size_t head = read_head(text + at, size - at, part_names[i], &records);
        if (head == 0)
            return fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "a shard has no line for part '%s' at byte %zu", part_names[i],
                                 at);
        at += head;
        size_t length = span_lines(text + at, size - at, records);
        if (length > size - at)
            return fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "a shard ends before the %" PRIu64 " records of part '%s'",
                                 records, part_names[i]);
        if (read_part(text + at, length, part_names[i], parts[i], err) < 0)
            return fmq_error_prefix(err, "shard");
        at += length;
    }
    if (at != size)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "a shard has %zu bytes behind its last record",
                             size - at);
    return 0;
}
