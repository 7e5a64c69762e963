/*
 * download.c - the client's end: the run's note, its manifest, and the parts that
 * are missing, one after the other.  What fails because somebody is away is
 * tried again; what is wrong ends it.
 */
#include "actors/protocol/download.h"
#include "actors/model_transfer/manifest.h"
#include "actors/protocol/inbound.h"
#include "actors/storage/blob_cache.h"

#include <string.h>

#include "fedmq/actors/receive.h"
#include "fedmq/base/clock.h"

#define WAIT_MS 100 /* longest wait without looking whether to stop */

#define PARTS_MAX (1 + LLM_LAYERS_MAX + FMQ_MANIFEST_FILES_MAX)

typedef enum { CAME, AGAIN, BROKEN } outcome_t; /* BROKEN: err says why */

typedef struct {
    const fmq_model_download_t *how;
    fmq_message_run_t run; /* the newest */
    bool has_run;
    char server[FMQ_MEMBER_NAME_MAX];
    bool ended; /* this run has: */
    char reason[FMQ_REASON_MAX];
    fmq_digest_t looked;  /* of the manifest that this is about: */
    bool here[PARTS_MAX]; /* known to be in the cache */
    fmq_model_progress_t progress;
} fetcher_t;

/* message: NULL when the server has taken its run back. */
static void on_run(void *argument, const fmq_event_t *event, const void *message)
{
    fetcher_t *self = argument;
    const fmq_message_run_t *note = message;
    self->has_run = note != NULL;
    if (!note)
        return;
    self->run = *note;
    self->ended = false;
    memcpy(self->server, event->member, sizeof self->server);
}

static void on_done(void *argument, const fmq_event_t *event, const void *message)
{
    fetcher_t *self = argument;
    const fmq_message_done_t *note = message;
    (void)event;
    if (memcmp(note->run, self->run.run, sizeof note->run) != 0)
        return;
    self->ended = true;
    memcpy(self->reason, note->reason, sizeof self->reason);
}

static const fmq_inbound_t inbound[] = {{"run", FMQ_FROM(FMQ_ROLE_SERVER), on_run, true},
                                        {"done", FMQ_FROM(FMQ_ROLE_SERVER), on_done, false}};

static int may_go_on(const fetcher_t *self, fmq_error_t *err)
{
    if (self->how->stop && self->how->stop(self->how->argument) != 0)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "interrupted");
    return 0;
}

/* Waits for one event, a little while.  1: event; 0: none; -1. */
static int next(fetcher_t *self, fmq_event_t *event, fmq_error_t *err)
{
    const fmq_model_download_t *how = self->how;
    if (may_go_on(self, err) < 0)
        return -1;
    int got = fmq_link_receive(how->link, WAIT_MS, event, err);
    if (got >= 0 && how->watch && how->watch(how->argument, got > 0 ? event : NULL, err) < 0)
        return -1;
    if (got <= 0)
        return got;
    if (event->type == FMQ_EVENT_REFUSED)
        return fmq_error_copy(err, &event->error);
    if (event->type == FMQ_EVENT_NOTE)
        (void)fmq_inbound_take(inbound, sizeof inbound / sizeof *inbound, self, event);
    if (self->has_run && self->ended)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                             "the run has ended before its layers were here: %s", self->reason);
    return 1;
}

static int rest(fetcher_t *self, int64_t milliseconds, fmq_error_t *err)
{
    int64_t until = fmq_clock_ms() + milliseconds;
    fmq_event_t event;
    while (fmq_clock_ms() < until)
        if (next(self, &event, err) < 0)
            return -1;
    return 0;
}

/* Whether a failed fetch may succeed later. */
static outcome_t judge(const fmq_error_t *why, fmq_error_t *err)
{
    if (fmq_download_judge(why->code) == FMQ_DOWNLOAD_TRANSIENT)
        return AGAIN;
    (void)fmq_error_copy(err, why);
    return BROKEN;
}

static bool concerns(const fmq_event_t *event, const fmq_digest_t *digest)
{
    return (event->type == FMQ_EVENT_CHUNK || event->type == FMQ_EVENT_FETCHED ||
            event->type == FMQ_EVENT_FAILED) &&
           fmq_digest_equal(&event->digest, digest);
}

static void show(const fetcher_t *self)
{
    if (self->how->show)
        self->how->show(self->how->argument, &self->progress);
}

/* Takes the chunks of one fetch from where entry is on. */
static outcome_t take_chunks(fetcher_t *self, fmq_blob_cache_entry_t *entry, fmq_error_t *err)
{
    const fmq_digest_t *digest = &entry->part.digest;
    uint32_t index = (uint32_t)(entry->bytes / FMQ_CHUNK_MAX);
    for (;;) {
        fmq_event_t event;
        int got = next(self, &event, err);
        if (got < 0)
            return BROKEN;
        if (got == 0 || !concerns(&event, digest))
            continue;
        if (event.type == FMQ_EVENT_FAILED)
            return judge(&event.error, err);
        if (event.type == FMQ_EVENT_FETCHED)
            return CAME;
        if (event.size == 0)
            continue;
        bool full = event.size == FMQ_CHUNK_MAX || event.index + 1 == event.chunks;
        if (event.index != index++ || !full) {
            fmq_error_set(err, FMQ_ERR_FORMAT, "chunk %u of %u has %zu bytes", event.index,
                          event.chunks, event.size);
            return BROKEN;
        }
        if (fmq_blob_cache_add(entry, event.data, event.size, err) < 0)
            return BROKEN;
        self->progress.bytes += event.size;
        show(self);
    }
}

static outcome_t fetch_rest(fetcher_t *self, fmq_blob_cache_entry_t *entry, fmq_error_t *err)
{
    if (entry->bytes == entry->part.bytes)
        return CAME;
    if (fmq_link_fetch(self->how->link, self->server, &entry->part.digest,
                       (uint32_t)(entry->bytes / FMQ_CHUNK_MAX), entry->part.bytes, err) < 0)
        return BROKEN;
    outcome_t outcome = take_chunks(self, entry, err);
    if (outcome == BROKEN)
        (void)fmq_link_cancel(self->how->link, &entry->part.digest, NULL);
    return outcome;
}

/* Fetches what entry lacks and gives it its name.  Bytes that an earlier
 * attempt left may be wrong: then once more, from the beginning. */
static outcome_t fill(fetcher_t *self, fmq_blob_cache_entry_t *entry, fmq_error_t *err)
{
    bool began_anew = entry->bytes == 0;
    for (;;) {
        fmq_error_t why = {0};
        outcome_t outcome = fetch_rest(self, entry, err);
        if (outcome != CAME)
            return outcome;
        uint64_t bytes = entry->bytes;
        if (fmq_blob_cache_commit(entry, &why) == 0)
            return CAME;
        if (why.code != FMQ_ERR_MISMATCH || began_anew) {
            (void)fmq_error_copy(err, &why);
            return BROKEN;
        }
        began_anew = true;
        self->progress.bytes -= bytes;
        if (fmq_blob_cache_restart(entry, err) < 0)
            return BROKEN;
    }
}

static outcome_t fetch_part(fetcher_t *self, const fmq_blob_t *part, fmq_error_t *err)
{
    fmq_blob_cache_entry_t entry;
    uint64_t before = self->progress.bytes;
    fmq_blob_cache_begun_t begun;
    while ((begun = fmq_blob_cache_begin(&entry, self->how->directory, part, err)) ==
           FMQ_BLOB_CACHE_BUSY) {
        self->progress.waiting = true;
        show(self);
        if (rest(self, WAIT_MS, err) < 0)
            return BROKEN;
    }
    self->progress.waiting = false;
    outcome_t outcome = begun == FMQ_BLOB_CACHE_HERE ? CAME : BROKEN;
    if (begun == FMQ_BLOB_CACHE_BEGUN) {
        self->progress.bytes += entry.bytes;
        show(self);
        outcome = fill(self, &entry, err);
        fmq_blob_cache_leave(&entry);
    }
    self->progress.bytes = outcome == CAME ? before + part->bytes : before;
    return outcome;
}

/* Which parts the cache lacks; their sum and what is there of them.  Files are
 * read once, however often fetching has to be taken up again. */
static int look(fetcher_t *self, const fmq_manifest_t *manifest, fmq_error_t *err)
{
    const char *directory = self->how->directory;
    if (!fmq_digest_equal(&self->looked, &self->run.manifest))
        memset(self->here, 0, sizeof self->here);
    self->looked = self->run.manifest;
    const fmq_blob_t *part;
    uint64_t partial = 0;
    self->progress = (fmq_model_progress_t){.part = 0};
    for (size_t i = 0; (part = fmq_manifest_at(manifest, i)) != NULL; i++) {
        if (self->here[i])
            continue;
        if (may_go_on(self, err) < 0)
            return -1;
        int has = fmq_manifest_repeats(manifest, i) ? 1 : fmq_blob_cache_has(directory, part, err);
        if (has < 0)
            return -1;
        self->here[i] = has > 0;
        if (has > 0)
            continue;
        self->progress.parts++;
        self->progress.bytes_total += part->bytes;
        partial += fmq_blob_cache_partial(directory, part);
    }
    return fmq_blob_cache_room(directory, self->progress.bytes_total - partial, err);
}

static outcome_t fetch_parts(fetcher_t *self, const fmq_manifest_t *manifest, fmq_error_t *err)
{
    const fmq_blob_t *part;
    if (look(self, manifest, err) < 0)
        return BROKEN;
    for (size_t i = 0; (part = fmq_manifest_at(manifest, i)) != NULL; i++) {
        if (self->here[i])
            continue;
        self->progress.part++;
        outcome_t outcome = fetch_part(self, part, err);
        if (outcome != CAME)
            return outcome;
        self->here[i] = true;
    }
    show(self);
    return CAME;
}

static outcome_t take_manifest(fetcher_t *self, fmq_bytes_reader_t *reader, fmq_error_t *err)
{
    for (;;) {
        fmq_event_t event;
        fmq_error_t why = {0};
        int got = next(self, &event, err);
        if (got < 0)
            return BROKEN;
        fmq_receive_t taken =
            got > 0 ? fmq_bytes_reader_take(reader, &event, &why) : FMQ_RECEIVE_OTHER;
        if (taken == FMQ_RECEIVE_DONE)
            return CAME;
        if (taken == FMQ_RECEIVE_FAILED)
            return judge(&why, err);
    }
}

static outcome_t fetch_manifest(fetcher_t *self, fmq_manifest_t *manifest, fmq_error_t *err)
{
    fmq_bytes_reader_t reader;
    llm_shape_t full;
    fmq_digest_t digest = self->run.manifest;
    if (self->run.manifest_bytes == 0) {
        fmq_error_set(err, FMQ_ERR_MISMATCH,
                      "the run trains the full model: set llm.offsite_tuning.use False here too");
        return BROKEN;
    }
    fmq_bytes_reader_begin(&reader, &digest, FMQ_MANIFEST_MAX);
    outcome_t outcome = BROKEN;
    if (fmq_link_fetch(self->how->link, self->server, &digest, 0, FMQ_MANIFEST_MAX, err) == 0) {
        outcome = take_manifest(self, &reader, err);
        if (outcome == BROKEN)
            (void)fmq_link_cancel(self->how->link, &digest, NULL);
    }
    if (outcome == CAME && (fmq_manifest_decode(manifest, reader.data, reader.size, err) < 0 ||
                            fmq_manifest_shape(manifest, &full, err) < 0))
        outcome = BROKEN;
    fmq_bytes_reader_release(&reader);
    return outcome;
}

int fmq_model_download(const fmq_model_download_t *how, fmq_manifest_t *manifest, fmq_error_t *err)
{
    fetcher_t self = {.how = how};
    uint32_t failures = 0;
    for (;;) {
        while (!self.has_run)
            if (rest(&self, WAIT_MS, err) < 0)
                return -1;
        fmq_digest_t digest = self.run.manifest;
        outcome_t outcome = fetch_manifest(&self, manifest, err);
        if (outcome == CAME)
            outcome = fetch_parts(&self, manifest, err);
        if (outcome == BROKEN)
            return -1;
        if (outcome == CAME && self.has_run && fmq_digest_equal(&digest, &self.run.manifest))
            return 0;
        if (outcome == AGAIN && rest(&self, fmq_download_pause_ms(++failures), err) < 0)
            return -1;
    }
}
