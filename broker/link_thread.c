/*
 * link_thread.c - the thread behind a link: it owns the DEALER socket, lives
 * in the router's eyes whatever its actor does, and moves messages between
 * the socket and the pure tables (session, outbox, inbox, fetches, serving).
 */
#include "broker/link_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/contact.h"
#include "broker/inbox.h"
#include "broker/outbox.h"
#include "broker/probe.h"
#include "broker/serving.h"
#include "broker/session.h"
#include "broker/socket.h"
#include "fedmq/base/clock.h"

#define MESSAGES_A_TURN 64
#define RESEND_MS       1000 /* announcements without an acknowledgement */
#define TURN_MS         1000 /* longest sleep */
#define PROBE_MS        1000 /* to find out who answers in the router's place */
#define CLOSING_MS      5    /* the same while the actor waits for the end */

typedef struct {
    fmq_link_shared_t *shared; /* borrowed */
    void *pipe;
    zsock_t *socket; /* owned; NULL while closed */
    fmq_session_t session;
    fmq_contact_t contact;
    fmq_outbox_t *outbox;
    fmq_inbox_t *inbox;
    fmq_fetches_t *fetches;
    fmq_serving_t *serving;
    bool was_up;        /* what the actor was told */
    bool blocked;       /* the socket takes no more for now */
    bool refused, told; /* by the router; and the actor knows */
    fmq_error_t refusal;
    uint32_t under_way; /* events that the actor has not consumed */
    int64_t now_ms;
    bool closing;
    int64_t close_ms; /* when patience ends */
} thread_t;

void fmq_command_destroy(fmq_command_t **self_p)
{
    fmq_command_t *self = *self_p;
    if (!self)
        return;
    fmq_frame_destroy(&self->body);
    fmq_object_drop(&self->want.object);
    free(self);
    *self_p = NULL;
}

void fmq_item_destroy(fmq_item_t **self_p)
{
    fmq_item_t *self = *self_p;
    if (!self)
        return;
    fmq_frame_destroy(&self->frame);
    free(self);
    *self_p = NULL;
}

int fmq_pass(void *pipe, void *pointer, atomic_uint *fence)
{
    atomic_fetch_add_explicit(fence, 1, memory_order_release);
    int rc;
    do
        rc = zmq_send(pipe, &pointer, sizeof pointer, 0);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -1 : 0;
}

void *fmq_take(void *pipe, atomic_uint *fence)
{
    void *pointer = NULL;
    int rc;
    do
        rc = zmq_recv(pipe, &pointer, sizeof pointer, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    (void)atomic_load_explicit(fence, memory_order_acquire);
    return rc == (int)sizeof pointer ? pointer : NULL;
}

static int send_message(void *argument, const fmq_message_t *message, fmq_frame_t **payload_p)
{
    thread_t *self = argument;
    if (!self->socket)
        return -1;
    uint64_t payload = message->type == FMQ_MESSAGE_CHUNK ? fmq_frame_size(*payload_p) : 0;
    int bytes = fmq_socket_send(self->socket, NULL, message, payload_p);
    if (bytes < 0) {
        self->blocked = errno == EAGAIN;
        return -1;
    }
    atomic_fetch_add_explicit(&self->shared->wire_sent, (uint64_t)bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->shared->payload_sent, payload, memory_order_relaxed);
    return 0;
}

static int send_bare(void *argument, const fmq_message_t *message)
{
    return send_message(argument, message, NULL);
}

static void open_socket(thread_t *self)
{
    fmq_error_t err;
    self->socket = fmq_socket_dealer(self->shared->endpoint, self->shared->timeout_ms, &err);
    if (!self->socket)
        fmq_log_write(self->shared->log, FMQ_LOG_DEBUG, self->shared->name, "connect-failed",
                      "reason=\"%s\"", err.text);
    fmq_session_opened(&self->session, self->socket != NULL, self->now_ms);
}

/* Everything that hangs on the connection ends with it. */
static void forget_connection(thread_t *self)
{
    fmq_fetches_disconnect(self->fetches);
    fmq_serving_reset(self->serving);
}

static int say_hello(thread_t *self)
{
    const fmq_link_shared_t *shared = self->shared;
    fmq_message_t hello = {
        .type = FMQ_MESSAGE_HELLO, .role = shared->role, .incarnation = shared->incarnation};
    memcpy(hello.name, shared->name, sizeof hello.name);
    forget_connection(self);
    return send_bare(self, &hello);
}

static int say_ping(thread_t *self)
{
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING,
                          .step = atomic_load_explicit(&self->shared->step, memory_order_relaxed),
                          .steps =
                              atomic_load_explicit(&self->shared->steps, memory_order_relaxed)};
    return send_bare(self, &ping);
}

static void keep_session(thread_t *self)
{
    fmq_session_action_t action;
    while ((action = fmq_session_step(&self->session, self->now_ms)) != FMQ_SESSION_NOTHING) {
        switch (action) {
        case FMQ_SESSION_OPEN:
            open_socket(self);
            break;
        case FMQ_SESSION_CLOSE:
            forget_connection(self);
            zsock_destroy(&self->socket);
            break;
        default:
            if ((action == FMQ_SESSION_HELLO ? say_hello(self) : say_ping(self)) < 0) {
                fmq_session_unsaid(&self->session);
                return;
            }
        }
    }
}

/* Who, if anybody, answers where the router should; takes PROBE_MS at most for
 * each address. */
static void find_out(const thread_t *self, char *said, size_t capacity)
{
    fmq_endpoint_t where;
    fmq_error_t err;
    fmq_probe_t found = FMQ_PROBE_UNREACHED;
    char why[FMQ_PROBE_SAID_MAX] = "";
    if (fmq_endpoint_resolve(&where, self->shared->endpoint, FMQ_ENDPOINT_CONNECT, &err) < 0) {
        (void)snprintf(said, capacity, "%s", err.text);
        return;
    }
    for (size_t i = 0; i < where.size && found == FMQ_PROBE_UNREACHED; i++)
        found = fmq_probe(where.places[i], PROBE_MS, why);
    (void)snprintf(said, capacity, "%s", why);
}

static void say_no_answer(thread_t *self)
{
    const fmq_link_shared_t *shared = self->shared;
    char said[FMQ_ERROR_TEXT_MAX], until[48] = "";
    int64_t waited = self->now_ms - self->contact.since_ms;
    if (shared->connect_ms > 0 && !self->contact.met)
        (void)snprintf(until, sizeof until, " for %lld s more",
                       (long long)((int64_t)shared->connect_ms - waited) / 1000);
    find_out(self, said, sizeof said);
    fmq_log_write(
        shared->log, FMQ_LOG_WARNING, shared->name, "no-answer",
        "endpoint=%s seconds=%lld reason=\"%s\" advice=\"is the server running there, and "
        "are host and port right? trying on%s\"",
        shared->endpoint, (long long)waited / 1000, said, until);
}

static void give_up(thread_t *self)
{
    char said[FMQ_ERROR_TEXT_MAX];
    find_out(self, said, sizeof said);
    self->refused = true;
    fmq_error_set(&self->refusal, FMQ_ERR_TIMEOUT,
                  "no fedmq server answered '%s' at '%s' within %.3g s: %s; is it running there, "
                  "and are host and port right?",
                  self->shared->name, self->shared->endpoint, self->shared->connect_ms / 1000.0,
                  said);
    fmq_session_end(&self->session);
    forget_connection(self);
}

/* A router of this process needs no words: it is there, or the process ends. */
static bool may_lack_contact(const thread_t *self)
{
    return !self->refused && !self->closing && strncmp(self->shared->endpoint, "tcp://", 6) == 0;
}

static void keep_contact(thread_t *self)
{
    if (!may_lack_contact(self))
        return;
    fmq_contact_action_t action = fmq_contact_step(&self->contact, self->session.up, self->now_ms);
    if (action == FMQ_CONTACT_SAY)
        say_no_answer(self);
    else if (action == FMQ_CONTACT_GIVE_UP)
        give_up(self);
    if (action != FMQ_CONTACT_NOTHING)
        self->now_ms = fmq_clock_ms();
}

static void on_welcome(thread_t *self, fmq_received_t *in)
{
    fmq_session_welcome(&self->session, in->message.timeout_ms, self->now_ms);
    fmq_outbox_welcome(self->outbox, in->message.version);
    fmq_serving_reset(self->serving);
    fmq_fetches_connect(self->fetches, self->now_ms);
}

static void on_refused(thread_t *self, fmq_received_t *in)
{
    self->refused = true;
    fmq_error_set(&self->refusal, in->message.code == FMQ_OK ? FMQ_ERR_DENIED : in->message.code,
                  "router at '%s' refused '%s': %s", self->shared->endpoint, self->shared->name,
                  in->message.reason);
    fmq_session_end(&self->session);
    forget_connection(self);
}

static void on_who(thread_t *self, fmq_received_t *in)
{
    (void)in;
    fmq_session_who(&self->session);
}

static void on_note(thread_t *self, fmq_received_t *in)
{
    fmq_message_t ack = in->message;
    ack.type = FMQ_MESSAGE_NOTE_ACK;
    if (fmq_inbox_note(self->inbox, &in->message, &in->payload) == 0)
        (void)send_bare(self, &ack);
}

static void on_note_ack(thread_t *self, fmq_received_t *in)
{
    fmq_outbox_note_acked(self->outbox, &in->message);
}

static void on_member(thread_t *self, fmq_received_t *in)
{
    (void)fmq_inbox_member(self->inbox, &in->message);
}

static void on_published(thread_t *self, fmq_received_t *in)
{
    fmq_outbox_published(self->outbox, &in->message);
}

/* Somebody wants what we published; the router has judged who may. */
static void on_fetch(thread_t *self, fmq_received_t *in)
{
    fmq_error_t err;
    fmq_object_t *object = NULL;
    int rc = -1;
    if (fmq_store_has(self->shared->store, &in->message.digest, self->shared->name))
        object = fmq_store_get(self->shared->store, &in->message.digest, self->shared->name,
                               fmq_role_name(self->shared->role));
    if (object)
        rc = fmq_serving_fetch(self->serving, &in->message, object, &err);
    else
        fmq_error_set(&err, FMQ_ERR_NOTFOUND, "its owner does not publish it any more");
    fmq_object_drop(&object);
    if (rc == 0)
        return;
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE, .ticket = in->message.ticket, .code = err.code};
    (void)snprintf(gone.reason, sizeof gone.reason, "%s", err.text);
    (void)send_bare(self, &gone);
}

static void on_credit(thread_t *self, fmq_received_t *in)
{
    fmq_serving_credit(self->serving, &in->message);
}

static void on_cancel(thread_t *self, fmq_received_t *in)
{
    fmq_serving_cancel(self->serving, in->message.ticket);
}

static void on_chunk(thread_t *self, fmq_received_t *in)
{
    atomic_fetch_add_explicit(&self->shared->payload_received, fmq_frame_size(in->payload),
                              memory_order_relaxed);
    fmq_fetches_chunk(self->fetches, &in->message, &in->payload, self->now_ms);
}

static void on_gone(thread_t *self, fmq_received_t *in)
{
    fmq_fetches_gone(self->fetches, &in->message);
}

/* What the router may say; PONG only shows that it is there. */
static void (*const handlers[FMQ_MESSAGES_END])(thread_t *, fmq_received_t *) = {
    [FMQ_MESSAGE_WELCOME] = on_welcome,
    [FMQ_MESSAGE_REFUSED] = on_refused,
    [FMQ_MESSAGE_WHO] = on_who,
    [FMQ_MESSAGE_NOTE] = on_note,
    [FMQ_MESSAGE_NOTE_ACK] = on_note_ack,
    [FMQ_MESSAGE_MEMBER] = on_member,
    [FMQ_MESSAGE_PUBLISHED] = on_published,
    [FMQ_MESSAGE_FETCH] = on_fetch,
    [FMQ_MESSAGE_CREDIT] = on_credit,
    [FMQ_MESSAGE_CANCEL] = on_cancel,
    [FMQ_MESSAGE_CHUNK] = on_chunk,
    [FMQ_MESSAGE_GONE] = on_gone,
};

static void receive(thread_t *self)
{
    for (int i = 0; self->socket && i < MESSAGES_A_TURN; i++) {
        fmq_error_t err;
        fmq_received_t in;
        int rc = fmq_socket_receive(self->socket, false, &in, &err);
        if (rc == 0)
            return;
        atomic_fetch_add_explicit(&self->shared->wire_received, in.bytes, memory_order_relaxed);
        if (rc < 0) {
            fmq_log_write(self->shared->log, FMQ_LOG_WARNING, self->shared->name, "message-dropped",
                          "reason=\"%s\"", err.text);
        } else {
            fmq_session_heard(&self->session, self->now_ms);
            if (handlers[in.message.type] && !self->refused)
                handlers[in.message.type](self, &in);
        }
        fmq_frame_destroy(&in.payload);
    }
}

static void withdraw(thread_t *self, const fmq_digest_t *digest)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_WITHDRAW, .digest = *digest};
    fmq_outbox_withdraw(self->outbox, digest);
    if (self->session.state == FMQ_SESSION_JOINED)
        (void)send_bare(self, &message);
}

static void obey(thread_t *self, fmq_command_t *command)
{
    switch (command->type) {
    case FMQ_COMMAND_NOTE:
        (void)fmq_outbox_note(self->outbox, &command->head, fmq_frame_data(command->body),
                              fmq_frame_size(command->body));
        break;
    case FMQ_COMMAND_PUBLISH:
        (void)fmq_outbox_publish(self->outbox, &command->head);
        break;
    case FMQ_COMMAND_WITHDRAW:
        withdraw(self, &command->head.digest);
        break;
    case FMQ_COMMAND_FETCH:
        (void)fmq_fetches_begin(self->fetches, &command->want, self->now_ms);
        break;
    case FMQ_COMMAND_CANCEL:
        fmq_fetches_cancel(self->fetches, command->id);
        break;
    case FMQ_COMMAND_CONSUMED:
        self->under_way -= self->under_way > 0;
        if (command->id)
            fmq_fetches_consumed(self->fetches, command->id);
        break;
    default:
        self->closing = true;
        self->close_ms = self->now_ms + command->linger_ms;
    }
}

static void take_commands(thread_t *self)
{
    fmq_command_t *command;
    while (!self->closing && (command = fmq_take(self->pipe, &self->shared->to_thread))) {
        obey(self, command);
        fmq_command_destroy(&command);
    }
}

/* Fills item with the next thing that the actor should know. */
static bool next_news(thread_t *self, fmq_item_t *item)
{
    if (self->refused && !self->told) {
        self->told = true;
        item->event = (fmq_event_t){.type = FMQ_EVENT_REFUSED, .error = self->refusal};
        return true;
    }
    if (self->was_up != self->session.up) {
        self->was_up = self->session.up;
        item->event = (fmq_event_t){.type = self->was_up ? FMQ_EVENT_UP : FMQ_EVENT_DOWN};
        return true;
    }
    return fmq_inbox_next(self->inbox, &item->event, &item->frame) ||
           fmq_fetches_next(self->fetches, &item->event, &item->frame, &item->id);
}

static void tell_actor(thread_t *self)
{
    while (self->under_way < FMQ_LINK_EVENTS_MAX) {
        fmq_item_t *item = calloc(1, sizeof *item);
        if (!item || !next_news(self, item) ||
            fmq_pass(self->pipe, item, &self->shared->to_actor) < 0) {
            fmq_item_destroy(&item);
            return;
        }
        self->under_way++;
    }
}

/* Sends what waits: announcements, credit, chunks. */
static void send_all(thread_t *self)
{
    if (self->session.state != FMQ_SESSION_JOINED)
        return;
    fmq_outbox_flush(self->outbox, self->now_ms, send_message, self);
    fmq_fetches_tick(self->fetches, self->now_ms);
    (void)fmq_serving_pump(self->serving, send_message, self);
}

/* Sleeps until there is something to do.  A socket that took no more, or is
 * not connected yet, is waited for to become writable. */
static void wait_for_work(thread_t *self)
{
    zmq_pollitem_t items[2] = {{.socket = self->pipe, .events = ZMQ_POLLIN}};
    int count = 1;
    if (self->socket) {
        items[1].socket = zsock_resolve(self->socket);
        items[1].events = (short)(self->blocked ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN);
        count = 2;
    }
    int pause = self->closing ? CLOSING_MS : TURN_MS;
    if (!self->blocked)
        pause = fmq_session_wait(&self->session, self->now_ms, pause);
    else if (pause > (int)self->session.heartbeat_ms)
        pause = (int)self->session.heartbeat_ms;
    if (may_lack_contact(self))
        pause = fmq_contact_wait(&self->contact, self->now_ms, pause);
    (void)zmq_poll(items, count, pause);
    self->now_ms = fmq_clock_ms();
}

/* May the thread end?  When all notes arrived, or patience has. */
static bool may_end(const thread_t *self)
{
    return self->closing && (!fmq_outbox_notes_pending(self->outbox) || self->refused ||
                             self->now_ms >= self->close_ms);
}

static bool init(thread_t *self, zsock_t *pipe, fmq_link_shared_t *shared)
{
    self->shared = shared;
    self->pipe = zsock_resolve(pipe);
    self->now_ms = fmq_clock_ms();
    fmq_session_init(&self->session, shared->heartbeat_ms, shared->timeout_ms);
    fmq_contact_init(&self->contact, shared->connect_ms, self->now_ms);
    fmq_fetches_options_t options = {.window = shared->window,
                                     .quiet_ms = 2 * shared->timeout_ms,
                                     .send = send_bare,
                                     .argument = self};
    self->outbox = fmq_outbox_new(shared->first_version, RESEND_MS);
    self->inbox = fmq_inbox_new();
    self->fetches = fmq_fetches_new(&options);
    self->serving = fmq_serving_new();
    return self->outbox && self->inbox && self->fetches && self->serving;
}

static void release(thread_t *self)
{
    zsock_destroy(&self->socket);
    fmq_outbox_destroy(&self->outbox);
    fmq_inbox_destroy(&self->inbox);
    fmq_fetches_destroy(&self->fetches);
    fmq_serving_destroy(&self->serving);
}

static void say_bye(thread_t *self)
{
    fmq_message_t bye = {.type = FMQ_MESSAGE_BYE};
    if (self->session.state == FMQ_SESSION_JOINED)
        (void)send_bare(self, &bye);
}

void fmq_link_thread(zsock_t *pipe, void *argument)
{
    thread_t self = {0};
    bool ready = init(&self, pipe, argument);
    if (ready && may_lack_contact(&self))
        fmq_log_write(self.shared->log, FMQ_LOG_INFO, self.shared->name, "connecting",
                      "endpoint=%s", self.shared->endpoint);
    zsock_signal(pipe, ready ? 0 : 1);
    while (ready && !may_end(&self)) {
        self.blocked = false;
        take_commands(&self);
        receive(&self);
        keep_session(&self);
        keep_contact(&self);
        send_all(&self);
        tell_actor(&self);
        if (!may_end(&self))
            wait_for_work(&self);
    }
    say_bye(&self);
    release(&self);
    fmq_item_t *last = calloc(1, sizeof *last);
    if (last)
        last->last = true;
    (void)fmq_pass(zsock_resolve(pipe), last, &((fmq_link_shared_t *)argument)->to_actor);
    char *term = zstr_recv(pipe);
    zstr_free(&term);
}
