/*
 * fetch.c - the table of fetches.
 *
 * Where a chunk's credit is: granted (the router may still send it), waiting
 * (it came, the actor has not got it), held (the actor has it).  Their sum
 * never exceeds the window.
 */
#include "broker/fetch.h"

#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "broker/backlog.h"

typedef struct {
    fmq_fetch_options_t want;
    fmq_object_t *object; /* owned reference: served from here, without the router */
    uint32_t ticket;      /* on the wire; 0: not asked */
    uint32_t next;        /* chunk to come */
    uint32_t chunks;      /* of the object; known once one came */
    uint32_t granted, held;
    uint32_t owed; /* credit to be given to the router */
    uint64_t bytes;
    fmq_backlog_t waiting;
    fmq_digest_state_t running;
    bool complete; /* all came */
    fmq_error_t failure;
    int64_t heard_ms;
} fetch_t;

struct fmq_fetches {
    fmq_fetches_options_t options;
    zlistx_t *fetches; /* fetch_t, owned */
    uint32_t ticket;
    bool connected;
};

static void fetch_destroy(void **item)
{
    fetch_t *fetch = *item;
    fmq_backlog_release(&fetch->waiting);
    fmq_object_drop(&fetch->object);
    free(fetch);
    *item = NULL;
}

fmq_fetches_t *fmq_fetches_new(const fmq_fetches_options_t *options)
{
    fmq_fetches_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = *options;
    self->fetches = zlistx_new();
    if (!self->fetches) {
        free(self);
        return NULL;
    }
    zlistx_set_destructor(self->fetches, fetch_destroy);
    return self;
}

void fmq_fetches_destroy(fmq_fetches_t **self_p)
{
    fmq_fetches_t *self = *self_p;
    if (!self)
        return;
    zlistx_destroy(&self->fetches);
    free(self);
    *self_p = NULL;
}

static bool has_failed(const fetch_t *fetch)
{
    return fetch->failure.code != FMQ_OK;
}

static void cancel_on_wire(fmq_fetches_t *self, fetch_t *fetch)
{
    fmq_message_t cancel = {.type = FMQ_MESSAGE_CANCEL, .ticket = fetch->ticket};
    if (self->connected && fetch->ticket && !fetch->complete)
        (void)self->options.send(self->options.argument, &cancel);
    fetch->ticket = 0;
}

/* Ends a fetch without success; chunks that wait are not worth giving. */
static void fail(fmq_fetches_t *self, fetch_t *fetch, fmq_error_code_t code, const char *reason)
{
    cancel_on_wire(self, fetch);
    fmq_backlog_release(&fetch->waiting);
    char digest[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(&fetch->want.digest, digest);
    fmq_error_set(&fetch->failure, code == FMQ_OK ? FMQ_ERR_INTERNAL : code,
                  "object %.12s of '%s': %s", digest, fetch->want.owner, reason);
}

/* Asks for chunks from `next` on, with all the credit that is free. */
static void ask(fmq_fetches_t *self, fetch_t *fetch, int64_t now_ms)
{
    uint32_t used = fetch->held + fetch->waiting.size;
    fmq_message_t message = {.type = FMQ_MESSAGE_FETCH,
                             .ticket = ++self->ticket,
                             .digest = fetch->want.digest,
                             .index = fetch->next,
                             .credit = self->options.window - used};
    memcpy(message.name, fetch->want.owner, sizeof message.name);
    fetch->ticket = 0;
    if (!self->connected || self->options.send(self->options.argument, &message) < 0)
        return;
    fetch->ticket = message.ticket;
    fetch->granted = message.credit;
    fetch->owed = 0;
    fetch->heard_ms = now_ms;
}

int fmq_fetches_begin(fmq_fetches_t *self, const fmq_fetch_options_t *options, int64_t now_ms)
{
    fetch_t *fetch = calloc(1, sizeof *fetch);
    if (!fetch || !zlistx_add_end(self->fetches, fetch)) {
        free(fetch);
        return -1;
    }
    fetch->want = *options;
    fetch->want.object = NULL;
    fetch->next = options->first;
    fmq_digest_begin(&fetch->running);
    if (!options->object) {
        ask(self, fetch, now_ms);
        return 0;
    }
    fetch->object = fmq_object_hold(options->object);
    fetch->chunks = fmq_object_chunks(fetch->object);
    if (fetch->next > fetch->chunks)
        fail(self, fetch, FMQ_ERR_MISMATCH, "it has not so many chunks");
    else if (fmq_object_bytes(fetch->object) > options->bytes_max)
        fail(self, fetch, FMQ_ERR_LIMIT, "it is larger than expected");
    return 0;
}

static fetch_t *find(fmq_fetches_t *self, uint32_t id, uint32_t ticket)
{
    for (fetch_t *fetch = zlistx_first(self->fetches); fetch; fetch = zlistx_next(self->fetches))
        if (ticket ? fetch->ticket == ticket : fetch->want.id == id)
            return fetch;
    return NULL;
}

void fmq_fetches_cancel(fmq_fetches_t *self, uint32_t id)
{
    fetch_t *fetch = find(self, id, 0);
    if (!fetch)
        return;
    cancel_on_wire(self, fetch);
    zlistx_delete(self->fetches, zlistx_cursor(self->fetches));
}

static bool needs_router(const fetch_t *fetch)
{
    return !fetch->object && !fetch->complete && !has_failed(fetch);
}

void fmq_fetches_connect(fmq_fetches_t *self, int64_t now_ms)
{
    self->connected = true;
    for (fetch_t *fetch = zlistx_first(self->fetches); fetch; fetch = zlistx_next(self->fetches))
        if (needs_router(fetch))
            ask(self, fetch, now_ms);
}

void fmq_fetches_disconnect(fmq_fetches_t *self)
{
    self->connected = false;
    for (fetch_t *fetch = zlistx_first(self->fetches); fetch; fetch = zlistx_next(self->fetches))
        fetch->ticket = 0;
}

/* The digest of an object that came whole; of one that came in part only the
 * actor, who has the rest, can tell. */
static void check_digest(fmq_fetches_t *self, fetch_t *fetch)
{
    fmq_digest_t computed = fmq_digest_end(&fetch->running);
    if (fetch->want.first == 0 && !fmq_digest_equal(&computed, &fetch->want.digest))
        fail(self, fetch, FMQ_ERR_MISMATCH, "its bytes do not have its digest");
}

static void take_chunk(fmq_fetches_t *self, fetch_t *fetch, const fmq_message_t *chunk,
                       fmq_frame_t **payload_p)
{
    size_t size = fmq_frame_size(*payload_p);
    if (size > 0) {
        fmq_object_digest_chunk(&fetch->running, fmq_frame_data(*payload_p), size);
        fetch->bytes += size;
        fetch->next++;
        fetch->granted--;
        if (fmq_backlog_push(&fetch->waiting, chunk, payload_p) < 0) {
            fail(self, fetch, FMQ_ERR_NOMEM, "out of memory");
            return;
        }
    }
    fetch->chunks = chunk->chunks;
    fetch->complete = fetch->next == fetch->chunks;
    if (fetch->complete)
        check_digest(self, fetch);
}

void fmq_fetches_chunk(fmq_fetches_t *self, const fmq_message_t *chunk, fmq_frame_t **payload_p,
                       int64_t now_ms)
{
    fetch_t *fetch = find(self, 0, chunk->ticket);
    if (!fetch || chunk->ticket == 0 || !needs_router(fetch))
        return;
    size_t size = fmq_frame_size(*payload_p);
    fetch->heard_ms = now_ms;
    if (chunk->index != fetch->next) {
        if (chunk->index > fetch->next)
            ask(self, fetch, now_ms); /* one was lost on the way */
        return;
    }
    bool end = chunk->index == chunk->chunks;
    if ((size == 0) != end || chunk->index > chunk->chunks ||
        (fetch->chunks && fetch->chunks != chunk->chunks) || (size > 0 && fetch->granted == 0))
        fail(self, fetch, FMQ_ERR_FORMAT, "its chunks contradict each other");
    else if (size > fetch->want.bytes_max - fetch->bytes)
        fail(self, fetch, FMQ_ERR_LIMIT, "it is larger than expected");
    else
        take_chunk(self, fetch, chunk, payload_p);
}

void fmq_fetches_gone(fmq_fetches_t *self, const fmq_message_t *gone)
{
    fetch_t *fetch = gone->ticket ? find(self, 0, gone->ticket) : NULL;
    if (fetch && needs_router(fetch))
        fail(self, fetch, gone->code, gone->reason);
}

/* Gives the router the credit it is owed. */
static void pay(fmq_fetches_t *self, fetch_t *fetch)
{
    if (fetch->owed == 0 || !fetch->ticket || !needs_router(fetch))
        return;
    fmq_message_t credit = {
        .type = FMQ_MESSAGE_CREDIT, .ticket = fetch->ticket, .credit = fetch->owed};
    if (self->options.send(self->options.argument, &credit) < 0)
        return;
    fetch->granted += fetch->owed;
    fetch->owed = 0;
}

void fmq_fetches_consumed(fmq_fetches_t *self, uint32_t id)
{
    fetch_t *fetch = find(self, id, 0);
    if (!fetch || fetch->held == 0)
        return;
    fetch->held--;
    fetch->owed++;
    pay(self, fetch);
}

void fmq_fetches_tick(fmq_fetches_t *self, int64_t now_ms)
{
    for (fetch_t *fetch = zlistx_first(self->fetches); fetch; fetch = zlistx_next(self->fetches)) {
        if (!needs_router(fetch) || !self->connected)
            continue;
        bool quiet =
            fetch->granted > 0 && now_ms - fetch->heard_ms >= (int64_t)self->options.quiet_ms;
        if (!fetch->ticket || quiet)
            ask(self, fetch, now_ms);
        else
            pay(self, fetch);
    }
}

static void describe(const fetch_t *fetch, fmq_event_type_t type, fmq_event_t *event)
{
    *event = (fmq_event_t){
        .type = type, .digest = fetch->want.digest, .chunks = fetch->chunks, .index = fetch->next};
    memcpy(event->member, fetch->want.owner, sizeof event->member);
}

/* The next chunk of a fetch that is served from here, and needs no verification. */
static bool next_from_object(fmq_fetches_t *self, fetch_t *fetch, fmq_event_t *event,
                             fmq_frame_t **payload_p)
{
    fmq_error_t why;
    if (fetch->next == fetch->chunks || fetch->held >= self->options.window)
        return false;
    *payload_p = fmq_frame_of_chunk(fetch->object, fetch->next, &why);
    if (!*payload_p) {
        fail(self, fetch, why.code, why.text);
        return false;
    }
    describe(fetch, FMQ_EVENT_CHUNK, event);
    fetch->next++;
    fetch->held++;
    return true;
}

static bool next_from_waiting(fetch_t *fetch, fmq_event_t *event, fmq_frame_t **payload_p)
{
    fmq_message_t head;
    if (!fmq_backlog_pop(&fetch->waiting, &head, payload_p))
        return false;
    describe(fetch, FMQ_EVENT_CHUNK, event);
    event->index = head.index;
    fetch->held++;
    return true;
}

/* FETCHED or FAILED, which end the fetch. */
static bool next_end(fetch_t *fetch, fmq_event_t *event)
{
    bool all = fetch->object ? fetch->next == fetch->chunks : fetch->complete;
    if (has_failed(fetch)) {
        describe(fetch, FMQ_EVENT_FAILED, event);
        event->error = fetch->failure;
        return true;
    }
    if (!all || fetch->waiting.size > 0)
        return false;
    describe(fetch, FMQ_EVENT_FETCHED, event);
    return true;
}

bool fmq_fetches_next(fmq_fetches_t *self, fmq_event_t *event, fmq_frame_t **payload_p,
                      uint32_t *id)
{
    *payload_p = NULL;
    for (fetch_t *fetch = zlistx_first(self->fetches); fetch; fetch = zlistx_next(self->fetches)) {
        *id = fetch->want.id;
        if (!has_failed(fetch) && (fetch->object ? next_from_object(self, fetch, event, payload_p)
                                                 : next_from_waiting(fetch, event, payload_p))) {
            zlistx_move_end(self->fetches, zlistx_cursor(self->fetches));
            return true;
        }
        if (next_end(fetch, event)) {
            zlistx_delete(self->fetches, zlistx_cursor(self->fetches));
            return true;
        }
    }
    return false;
}

size_t fmq_fetches_size(const fmq_fetches_t *self)
{
    return zlistx_size(self->fetches);
}
