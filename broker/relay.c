/*
 * relay.c - the table of relays, and what moves them on.
 *
 * Credit is state, not messages: a relay knows how much its reader has granted
 * and how much its owner has been told of, and sends the difference whenever
 * that can be sent.
 */
#include "broker/relay.h"

#include <stdlib.h>
#include <string.h>

#include "broker/audience.h"
#include "broker/permission.h"
#include "broker/relay_table.h"

struct fmq_relays {
    fmq_relays_options_t options;
    fmq_relay_table_t table;
    bool blocked;
};

fmq_relays_t *fmq_relays_new(const fmq_relays_options_t *options)
{
    fmq_relays_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    if (fmq_relay_table_init(&self->table) < 0)
        fmq_relays_destroy(&self);
    return self;
}

void fmq_relays_destroy(fmq_relays_t **self_p)
{
    fmq_relays_t *self = *self_p;
    if (!self)
        return;
    fmq_relay_table_release(&self->table);
    free(self);
    *self_p = NULL;
}

static void finish(fmq_relays_t *self, fmq_relay_t *relay)
{
    fmq_relay_table_finish(&self->table, relay);
}

static int emit(fmq_relays_t *self, const char *member, const fmq_message_t *message,
                fmq_frame_t **payload_p)
{
    return self->options.send(self->options.argument, member, message, payload_p);
}

static void cancel_owner(fmq_relays_t *self, fmq_relay_t *relay)
{
    fmq_message_t cancel = {.type = FMQ_MESSAGE_CANCEL, .ticket = relay->ticket};
    if (relay->source == FMQ_SOURCE_OWNER && !relay->complete)
        (void)emit(self, relay->owner, &cancel, NULL);
}

static void wait_from(fmq_relay_t *relay, int64_t now_ms)
{
    if (relay->source != FMQ_SOURCE_NONE)
        relay->since_ms = now_ms;
    relay->source = FMQ_SOURCE_NONE;
    relay->told = 0;
}

static void ask_owner(fmq_relays_t *self, fmq_relay_t *relay, int64_t now_ms)
{
    fmq_message_t fetch = {.type = FMQ_MESSAGE_FETCH,
                           .digest = relay->digest,
                           .index = relay->next,
                           .credit = relay->credit};
    (void)snprintf(fetch.name, sizeof fetch.name, "%s",
                   fmq_relay_is_pull(relay) ? relay->owner : relay->reader);
    wait_from(relay, now_ms);
    if (fmq_relay_table_renew_ticket(&self->table, relay) < 0)
        return;
    fetch.ticket = relay->ticket;
    if (emit(self, relay->owner, &fetch, NULL) < 0)
        return;
    relay->source = FMQ_SOURCE_OWNER;
    relay->told = relay->credit;
}

static void tell_credit(fmq_relays_t *self, fmq_relay_t *relay)
{
    if (relay->source != FMQ_SOURCE_OWNER || relay->complete || relay->credit <= relay->told)
        return;
    fmq_message_t credit = {
        .type = FMQ_MESSAGE_CREDIT, .ticket = relay->ticket, .credit = relay->credit - relay->told};
    if (emit(self, relay->owner, &credit, NULL) == 0)
        relay->told = relay->credit;
    else
        self->blocked = true;
}

typedef struct {
    fmq_relays_t *self;
    fmq_relay_t *relay;
} stream_sink_t;

static int send_to_reader(void *argument, const fmq_message_t *chunk, fmq_frame_t **payload_p)
{
    stream_sink_t *sink = argument;
    return emit(sink->self, sink->relay->reader, chunk, payload_p);
}

static void pump(fmq_relays_t *self, fmq_relay_t *relay)
{
    stream_sink_t sink = {self, relay};
    if (fmq_stream_pump(&relay->stream, send_to_reader, &sink))
        finish(self, relay);
    else if (fmq_stream_ready(&relay->stream))
        self->blocked = true;
}

static void wake(fmq_relays_t *self, const fmq_digest_t *digest, int64_t now_ms);

/* Ends a relay that cannot succeed; its reader learns why.  A failed pull
 * leaves the object with its owner, who is then asked for every reader. */
static void fail(fmq_relays_t *self, fmq_relay_t *relay, fmq_error_code_t code, const char *reason,
                 int64_t now_ms)
{
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE, .ticket = relay->reader_ticket, .code = code};
    (void)snprintf(gone.reason, sizeof gone.reason, "%s", reason);
    cancel_owner(self, relay);
    finish(self, relay);
    if (!fmq_relay_is_pull(relay)) {
        (void)emit(self, relay->reader, &gone, NULL);
        return;
    }
    fmq_publication_t *publication =
        fmq_catalog_find(self->options.catalog, relay->owner, &relay->digest);
    if (publication && publication->place == FMQ_PLACE_COMING)
        publication->place = FMQ_PLACE_OWNER;
    wake(self, &relay->digest, now_ms);
}

/* Begins to serve from the store; false when it is not there for this reader. */
static bool serve(fmq_relays_t *self, fmq_relay_t *relay, int64_t now_ms)
{
    fmq_error_t err;
    fmq_object_t *object = fmq_store_get(self->options.store, &relay->digest, relay->reader,
                                         fmq_role_name(relay->role));
    if (!object)
        return false;
    if (fmq_stream_open(&relay->stream, object, relay->reader_ticket, relay->next, relay->credit,
                        &err) < 0) {
        fail(self, relay, err.code, err.text, now_ms);
    } else {
        relay->source = FMQ_SOURCE_STORE;
        pump(self, relay);
    }
    fmq_object_drop(&object);
    return true;
}

/* Looks for a source of a relay that has none. */
static void resolve(fmq_relays_t *self, fmq_relay_t *relay, int64_t now_ms)
{
    if (!fmq_relay_is_pull(relay) && serve(self, relay, now_ms))
        return;
    const fmq_publication_t *publication =
        fmq_catalog_find(self->options.catalog, relay->owner, &relay->digest);
    if (!publication)
        return;
    if (!fmq_relay_is_pull(relay) &&
        !fmq_publication_is_for(publication, relay->reader, relay->role))
        fail(self, relay, FMQ_ERR_DENIED, "object is not for this reader", now_ms);
    else if (!fmq_relay_is_pull(relay) && publication->place == FMQ_PLACE_COMING)
        relay->since_ms = now_ms; /* the pull has its own patience */
    else
        ask_owner(self, relay, now_ms);
}

static void wake(fmq_relays_t *self, const fmq_digest_t *digest, int64_t now_ms)
{
    zlistx_t *all = fmq_relay_table_list(&self->table);
    for (fmq_relay_t *relay = all ? zlistx_first(all) : NULL; relay; relay = zlistx_next(all))
        if (relay->source == FMQ_SOURCE_NONE && fmq_digest_equal(&relay->digest, digest))
            resolve(self, relay, now_ms);
    zlistx_destroy(&all);
}

/* Ends the reader's older fetches of a digest, and counts its others.  One that
 * waited for a source hands on since when: who asks again does not begin to
 * wait again, or else somebody who is less patient than this router would never
 * hear that there is nothing. */
static uint32_t replace_older(fmq_relays_t *self, fmq_relay_t *like)
{
    uint32_t others = 0;
    for (fmq_relay_t *relay = zhashx_first(self->table.relays); relay;
         relay = zhashx_next(self->table.relays)) {
        if (strcmp(relay->reader, like->reader) != 0 || relay->source == FMQ_SOURCE_DONE)
            continue;
        others++;
        if (!fmq_digest_equal(&relay->digest, &like->digest))
            continue;
        if (relay->source == FMQ_SOURCE_NONE && strcmp(relay->owner, like->owner) == 0)
            like->since_ms = relay->since_ms;
        cancel_owner(self, relay);
        finish(self, relay);
    }
    fmq_relay_table_sweep(&self->table);
    return others;
}

static void refuse_reader(fmq_relays_t *self, const char *reader, uint32_t ticket,
                          const fmq_error_t *why)
{
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE, .ticket = ticket, .code = why->code};
    (void)snprintf(gone.reason, sizeof gone.reason, "%.*s", (int)sizeof gone.reason - 1, why->text);
    (void)emit(self, reader, &gone, NULL);
}

int fmq_relays_fetch(fmq_relays_t *self, const char *reader, fmq_role_t role,
                     const fmq_message_t *fetch, int64_t now_ms, fmq_error_t *err)
{
    fmq_error_t why;
    fmq_relay_t like = {.role = role,
                        .reader_ticket = fetch->ticket,
                        .digest = fetch->digest,
                        .next = fetch->index,
                        .credit = fetch->credit,
                        .source = FMQ_SOURCE_NONE,
                        .since_ms = now_ms};
    (void)snprintf(like.reader, sizeof like.reader, "%s", reader);
    (void)snprintf(like.owner, sizeof like.owner, "%s", fetch->name);
    fmq_relay_t *relay = NULL;
    if (replace_older(self, &like) >= FMQ_RELAYS_READER_MAX ||
        zhashx_size(self->table.relays) >= FMQ_RELAYS_MAX ||
        fmq_relay_table_of_reader(&self->table, reader, fetch->ticket))
        fmq_error_set(&why, FMQ_ERR_LIMIT, "'%s' fetches too much at once, or repeats a ticket",
                      reader);
    else
        relay = fmq_relay_table_add(&self->table, &like, &why);
    if (!relay) {
        refuse_reader(self, reader, fetch->ticket, &why);
        return fmq_error_copy(err, &why);
    }
    resolve(self, relay, now_ms);
    fmq_relay_table_sweep(&self->table);
    return 0;
}

int fmq_relays_credit(fmq_relays_t *self, const char *reader, const fmq_message_t *credit,
                      fmq_error_t *err)
{
    fmq_relay_t *relay = fmq_relay_table_of_reader(&self->table, reader, credit->ticket);
    if (!relay)
        return 0;
    uint32_t *has = relay->source == FMQ_SOURCE_STORE ? &relay->stream.credit : &relay->credit;
    if (*has + credit->credit > FMQ_WIRE_CREDIT_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "credit of %u chunks: at most %u",
                             *has + credit->credit, FMQ_WIRE_CREDIT_MAX);
    *has += credit->credit;
    if (relay->source == FMQ_SOURCE_STORE)
        pump(self, relay);
    else
        tell_credit(self, relay);
    fmq_relay_table_sweep(&self->table);
    return 0;
}

void fmq_relays_cancel(fmq_relays_t *self, const char *reader, uint32_t ticket)
{
    fmq_relay_t *relay = fmq_relay_table_of_reader(&self->table, reader, ticket);
    if (!relay)
        return;
    cancel_owner(self, relay);
    finish(self, relay);
    fmq_relay_table_sweep(&self->table);
}

static void flush_backlog(fmq_relays_t *self, fmq_relay_t *relay)
{
    fmq_backlog_t *backlog = &relay->backlog;
    fmq_message_t head;
    fmq_frame_t *payload;
    while (backlog->first &&
           emit(self, relay->reader, &backlog->first->head, &backlog->first->payload) == 0)
        (void)fmq_backlog_pop(backlog, &head, &payload);
    if (backlog->first)
        self->blocked = true;
    else if (relay->complete)
        finish(self, relay);
}

/* Sends a chunk on to its reader, behind those that still wait. */
static int forward(fmq_relays_t *self, fmq_relay_t *relay, const fmq_message_t *chunk,
                   fmq_frame_t **payload_p, fmq_error_t *err)
{
    fmq_message_t head = *chunk;
    head.ticket = relay->reader_ticket;
    if (fmq_backlog_push(&relay->backlog, &head, payload_p) < 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a chunk's head");
    flush_backlog(self, relay);
    return 0;
}

/* Puts an object into the store for the audiences of its publication.  The
 * store knows no roles: a single reader of an owner that may not address
 * everybody is left out, and judged by the catalog. */
static int put(fmq_relays_t *self, const fmq_publication_t *publication, fmq_object_t *object,
               fmq_error_t *err)
{
    bool trusted = fmq_role_may_address(publication->role, "*");
    for (uint32_t i = 0; i < publication->audiences; i++)
        if ((trusted || fmq_audience_is_many(publication->readers[i])) &&
            fmq_store_put(self->options.store, object, publication->owner, publication->readers[i],
                          err) < 0)
            return -1;
    return 0;
}

/* The store takes a pulled object, and those who waited for it are served. */
static int end_pull(fmq_relays_t *self, fmq_relay_t *relay, int64_t now_ms, fmq_error_t *err)
{
    fmq_publication_t *publication =
        fmq_catalog_find(self->options.catalog, relay->owner, &relay->digest);
    fmq_object_t *object = fmq_assembly_end(&relay->pulled, &relay->digest, err);
    int rc = object && publication ? put(self, publication, object, err) : -1;
    fmq_object_drop(&object);
    if (!publication)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "object was withdrawn meanwhile");
    if (rc < 0)
        return -1;
    publication->place = FMQ_PLACE_STORE;
    finish(self, relay);
    wake(self, &relay->digest, now_ms);
    return 0;
}

static void take_for_store(fmq_relays_t *self, fmq_relay_t *relay, const fmq_frame_t *payload,
                           int64_t now_ms)
{
    fmq_error_t err;
    int rc = 0;
    if (fmq_frame_size(payload) > 0)
        rc = fmq_assembly_add(&relay->pulled, fmq_frame_data(payload), fmq_frame_size(payload),
                              &err);
    if (rc == 0 && relay->complete)
        rc = end_pull(self, relay, now_ms, &err);
    if (rc < 0) {
        fail(self, relay, err.code, err.text, now_ms);
        return;
    }
    relay->credit++;
    tell_credit(self, relay);
}

/* Whether an owner's chunk is the one that has to come now. */
static int check_chunk(const fmq_relay_t *relay, const char *owner, const fmq_message_t *chunk,
                       size_t size, fmq_error_t *err)
{
    if (strcmp(relay->owner, owner) != 0)
        return fmq_error_set(err, FMQ_ERR_DENIED, "chunk of an object of '%s'", relay->owner);
    if (chunk->index != relay->next || (size == 0) != (chunk->index == chunk->chunks) ||
        chunk->index > chunk->chunks)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "chunk %u of %u with %zu bytes where %u was due",
                             chunk->index, chunk->chunks, size, relay->next);
    if (relay->complete || (size > 0 && relay->told == 0))
        return fmq_error_set(err, FMQ_ERR_LIMIT, "chunk %u came without credit", chunk->index);
    return 0;
}

int fmq_relays_chunk(fmq_relays_t *self, const char *owner, const fmq_message_t *chunk,
                     fmq_frame_t **payload_p, int64_t now_ms, fmq_error_t *err)
{
    fmq_relay_t *relay = fmq_relay_table_of_ticket(&self->table, chunk->ticket);
    if (!relay || relay->source != FMQ_SOURCE_OWNER)
        return 0;
    size_t size = fmq_frame_size(*payload_p);
    if (check_chunk(relay, owner, chunk, size, err) < 0)
        return -1;
    if (size > 0) {
        relay->next++;
        relay->credit--;
        relay->told--;
    }
    relay->complete = relay->next == chunk->chunks;
    int rc = 0;
    if (fmq_relay_is_pull(relay))
        take_for_store(self, relay, *payload_p, now_ms);
    else
        rc = forward(self, relay, chunk, payload_p, err);
    fmq_relay_table_sweep(&self->table);
    return rc;
}

void fmq_relays_gone(fmq_relays_t *self, const char *owner, const fmq_message_t *gone,
                     int64_t now_ms)
{
    fmq_relay_t *relay = fmq_relay_table_of_ticket(&self->table, gone->ticket);
    if (!relay || relay->source != FMQ_SOURCE_OWNER || strcmp(relay->owner, owner) != 0)
        return;
    fail(self, relay, gone->code, gone->reason, now_ms);
    fmq_relay_table_sweep(&self->table);
}

static void begin_pull(fmq_relays_t *self, fmq_publication_t *publication, int64_t now_ms)
{
    fmq_relay_t like = {.reader_ticket = ++self->table.ticket,
                        .digest = publication->digest,
                        .credit = FMQ_RELAY_WINDOW,
                        .source = FMQ_SOURCE_NONE,
                        .since_ms = now_ms};
    (void)snprintf(like.owner, sizeof like.owner, "%s", publication->owner);
    if (fmq_assembly_begin(&like.pulled, publication->bytes, NULL) < 0)
        return;
    fmq_relay_t *relay = fmq_relay_table_add(&self->table, &like, NULL);
    if (!relay) {
        fmq_assembly_release(&like.pulled);
        return;
    }
    publication->place = FMQ_PLACE_COMING;
    ask_owner(self, relay, now_ms);
}

void fmq_relays_published(fmq_relays_t *self, fmq_publication_t *publication, int64_t now_ms)
{
    fmq_store_t *store = self->options.store;
    if (publication->place == FMQ_PLACE_OWNER) {
        if (fmq_store_has(store, &publication->digest, publication->owner))
            publication->place = FMQ_PLACE_SHARED;
        else if (fmq_publication_is_many(publication))
            begin_pull(self, publication, now_ms);
    } else if (publication->place == FMQ_PLACE_STORE) {
        fmq_object_t *object = fmq_store_get(store, &publication->digest, publication->owner, "");
        if (object)
            (void)put(self, publication, object, NULL);
        fmq_object_drop(&object);
    }
    wake(self, &publication->digest, now_ms);
    fmq_relay_table_sweep(&self->table);
}

void fmq_relays_lost(fmq_relays_t *self, const char *member, bool for_good, int64_t now_ms)
{
    zlistx_t *all = fmq_relay_table_list(&self->table);
    for (fmq_relay_t *relay = all ? zlistx_first(all) : NULL; relay; relay = zlistx_next(all)) {
        if (strcmp(relay->reader, member) == 0) {
            cancel_owner(self, relay);
            finish(self, relay);
        } else if (strcmp(relay->owner, member) == 0 && relay->source == FMQ_SOURCE_OWNER &&
                   !relay->complete) {
            wait_from(relay, now_ms);
        }
        if (for_good && relay->source == FMQ_SOURCE_NONE && strcmp(relay->owner, member) == 0)
            fail(self, relay, FMQ_ERR_NOTFOUND, "its owner has left", now_ms);
    }
    zlistx_destroy(&all);
    fmq_relay_table_sweep(&self->table);
}

static void tick_relay(fmq_relays_t *self, fmq_relay_t *relay, int64_t now_ms)
{
    if (relay->backlog.first)
        flush_backlog(self, relay);
    if (relay->source == FMQ_SOURCE_STORE)
        pump(self, relay);
    else if (relay->source == FMQ_SOURCE_OWNER)
        tell_credit(self, relay);
    else if (relay->source == FMQ_SOURCE_NONE)
        resolve(self, relay, now_ms);
    if (relay->source == FMQ_SOURCE_NONE &&
        now_ms - relay->since_ms >= (int64_t)self->options.grace_ms)
        fail(self, relay, FMQ_ERR_NOTFOUND, "nobody here has it, and its owner does not come",
             now_ms);
}

void fmq_relays_tick(fmq_relays_t *self, int64_t now_ms)
{
    self->blocked = false;
    zlistx_t *all = fmq_relay_table_list(&self->table);
    for (fmq_relay_t *relay = all ? zlistx_first(all) : NULL; relay; relay = zlistx_next(all))
        tick_relay(self, relay, now_ms);
    zlistx_destroy(&all);
    fmq_relay_table_sweep(&self->table);
}

bool fmq_relays_blocked(const fmq_relays_t *self)
{
    return self->blocked;
}

size_t fmq_relays_size(const fmq_relays_t *self)
{
    return zhashx_size(self->table.relays);
}
