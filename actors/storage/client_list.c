/*
 * client_list.c - writes and reads a list of clients.
 */
#include "actors/storage/client_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/file.h"
#include "fedmq/actors/messages.h"

#define LIST_FILE_MAX (1u << 20) /* bytes */

int fmq_client_list_save(const fmq_client_list_t *self, const uint32_t *clients, size_t size,
                         fmq_error_t *err)
{
    int rc = -1;
    size_t capacity = 256 + 12 * size, at = 0;
    char *path = fmq_file_path(err, "%s/%s", self->folder, self->name);
    char *text = malloc(capacity);
    if (!path || !text) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a list of clients");
        goto fail;
    }
    at = (size_t)snprintf(text, capacity, "%s %u %zu", self->run, self->round, size);
    for (size_t i = 0; i < size; i++)
        at += (size_t)snprintf(text + at, capacity - at, " %u", clients[i]);
    at += (size_t)snprintf(text + at, capacity - at, "\n");
    fmq_digest_t digest = fmq_digest_of(text, at);
    fmq_digest_hex(&digest, text + at);
    at += FMQ_DIGEST_HEX_SIZE - 1;
    rc = fmq_file_save(path, text, at, err);
fail:
    free(text);
    free(path);
    return rc;
}

/* Parses text in place; the number of clients, or -1 when it is not ours. */
static int64_t parse_list(const fmq_client_list_t *self, const char *text, size_t size,
                          uint32_t **clients)
{
    char expected[FMQ_DIGEST_HEX_SIZE];
    const char *end = memchr(text, '\n', size);
    if (!end)
        return -1;
    fmq_digest_t digest = fmq_digest_of(text, (size_t)(end - text) + 1);
    fmq_digest_hex(&digest, expected);
    if (strcmp(end + 1, expected) != 0)
        return -1;
    char run[FMQ_RUN_ID_SIZE];
    unsigned round = 0;
    size_t count = 0;
    int used = 0;
    if (sscanf(text, "%32s %u %zu%n", run, &round, &count, &used) != 3 ||
        strcmp(run, self->run) != 0 || round != self->round || count > size)
        return -1;
    uint32_t *list = calloc(count + 1, sizeof *list);
    const char *at = text + used;
    for (size_t i = 0; list && i < count; i++) {
        char *next = NULL;
        list[i] = (uint32_t)strtoul(at, &next, 10);
        at = next;
    }
    *clients = list;
    return list ? (int64_t)count : -1;
}

int fmq_client_list_load(const fmq_client_list_t *self, uint32_t **clients, size_t *size,
                         fmq_error_t *err)
{
    size_t bytes = 0;
    fmq_error_t why;
    char *path = fmq_file_path(err, "%s/%s", self->folder, self->name);
    if (!path)
        return -1;
    int rc = 0;
    char *text = fmq_file_load(path, LIST_FILE_MAX, &bytes, &why);
    if (text) {
        int64_t count = parse_list(self, text, bytes, clients);
        if (count >= 0) {
            *size = (size_t)count;
            rc = 1;
        } else {
            fmq_log_write(self->log, FMQ_LOG_WARNING, "server", "journal-file-dropped",
                          "round=%u file=%s reason=\"not intact or of another run\"", self->round,
                          self->name);
        }
    } else if (why.code != FMQ_ERR_NOTFOUND) {
        rc = fmq_error_copy(err, &why);
    }
    free(text);
    free(path);
    return rc;
}
