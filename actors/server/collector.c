/*
 * collector.c - a slot for each client; events find theirs by digest.
 */
#include "actors/server/collector.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/protocol/download.h"
#include "fedmq/actors/receive.h"

typedef enum {
    SLOT_EMPTY,
    SLOT_OFFERED,  /* waits for room, or for retry_ms */
    SLOT_FETCHING, /* writer is open */
    SLOT_FETCHED,  /* the journal has it; waits for the commit */
    SLOT_ACCEPTED,
    SLOT_REJECTED
} slot_state_t;

typedef struct {
    slot_state_t state;
    fmq_digest_t update;
    uint64_t samples, bytes;
    int64_t retry_ms;
    uint32_t failures;               /* of fetching it */
    fmq_update_log_writer_t *writer; /* owned while FETCHING */
} slot_t;

struct fmq_collector {
    fmq_collector_options_t options;
    fmq_update_log_t *journal; /* borrowed; NULL: closed */
    slot_t *slots;             /* owned, client k at k - 1 */
    size_t fetches;
    uint64_t received; /* bytes of updates that were accepted */
};

fmq_collector_t *fmq_collector_new(const fmq_collector_options_t *options, fmq_error_t *err)
{
    fmq_collector_t *self = calloc(1, sizeof *self);
    slot_t *slots = calloc(options->clients, sizeof *slots);
    if (!self || !slots) {
        free(self);
        free(slots);
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the offers of %u clients",
                            options->clients);
        return NULL;
    }
    self->options = *options;
    self->slots = slots;
    return self;
}

void fmq_collector_destroy(fmq_collector_t **self_p)
{
    fmq_collector_t *self = *self_p;
    if (!self)
        return;
    fmq_collector_close(self);
    free(self->slots);
    free(self);
    *self_p = NULL;
}

/* Ends a fetch, if there is one; the slot's state is the caller's to set. */
static void stop_fetch(fmq_collector_t *self, slot_t *slot)
{
    if (slot->state != SLOT_FETCHING)
        return;
    (void)fmq_link_cancel(self->options.link, &slot->update, NULL);
    fmq_update_log_writer_abandon(&slot->writer);
    self->fetches--;
}

void fmq_collector_open(fmq_collector_t *self, fmq_update_log_t *journal)
{
    fmq_collector_close(self);
    self->journal = journal;
    for (size_t i = 0; i < fmq_update_log_size(journal); i++) {
        uint32_t client = fmq_update_log_at(journal, i)->client;
        if (client >= 1 && client <= self->options.clients)
            self->slots[client - 1].state = SLOT_ACCEPTED;
    }
}

void fmq_collector_close(fmq_collector_t *self)
{
    for (uint32_t i = 0; i < self->options.clients; i++) {
        stop_fetch(self, &self->slots[i]);
        self->slots[i] = (slot_t){.state = SLOT_EMPTY};
    }
    self->journal = NULL;
}

static void reject(fmq_collector_t *self, slot_t *slot, const char *reason)
{
    uint32_t client = (uint32_t)(slot - self->slots) + 1;
    stop_fetch(self, slot);
    slot->state = SLOT_REJECTED;
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "update-rejected",
                  "client=%u reason=\"%s\"", client, reason);
    self->options.rejected(self->options.argument, client, reason);
}

static void retry_later(fmq_collector_t *self, slot_t *slot, int64_t now_ms, const char *reason)
{
    stop_fetch(self, slot);
    slot->state = SLOT_OFFERED;
    slot->retry_ms = now_ms + fmq_download_pause_ms(++slot->failures);
    fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "update-lost",
                  "client=%u reason=\"%s\"", (uint32_t)(slot - self->slots) + 1, reason);
}

void fmq_collector_lost(fmq_collector_t *self, uint32_t client, int64_t now_ms)
{
    if (client >= 1 && client <= self->options.clients &&
        self->slots[client - 1].state == SLOT_FETCHING) {
        self->slots[client - 1].failures = 0; /* when it is back it is asked at once */
        retry_later(self, &self->slots[client - 1], now_ms, "the client is gone");
    }
}

bool fmq_collector_is_queued(const fmq_collector_t *self, uint32_t client)
{
    const slot_t *slot = &self->slots[client - 1];
    return (slot->state == SLOT_OFFERED && slot->failures == 0) || slot->state == SLOT_FETCHED;
}

void fmq_collector_give_up(fmq_collector_t *self, uint32_t client)
{
    slot_t *slot = &self->slots[client - 1];
    stop_fetch(self, slot);
    if (slot->state == SLOT_OFFERED || slot->state == SLOT_FETCHING)
        slot->state = SLOT_REJECTED;
}

void fmq_collector_offer(fmq_collector_t *self, uint32_t client, const fmq_message_report_t *report)
{
    if (!self->journal || client < 1 || client > self->options.clients)
        return;
    slot_t *slot = &self->slots[client - 1];
    bool same = fmq_digest_equal(&slot->update, &report->update);
    if (slot->state == SLOT_FETCHED || slot->state == SLOT_ACCEPTED ||
        (slot->state != SLOT_EMPTY && same))
        return;
    stop_fetch(self, slot);
    *slot = (slot_t){.state = SLOT_OFFERED,
                     .update = report->update,
                     .samples = report->samples,
                     .bytes = report->update_bytes};
    if (report->update_bytes > fmq_state_bytes_max(self->options.schema))
        reject(self, slot, "the update is larger than a state can be");
    else if (report->samples > FMQ_COLLECTOR_SAMPLES_MAX)
        reject(self, slot, "the number of samples cannot be true");
}

/* The fetch that an event belongs to, or NULL. */
static slot_t *find_fetch(fmq_collector_t *self, const fmq_event_t *event)
{
    for (uint32_t i = 0; i < self->options.clients; i++)
        if (self->slots[i].state == SLOT_FETCHING &&
            fmq_digest_equal(&self->slots[i].update, &event->digest))
            return &self->slots[i];
    return NULL;
}

static int take_chunk(fmq_collector_t *self, slot_t *slot, const fmq_event_t *event,
                      fmq_error_t *err)
{
    fmq_error_t why;
    if (event->index != fmq_update_log_writer_chunks(slot->writer)) {
        reject(self, slot, "chunks came out of order");
        return 0;
    }
    if (fmq_update_log_writer_add(slot->writer, event->data, event->size, &why) == 0)
        return 0;
    if (why.code == FMQ_ERR_IO || why.code == FMQ_ERR_NOMEM)
        return fmq_error_copy(err, &why);
    reject(self, slot, why.text);
    return 0;
}

/* FETCHED says that the chunks, from the first on, have the event's digest. */
static void take_end(fmq_collector_t *self, slot_t *slot, const fmq_event_t *event)
{
    fmq_error_t why;
    if (fmq_update_log_writer_finish(&slot->writer, &event->digest, &why) < 0) {
        reject(self, slot, why.text);
        return;
    }
    slot->state = SLOT_FETCHED;
    self->fetches--;
}

int fmq_collector_event(fmq_collector_t *self, const fmq_event_t *event, int64_t now_ms,
                        fmq_error_t *err)
{
    slot_t *slot = find_fetch(self, event);
    if (!slot)
        return 0;
    switch (event->type) {
    case FMQ_EVENT_CHUNK:
        return take_chunk(self, slot, event, err);
    case FMQ_EVENT_FETCHED:
        take_end(self, slot, event);
        return 0;
    case FMQ_EVENT_FAILED:
        if (fmq_download_judge(event->error.code) == FMQ_DOWNLOAD_WRONG)
            reject(self, slot, event->error.text);
        else
            retry_later(self, slot, now_ms, event->error.text);
        return 0;
    case FMQ_EVENT_UP:
    case FMQ_EVENT_DOWN:
    case FMQ_EVENT_MEMBER:
    case FMQ_EVENT_NOTE:
    case FMQ_EVENT_REFUSED:
        return 0;
    }
    return 0;
}

/* The fabric fetches a digest once at a time, whoever owns it. */
static bool is_being_fetched(const fmq_collector_t *self, const fmq_digest_t *digest)
{
    for (uint32_t i = 0; i < self->options.clients; i++)
        if (self->slots[i].state == SLOT_FETCHING &&
            fmq_digest_equal(&self->slots[i].update, digest))
            return true;
    return false;
}

static int start_fetch(fmq_collector_t *self, slot_t *slot, int64_t now_ms, fmq_error_t *err)
{
    fmq_update_log_entry_t entry = {.client = (uint32_t)(slot - self->slots) + 1,
                                    .samples = slot->samples,
                                    .update = slot->update,
                                    .base = fmq_update_log_round(self->journal)};
    char owner[FMQ_MEMBER_NAME_MAX];
    (void)snprintf(owner, sizeof owner, "client-%u", entry.client);
    slot->writer = fmq_update_log_begin(self->journal, &entry, err);
    if (!slot->writer)
        return -1;
    slot->state = SLOT_FETCHING;
    self->fetches++;
    fmq_error_t why;
    if (fmq_link_fetch(self->options.link, owner, &slot->update, 0,
                       fmq_state_bytes_max(self->options.schema), &why) < 0)
        retry_later(self, slot, now_ms, why.text);
    return 0;
}

int fmq_collector_work(fmq_collector_t *self, bool (*alive)(void *, uint32_t), int64_t now_ms,
                       fmq_error_t *err)
{
    for (uint32_t i = 0; self->journal && i < self->options.clients; i++) {
        slot_t *slot = &self->slots[i];
        if (self->fetches >= FMQ_COLLECTOR_FETCHES_MAX)
            return 0;
        if (slot->state == SLOT_OFFERED && slot->retry_ms <= now_ms &&
            alive(self->options.argument, i + 1) && !is_being_fetched(self, &slot->update) &&
            start_fetch(self, slot, now_ms, err) < 0)
            return -1;
    }
    return 0;
}

static void committed(void *argument, uint32_t client)
{
    fmq_collector_t *self = argument;
    self->slots[client - 1].state = SLOT_ACCEPTED;
    self->received += self->slots[client - 1].bytes;
    self->options.accepted(self->options.argument, client);
}

int fmq_collector_commit(fmq_collector_t *self, fmq_error_t *err)
{
    return self->journal ? fmq_update_log_commit(self->journal, committed, self, err) : 0;
}

uint64_t fmq_collector_received(const fmq_collector_t *self)
{
    return self ? self->received : 0;
}

size_t fmq_collector_pending(const fmq_collector_t *self)
{
    return self->journal ? fmq_update_log_pending(self->journal) : 0;
}

size_t fmq_collector_busy(const fmq_collector_t *self)
{
    size_t busy = 0;
    for (uint32_t i = 0; i < self->options.clients; i++)
        busy += self->slots[i].state == SLOT_OFFERED || self->slots[i].state == SLOT_FETCHING;
    return busy;
}
