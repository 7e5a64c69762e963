/*
 * link.c - the actor's end of a link: checks what the actor asks for, hands
 * it to the thread, and gives it the thread's events one by one.
 */
#include "fedmq/broker/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/actor.h"
#include "broker/audience.h"
#include "broker/link_thread.h"
#include "broker/permission.h"
#include "broker/socket.h"
#include "fedmq/base/clock.h"

#define HEARTBEAT_MS    1000
#define TIMEOUT_MS      10000
#define WINDOW          8
#define STORE_BYTES_MAX (UINT64_C(4) << 30) /* of a store of its own */

struct fmq_link {
    zactor_t *actor; /* owned */
    void *pipe;      /* the actor's end, borrowed from it */
    fmq_link_shared_t shared;
    fmq_store_t *own_store; /* owned; NULL when one was given */
    fmq_item_t *current;    /* owned: what the last event points to */
    zhashx_t *fetches;      /* digest -> id of the fetch under way, as a pointer-sized number */
    zhashx_t *published;    /* digests that we keep in the store */
    uint32_t id;
    bool ended; /* the thread has nothing more to say */
};

static uint64_t random_number(void)
{
    uint64_t number = 0;
    zuuid_t *uuid = zuuid_new();
    if (uuid)
        memcpy(&number, zuuid_data(uuid), sizeof number);
    zuuid_destroy(&uuid);
    return number;
}

static int check_options(const fmq_link_options_t *options, fmq_error_t *err)
{
    if (!options->name || !fmq_name_valid(options->name))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "member's name '%.80s' must be 1 to %d of [a-z0-9-]",
                             options->name ? options->name : "", FMQ_MEMBER_NAME_MAX - 1);
    if ((unsigned)options->role >= FMQ_ROLES)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "member '%s' has no such role: %d", options->name,
                             (int)options->role);
    if (options->window > FMQ_WIRE_CREDIT_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "window of %u chunks: at most %u", options->window,
                             FMQ_WIRE_CREDIT_MAX);
    return fmq_endpoint_check(options->endpoint ? options->endpoint : "", err);
}

static void fill_shared(fmq_link_t *self, const fmq_link_options_t *options)
{
    fmq_link_shared_t *shared = &self->shared;
    (void)snprintf(shared->endpoint, sizeof shared->endpoint, "%s", options->endpoint);
    (void)snprintf(shared->name, sizeof shared->name, "%s", options->name);
    shared->role = options->role;
    shared->log = options->log;
    shared->heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : HEARTBEAT_MS;
    shared->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    shared->connect_ms = options->connect_ms;
    shared->window = options->window ? options->window : WINDOW;
    shared->incarnation = random_number();
    shared->first_version =
        options->first_version ? options->first_version : (uint64_t)fmq_clock_wall_ms() << 20;
    shared->store = options->store ? options->store : self->own_store;
}

fmq_link_t *fmq_link_open(const fmq_link_options_t *options, fmq_error_t *err)
{
    if (check_options(options, err) < 0)
        return NULL;
    fmq_fabric_init();
    fmq_link_t *self = calloc(1, sizeof *self);
    if (!self)
        goto fail;
    if (!options->store && !(self->own_store = fmq_store_new(STORE_BYTES_MAX)))
        goto fail;
    fill_shared(self, options);
    self->fetches = zhashx_new();
    self->published = zhashx_new();
    if (!self->fetches || !self->published)
        goto fail;
    self->actor = fmq_actor_start(fmq_link_thread, &self->shared, "a link", err);
    if (!self->actor)
        goto unstarted;
    self->pipe = zsock_resolve(zactor_sock(self->actor));
    return self;
fail:
    fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a link");
unstarted:
    fmq_error_prefix(err, "cannot start the link of '%s'", options->name);
    fmq_link_close(&self, 0);
    return NULL;
}

static fmq_command_t *command_new(fmq_command_type_t type, fmq_error_t *err)
{
    fmq_command_t *command = calloc(1, sizeof *command);
    if (!command) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a command");
        return NULL;
    }
    command->type = type;
    return command;
}

static int give(fmq_link_t *self, fmq_command_t *command, fmq_error_t *err)
{
    if (fmq_pass(self->pipe, command, &self->shared.to_thread) == 0)
        return 0;
    fmq_command_destroy(&command);
    return fmq_error_set(err, FMQ_ERR_INTERNAL, "link of '%s' does not take commands: %s",
                         self->shared.name, zmq_strerror(errno));
}

/* Waits for the pipe.  1: readable, 0: time is up, -1: interrupted. */
static int wait_pipe(const fmq_link_t *self, int timeout_ms, fmq_error_t *err)
{
    int64_t end = fmq_clock_ms() + timeout_ms;
    for (;;) {
        zmq_pollitem_t item = {.socket = self->pipe, .events = ZMQ_POLLIN};
        int64_t left = end - fmq_clock_ms();
        int rc = zmq_poll(&item, 1, timeout_ms < 0 ? -1 : left > 0 ? (long)left : 0);
        if (rc >= 0)
            return rc;
        if (errno != EINTR || zsys_interrupted)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "link of '%s' was interrupted",
                                 self->shared.name);
    }
}

/* Tells the thread that the actor is through with its event. */
static void consume(fmq_link_t *self)
{
    if (!self->current)
        return;
    fmq_command_t *command = command_new(FMQ_COMMAND_CONSUMED, NULL);
    if (command) {
        command->id = self->current->event.type == FMQ_EVENT_CHUNK ? self->current->id : 0;
        (void)give(self, command, NULL);
    }
    fmq_item_destroy(&self->current);
}

/* Is the event of a fetch that still goes on?  The last one ends it. */
static bool is_current(fmq_link_t *self, const fmq_item_t *item)
{
    const fmq_event_t *event = &item->event;
    if (event->type < FMQ_EVENT_CHUNK || event->type > FMQ_EVENT_FAILED)
        return true;
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(&event->digest, key);
    const void *id = zhashx_lookup(self->fetches, key);
    if ((uintptr_t)id != item->id)
        return false;
    if (event->type != FMQ_EVENT_CHUNK)
        zhashx_delete(self->fetches, key);
    return true;
}

int fmq_link_receive(fmq_link_t *self, int timeout_ms, fmq_event_t *event, fmq_error_t *err)
{
    int64_t end = fmq_clock_ms() + timeout_ms;
    for (;;) {
        consume(self);
        int64_t left = end - fmq_clock_ms();
        int rc = wait_pipe(self, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0, err);
        if (rc <= 0)
            return rc;
        self->current = fmq_take(self->pipe, &self->shared.to_actor);
        if (self->current && self->current->last) {
            self->ended = true;
            fmq_item_destroy(&self->current);
            return fmq_error_set(err, FMQ_ERR_NOMEM, "link of '%s' ran out of memory at its start",
                                 self->shared.name);
        }
        if (!self->current || !is_current(self, self->current))
            continue;
        *event = self->current->event;
        if (self->current->frame) {
            event->data = fmq_frame_data(self->current->frame);
            event->size = fmq_frame_size(self->current->frame);
        }
        return 1;
    }
}

void *fmq_link_handle(fmq_link_t *self)
{
    return zactor_sock(self->actor);
}

static int check_audience(const fmq_link_t *self, const char *audience, fmq_error_t *err)
{
    if (!fmq_audience_valid(audience))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%.80s' is not a member's name, @role or *",
                             audience);
    if (!fmq_role_may_address(self->shared.role, audience))
        return fmq_error_set(err, FMQ_ERR_DENIED, "a %s may not address '%s'",
                             fmq_role_name(self->shared.role), audience);
    return 0;
}

int fmq_link_note(fmq_link_t *self, const char *to, const char *topic, const void *body,
                  size_t size, fmq_error_t *err)
{
    if (check_audience(self, to, err) < 0)
        return -1;
    if (size > FMQ_NOTE_MAX || strlen(topic) >= FMQ_TOPIC_MAX || !fmq_name_valid(topic))
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "note '%.40s' of %zu bytes: at most %u, and a topic of 1 to %d of "
                             "[a-z0-9-]",
                             topic, size, FMQ_NOTE_MAX, FMQ_TOPIC_MAX - 1);
    fmq_command_t *command = command_new(FMQ_COMMAND_NOTE, err);
    if (!command)
        return -1;
    command->head.role = self->shared.role;
    memcpy(command->head.name, self->shared.name, sizeof command->head.name);
    (void)snprintf(command->head.audience, sizeof command->head.audience, "%s", to);
    (void)snprintf(command->head.topic, sizeof command->head.topic, "%s", topic);
    command->body = fmq_frame_copy(body, size);
    if (!command->body) {
        fmq_command_destroy(&command);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a note");
    }
    return give(self, command, err);
}

int fmq_link_publish(fmq_link_t *self, fmq_object_t *object, const char *readers, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    if (check_audience(self, readers, err) < 0 ||
        fmq_store_put(self->shared.store, object, self->shared.name, readers, err) < 0)
        return -1;
    fmq_digest_hex(fmq_object_digest(object), key);
    zhashx_update(self->published, key, self);
    fmq_command_t *command = command_new(FMQ_COMMAND_PUBLISH, err);
    if (!command)
        return -1;
    command->head.type = FMQ_MESSAGE_PUBLISH;
    command->head.digest = *fmq_object_digest(object);
    command->head.bytes = fmq_object_bytes(object);
    command->head.chunks = fmq_object_chunks(object);
    (void)snprintf(command->head.audience, sizeof command->head.audience, "%s", readers);
    return give(self, command, err);
}

int fmq_link_withdraw(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, key);
    if (!zhashx_lookup(self->published, key))
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "object %.12s is not published by '%s'", key,
                             self->shared.name);
    fmq_command_t *command = command_new(FMQ_COMMAND_WITHDRAW, err);
    if (!command)
        return -1;
    command->head.digest = *digest;
    zhashx_delete(self->published, key);
    fmq_store_withdraw(self->shared.store, digest, self->shared.name);
    return give(self, command, err);
}

fmq_object_t *fmq_link_find(fmq_link_t *self, const fmq_digest_t *digest)
{
    return fmq_store_get(self->shared.store, digest, self->shared.name,
                         fmq_role_name(self->shared.role));
}

int fmq_link_fetch(fmq_link_t *self, const char *owner, const fmq_digest_t *digest, uint32_t first,
                   uint64_t bytes_max, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, key);
    if (!fmq_name_valid(owner) || first > FMQ_OBJECT_CHUNKS_MAX)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "'%.80s' is not a member's name, or no object "
                             "has a chunk %u",
                             owner, first);
    if (zhashx_lookup(self->fetches, key))
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "object %.12s is being fetched already", key);
    fmq_command_t *command = command_new(FMQ_COMMAND_FETCH, err);
    if (!command)
        return -1;
    self->id = self->id == UINT32_MAX ? 1 : self->id + 1;
    if (zhashx_insert(self->fetches, key, (void *)(uintptr_t)self->id) < 0) {
        fmq_command_destroy(&command);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a fetch");
    }
    command->want = (fmq_fetch_options_t){
        .id = self->id, .digest = *digest, .first = first, .bytes_max = bytes_max};
    (void)snprintf(command->want.owner, sizeof command->want.owner, "%s", owner);
    command->want.object = fmq_link_find(self, digest);
    return give(self, command, err);
}

int fmq_link_cancel(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, key);
    const void *id = zhashx_lookup(self->fetches, key);
    if (!id)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "object %.12s is not being fetched", key);
    fmq_command_t *command = command_new(FMQ_COMMAND_CANCEL, err);
    if (!command)
        return -1;
    command->id = (uint32_t)(uintptr_t)id;
    zhashx_delete(self->fetches, key);
    return give(self, command, err);
}

void fmq_link_set_progress(fmq_link_t *self, uint64_t step, uint64_t steps)
{
    atomic_store_explicit(&self->shared.step, step, memory_order_relaxed);
    atomic_store_explicit(&self->shared.steps, steps, memory_order_relaxed);
}

fmq_traffic_t fmq_link_traffic(fmq_link_t *self)
{
    fmq_link_shared_t *shared = &self->shared;
    return (fmq_traffic_t){
        .payload_sent = atomic_load_explicit(&shared->payload_sent, memory_order_relaxed),
        .payload_received = atomic_load_explicit(&shared->payload_received, memory_order_relaxed),
        .wire_sent = atomic_load_explicit(&shared->wire_sent, memory_order_relaxed),
        .wire_received = atomic_load_explicit(&shared->wire_received, memory_order_relaxed),
    };
}

/* Asks the thread to end and frees the events that come until it has. */
static void end_thread(fmq_link_t *self, uint32_t linger_ms)
{
    fmq_command_t *command = command_new(FMQ_COMMAND_CLOSE, NULL);
    bool ended = self->ended || !command;
    if (command) {
        command->linger_ms = linger_ms;
        ended |= give(self, command, NULL) < 0;
    }
    while (!ended) {
        zmq_pollitem_t item = {.socket = self->pipe, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, -1) < 0 && errno == ETERM)
            break;
        fmq_item_t *taken = fmq_take(self->pipe, &self->shared.to_actor);
        ended = taken && taken->last;
        fmq_item_destroy(&taken);
    }
    zactor_destroy(&self->actor);
}

/* Ends our publications; one by one, for another member's may have the same
 * digest, and a link that was refused shares its name with another. */
static void withdraw_all(fmq_link_t *self)
{
    for (const void *item = zhashx_first(self->published); item;
         item = zhashx_next(self->published)) {
        fmq_digest_t digest;
        if (fmq_digest_from_hex(&digest, zhashx_cursor(self->published), NULL) == 0)
            fmq_store_withdraw(self->shared.store, &digest, self->shared.name);
    }
}

void fmq_link_close(fmq_link_t **self_p, uint32_t linger_ms)
{
    fmq_link_t *self = *self_p;
    if (!self)
        return;
    if (self->actor)
        end_thread(self, linger_ms);
    fmq_item_destroy(&self->current);
    if (self->published)
        withdraw_all(self);
    zhashx_destroy(&self->published);
    zhashx_destroy(&self->fetches);
    fmq_store_destroy(&self->own_store);
    free(self);
    *self_p = NULL;
}
