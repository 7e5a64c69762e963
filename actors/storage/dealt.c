/*
 * dealt.c - a table of counts, and a file with a line for each client that is
 * known: "<client> <train> <val> <test>".
 */
#include "actors/storage/dealt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/storage/file.h"

#define LINE_MAX_BYTES 80 /* four numbers */

typedef struct {
    bool known;
    uint64_t counts[FMQ_DEALT_PARTS];
} shard_t;

struct fmq_dealt {
    char *path;      /* owned */
    shard_t *shards; /* owned: of client k at k - 1 */
    uint32_t clients;
    bool changed; /* since the file was written */
};

static bool put(fmq_dealt_t *self, uint64_t client, const uint64_t counts[FMQ_DEALT_PARTS])
{
    if (client < 1 || client > self->clients)
        return false;
    shard_t *shard = &self->shards[client - 1];
    if (shard->known && memcmp(shard->counts, counts, sizeof shard->counts) == 0)
        return false;
    shard->known = true;
    memcpy(shard->counts, counts, sizeof shard->counts);
    return true;
}

/* A number and what must follow it; NULL when it is none. */
static const char *number(const char *at, char after, uint64_t *out)
{
    char *end = NULL;
    if (!at || *at < '0' || *at > '9')
        return NULL;
    *out = strtoull(at, &end, 10);
    return *end == after ? end + 1 : NULL;
}

/* One line; the beginning of the next, or NULL. */
static const char *parse(fmq_dealt_t *self, const char *at)
{
    uint64_t client = 0, counts[FMQ_DEALT_PARTS] = {0};
    at = number(at, ' ', &client);
    for (int part = 0; at && part < FMQ_DEALT_PARTS; part++)
        at = number(at, part + 1 < FMQ_DEALT_PARTS ? ' ' : '\n', &counts[part]);
    return at && put(self, client, counts) ? at : NULL;
}

static int load(fmq_dealt_t *self, fmq_error_t *err)
{
    size_t size = 0;
    fmq_error_t why = {0};
    char *text = fmq_file_load(self->path, (size_t)self->clients * LINE_MAX_BYTES, &size, &why);
    if (!text && why.code == FMQ_ERR_NOTFOUND)
        return 0;
    if (!text && why.code != FMQ_ERR_LIMIT)
        return fmq_error_copy(err, &why);
    const char *at = text;
    while (at && *at)
        at = parse(self, at);
    bool right = at && at == text + size;
    free(text);
    return right ? 0
                 : fmq_error_set(err, FMQ_ERR_FORMAT,
                                 "'%s' does not hold the counts of records that were written "
                                 "there; remove it, the splitter says them anew",
                                 self->path);
}

fmq_dealt_t *fmq_dealt_open(const char *directory, uint32_t clients, fmq_error_t *err)
{
    fmq_dealt_t *self = calloc(1, sizeof *self);
    if (self) {
        self->clients = clients;
        self->shards = calloc(clients ? clients : 1, sizeof *self->shards);
    }
    if (!self || !self->shards) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the counts of %" PRIu32 " clients",
                            clients);
        fmq_dealt_close(&self);
        return NULL;
    }
    self->path = fmq_file_path(err, "%s/" FMQ_DEALT_NAME, directory);
    if (!self->path || load(self, err) < 0)
        fmq_dealt_close(&self);
    return self;
}

void fmq_dealt_close(fmq_dealt_t **self_p)
{
    fmq_dealt_t *self = *self_p;
    if (!self)
        return;
    free(self->path);
    free(self->shards);
    free(self);
    *self_p = NULL;
}

bool fmq_dealt_take(fmq_dealt_t *self, const fmq_message_shard_t *note)
{
    const uint64_t counts[FMQ_DEALT_PARTS] = {note->train, note->val, note->test};
    bool changed = put(self, note->client, counts);
    self->changed = self->changed || changed;
    return changed;
}

int fmq_dealt_save(fmq_dealt_t *self, fmq_error_t *err)
{
    if (!self->changed)
        return 0;
    size_t used = 0, capacity = (size_t)self->clients * LINE_MAX_BYTES + 1;
    char *text = malloc(capacity);
    if (!text)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the counts of %" PRIu32 " clients",
                             self->clients);
    for (uint32_t k = 1; k <= self->clients; k++) {
        const uint64_t *counts = fmq_dealt_to(self, k);
        if (counts)
            used += (size_t)snprintf(text + used, capacity - used,
                                     "%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", k,
                                     counts[0], counts[1], counts[2]);
    }
    int rc = fmq_file_save(self->path, text, used, err);
    free(text);
    self->changed = rc < 0;
    return rc;
}

const uint64_t *fmq_dealt_to(const fmq_dealt_t *self, uint32_t client)
{
    if (!self || client < 1 || client > self->clients || !self->shards[client - 1].known)
        return NULL;
    return self->shards[client - 1].counts;
}
