/*
 * link.c - the actor's end of a link: checks what the actor asks for, hands
 * it to the port in the hub's thread, and gives it the port's events one by one.
 */
#include "fedmq/broker/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/audience.h"
#include "broker/hub.h"
#include "broker/link_pipe.h"
#include "broker/permission.h"
#include "broker/port.h"
#include "broker/socket.h"
#include "fedmq/base/clock.h"

#define HEARTBEAT_MS    1000
#define TIMEOUT_MS      10000
#define WINDOW          8
#define STORE_BYTES_MAX (UINT64_C(4) << 30) /* of a store of its own */
#define NO_MEMORY_MS    10                  /* between two tries for a few bytes */

struct fmq_link {
    fmq_hub_t *hub, *own_hub; /* own_hub is owned; NULL when one was given */
    fmq_port_t *port;         /* the hub's; valid until the link is closed; NULL: never opened */
    fmq_link_pipe_t pipe;
    bool leaving;
    fmq_store_t *own_store; /* owned; NULL when one was given */
    fmq_item_t *current;    /* owned: what the last event points to */
    zhashx_t *fetches;      /* digest -> id of the fetch under way, as a pointer-sized number */
    zhashx_t *published;    /* digests that we keep in the store */
    uint32_t id;
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

static void fill_pipe(fmq_link_t *self, const fmq_link_options_t *options)
{
    fmq_link_pipe_t *pipe = &self->pipe;
    (void)snprintf(pipe->endpoint, sizeof pipe->endpoint, "%s", options->endpoint);
    (void)snprintf(pipe->name, sizeof pipe->name, "%s", options->name);
    pipe->role = options->role;
    pipe->log = options->log;
    pipe->heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : HEARTBEAT_MS;
    pipe->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    pipe->connect_ms = options->connect_ms;
    pipe->window = options->window ? options->window : WINDOW;
    pipe->notify = options->notify;
    pipe->notify_argument = options->notify_argument;
    pipe->incarnation = random_number();
    pipe->first_version =
        options->first_version ? options->first_version : (uint64_t)fmq_clock_wall_ms() << 20;
    pipe->store = options->store ? options->store : self->own_store;
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

/* Hands a command over; it is the hub's then. */
static int give(fmq_link_t *self, fmq_command_t *command)
{
    command->port = self->port;
    fmq_hub_give(self->hub, command);
    return 0;
}

/* The port begins to live: no failure after this. */
static int open_port(fmq_link_t *self, fmq_error_t *err)
{
    fmq_command_t *command = command_new(FMQ_COMMAND_OPEN, err);
    if (!command)
        return -1;
    if (fmq_link_pipe_init(&self->pipe, err) < 0) {
        fmq_command_destroy(&command);
        return -1;
    }
    self->port = fmq_port_new(&self->pipe, err);
    if (!self->port) {
        fmq_link_pipe_release(&self->pipe);
        fmq_command_destroy(&command);
        return -1;
    }
    return give(self, command);
}

static int fill(fmq_link_t *self, const fmq_link_options_t *options, fmq_error_t *err)
{
    if (!options->store && !(self->own_store = fmq_store_new(STORE_BYTES_MAX)))
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a store");
    self->fetches = zhashx_new();
    self->published = zhashx_new();
    if (!self->fetches || !self->published)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a link");
    fill_pipe(self, options);
    self->hub = options->hub;
    if (!self->hub)
        self->hub = self->own_hub = fmq_hub_new(err);
    return self->hub ? open_port(self, err) : -1;
}

fmq_link_t *fmq_link_open(const fmq_link_options_t *options, fmq_error_t *err)
{
    if (check_options(options, err) < 0)
        return NULL;
    fmq_fabric_init();
    fmq_link_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a link");
        return NULL;
    }
    if (fill(self, options, err) < 0) {
        fmq_error_prefix(err, "cannot start the link of '%s'", options->name);
        fmq_link_close(&self, 0);
    }
    return self;
}

int fmq_link_wait(fmq_link_t *self, void *beside, int timeout_ms)
{
    zmq_pollitem_t items[2] = {{.fd = self->pipe.descriptor, .events = ZMQ_POLLIN},
                               {.events = ZMQ_POLLIN}};
    if (beside)
        items[1].socket = zsock_resolve(beside);
    return zmq_poll(items, beside ? 2 : 1, timeout_ms);
}

/* Waits for an event.  1: there is one, 0: time is up, -1: interrupted. */
static int wait_pipe(fmq_link_t *self, int timeout_ms, fmq_error_t *err)
{
    int64_t end = fmq_clock_ms() + timeout_ms;
    for (;;) {
        int64_t left = end - fmq_clock_ms();
        int rc = fmq_link_wait(self, NULL, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0);
        if (rc >= 0)
            return rc;
        if (errno != EINTR || zsys_interrupted)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "link of '%s' was interrupted",
                                 self->pipe.name);
    }
}

static void say_consumed(fmq_link_t *self, uint32_t id)
{
    fmq_command_t *command = command_new(FMQ_COMMAND_CONSUMED, NULL);
    if (!command)
        return;
    command->id = id;
    (void)give(self, command);
}

/* The actor is through with its event: a chunk's credit goes back. */
static void consume(fmq_link_t *self)
{
    if (self->current && self->current->event.type == FMQ_EVENT_CHUNK)
        say_consumed(self, self->current->id);
    fmq_item_destroy(&self->current);
}

/* The next event that waits, which the actor has then. */
static bool take_next(fmq_link_t *self)
{
    bool wanted;
    consume(self);
    self->current = fmq_link_pipe_pop(&self->pipe, &wanted);
    if (wanted)
        say_consumed(self, 0);
    return self->current != NULL;
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
        while (take_next(self)) {
            if (!is_current(self, self->current))
                continue;
            *event = self->current->event;
            if (self->current->frame) {
                event->data = fmq_frame_data(self->current->frame);
                event->size = fmq_frame_size(self->current->frame);
            }
            return 1;
        }
        if (timeout_ms == 0 || self->pipe.notify)
            return 0;
        int64_t left = end - fmq_clock_ms();
        int rc = wait_pipe(self, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0, err);
        if (rc <= 0)
            return rc;
    }
}

static int check_audience(const fmq_link_t *self, const char *audience, fmq_error_t *err)
{
    if (!fmq_audience_valid(audience))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%.80s' is not a member's name, @role or *",
                             audience);
    if (!fmq_role_may_address(self->pipe.role, audience))
        return fmq_error_set(err, FMQ_ERR_DENIED, "a %s may not address '%s'",
                             fmq_role_name(self->pipe.role), audience);
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
    command->head.role = self->pipe.role;
    memcpy(command->head.name, self->pipe.name, sizeof command->head.name);
    (void)snprintf(command->head.audience, sizeof command->head.audience, "%s", to);
    (void)snprintf(command->head.topic, sizeof command->head.topic, "%s", topic);
    command->body = fmq_frame_copy(body, size);
    if (!command->body) {
        fmq_command_destroy(&command);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a note");
    }
    return give(self, command);
}

int fmq_link_publish(fmq_link_t *self, fmq_object_t *object, const char *readers, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    if (check_audience(self, readers, err) < 0 ||
        fmq_store_put(self->pipe.store, object, self->pipe.name, readers, err) < 0)
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
    return give(self, command);
}

int fmq_link_withdraw(fmq_link_t *self, const fmq_digest_t *digest, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, key);
    if (!zhashx_lookup(self->published, key))
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "object %.12s is not published by '%s'", key,
                             self->pipe.name);
    fmq_command_t *command = command_new(FMQ_COMMAND_WITHDRAW, err);
    if (!command)
        return -1;
    command->head.digest = *digest;
    zhashx_delete(self->published, key);
    fmq_store_withdraw(self->pipe.store, digest, self->pipe.name);
    return give(self, command);
}

fmq_object_t *fmq_link_find(fmq_link_t *self, const fmq_digest_t *digest)
{
    return fmq_store_get(self->pipe.store, digest, self->pipe.name, fmq_role_name(self->pipe.role));
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
    return give(self, command);
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
    return give(self, command);
}

void fmq_link_set_progress(fmq_link_t *self, uint64_t step, uint64_t steps)
{
    atomic_store_explicit(&self->pipe.step, step, memory_order_relaxed);
    atomic_store_explicit(&self->pipe.steps, steps, memory_order_relaxed);
}

fmq_traffic_t fmq_link_traffic(fmq_link_t *self)
{
    fmq_link_pipe_t *pipe = &self->pipe;
    return (fmq_traffic_t){
        .payload_sent = atomic_load_explicit(&pipe->payload_sent, memory_order_relaxed),
        .payload_received = atomic_load_explicit(&pipe->payload_received, memory_order_relaxed),
        .wire_sent = atomic_load_explicit(&pipe->wire_sent, memory_order_relaxed),
        .wire_received = atomic_load_explicit(&pipe->wire_received, memory_order_relaxed),
    };
}

void fmq_link_leave(fmq_link_t *self, uint32_t linger_ms)
{
    fmq_command_t *command = NULL;
    if (self->leaving || !self->port)
        return;
    self->leaving = true;
    while (!(command = command_new(FMQ_COMMAND_CLOSE, NULL)))
        zclock_sleep(NO_MEMORY_MS); /* the port must not outlive the link */
    command->linger_ms = linger_ms;
    (void)give(self, command);
}

/* Ends our publications; one by one, for another member's may have the same
 * digest, and a link that was refused shares its name with another. */
static void withdraw_all(fmq_link_t *self)
{
    for (const void *item = zhashx_first(self->published); item;
         item = zhashx_next(self->published)) {
        fmq_digest_t digest;
        if (fmq_digest_from_hex(&digest, zhashx_cursor(self->published), NULL) == 0)
            fmq_store_withdraw(self->pipe.store, &digest, self->pipe.name);
    }
}

void fmq_link_close(fmq_link_t **self_p, uint32_t linger_ms)
{
    fmq_link_t *self = *self_p;
    if (!self)
        return;
    fmq_link_leave(self, linger_ms);
    if (self->port) {
        fmq_link_pipe_await_end(&self->pipe);
        fmq_link_pipe_release(&self->pipe);
    }
    fmq_hub_destroy(&self->own_hub);
    fmq_item_destroy(&self->current);
    if (self->published)
        withdraw_all(self);
    zhashx_destroy(&self->published);
    zhashx_destroy(&self->fetches);
    fmq_store_destroy(&self->own_store);
    free(self);
    *self_p = NULL;
}
