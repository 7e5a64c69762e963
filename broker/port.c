/*
 * port.c - a member's life on its lane, without its actor's help.
 */
#include "broker/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/clock.h"

#define RESEND_MS  1000 /* announcements without an acknowledgement */
#define TURN_MS    1000 /* longest sleep */
#define UNSENT_MAX 4096

static int send_message(void *argument, const fmq_message_t *message, fmq_frame_t **payload_p)
{
    fmq_port_t *self = argument;
    fmq_connection_t *connection = self->connection;
    if (!connection)
        return -1;
    if (connection->blocked) {
        self->blocked = true;
        return -1;
    }
    uint64_t payload = message->type == FMQ_MESSAGE_CHUNK ? fmq_frame_size(*payload_p) : 0;
    int bytes = fmq_socket_send(connection->socket, &self->route, message, payload_p);
    if (bytes < 0) {
        self->blocked = connection->blocked = errno == EAGAIN;
        return -1;
    }
    atomic_fetch_add_explicit(&self->pipe->wire_sent, (uint64_t)bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->pipe->payload_sent, payload, memory_order_relaxed);
    return 0;
}

static int send_bare(void *argument, const fmq_message_t *message)
{
    return send_message(argument, message, NULL);
}

/* What is said but once is kept while the connection takes no more: the other
 * ports of a process may have filled it. */
static int say_once(void *argument, const fmq_message_t *message)
{
    fmq_port_t *self = argument;
    fmq_frame_t *none = NULL;
    if (!self->unsent.first && send_bare(self, message) == 0)
        return 0;
    if (!self->blocked || self->unsent.size >= UNSENT_MAX)
        return -1;
    return fmq_backlog_push(&self->unsent, message, &none);
}

static void send_unsent(fmq_port_t *self)
{
    while (self->unsent.first && send_bare(self, &self->unsent.first->head) == 0) {
        fmq_message_t head;
        fmq_frame_t *none;
        (void)fmq_backlog_pop(&self->unsent, &head, &none);
    }
}

static int send_for_fetch(void *argument, const fmq_message_t *message)
{
    return message->type == FMQ_MESSAGE_CANCEL ? say_once(argument, message)
                                               : send_bare(argument, message);
}

static void join_connection(fmq_port_t *self)
{
    fmq_error_t err;
    self->connection =
        fmq_connections_join(self->connections, self->pipe->endpoint, self->pipe->timeout_ms, &err);
    if (!self->connection)
        fmq_log_write(self->pipe->log, FMQ_LOG_DEBUG, self->pipe->name, "connect-failed",
                      "reason=\"%s\"", err.text);
    fmq_session_opened(&self->session, self->connection != NULL, self->now_ms);
}

static void part_with_connection(fmq_port_t *self, bool stale)
{
    fmq_port_move(self, NULL);
    fmq_connections_part(self->connections, &self->connection, stale);
}

/* Everything that hangs on the connection ends with it. */
static void forget_connection(fmq_port_t *self)
{
    fmq_backlog_release(&self->unsent);
    fmq_fetches_disconnect(self->fetches);
    fmq_serving_reset(self->serving);
}

static int say_hello(fmq_port_t *self)
{
    const fmq_link_pipe_t *pipe = self->pipe;
    fmq_message_t hello = {
        .type = FMQ_MESSAGE_HELLO, .role = pipe->role, .incarnation = pipe->incarnation};
    memcpy(hello.name, pipe->name, sizeof hello.name);
    forget_connection(self);
    return send_bare(self, &hello);
}

static int say_ping(fmq_port_t *self)
{
    fmq_message_t ping = {.type = FMQ_MESSAGE_PING,
                          .step = atomic_load_explicit(&self->pipe->step, memory_order_relaxed),
                          .steps = atomic_load_explicit(&self->pipe->steps, memory_order_relaxed)};
    return send_bare(self, &ping);
}

static void keep_session(fmq_port_t *self)
{
    fmq_session_action_t action;
    while ((action = fmq_session_step(&self->session, self->now_ms)) != FMQ_SESSION_NOTHING) {
        switch (action) {
        case FMQ_SESSION_OPEN:
            join_connection(self);
            break;
        case FMQ_SESSION_CLOSE:
            forget_connection(self);
            part_with_connection(self, true);
            break;
        default:
            if ((action == FMQ_SESSION_HELLO ? say_hello(self) : say_ping(self)) < 0) {
                fmq_session_unsaid(&self->session);
                return;
            }
        }
    }
}

static void say_no_answer(fmq_port_t *self)
{
    const fmq_link_pipe_t *pipe = self->pipe;
    char until[48] = "";
    int64_t waited = self->now_ms - self->contact.since_ms;
    if (pipe->connect_ms > 0 && !self->contact.met)
        (void)snprintf(until, sizeof until, " for %lld s more",
                       (long long)((int64_t)pipe->connect_ms - waited) / 1000);
    const char *said = fmq_connections_find_out(self->connections, pipe->endpoint, self->now_ms);
    fmq_log_write(
        pipe->log, FMQ_LOG_WARNING, pipe->name, "no-answer",
        "endpoint=%s seconds=%lld reason=\"%s\" advice=\"is the server running there, and "
        "are host and port right? trying on%s\"",
        pipe->endpoint, (long long)waited / 1000, said, until);
}

void fmq_port_refuse(fmq_port_t *self, const fmq_error_t *why)
{
    self->refused = true;
    self->refusal = *why;
    fmq_session_end(&self->session);
    forget_connection(self);
}

static void give_up(fmq_port_t *self)
{
    fmq_error_t why;
    const char *said =
        fmq_connections_find_out(self->connections, self->pipe->endpoint, self->now_ms);
    fmq_error_set(&why, FMQ_ERR_TIMEOUT,
                  "no fedmq server answered '%s' at '%s' within %.3g s: %s; is it running there, "
                  "and are host and port right?",
                  self->pipe->name, self->pipe->endpoint, self->pipe->connect_ms / 1000.0, said);
    fmq_port_refuse(self, &why);
}

/* A router of this process needs no words: it is there, or the process ends. */
static bool may_lack_contact(const fmq_port_t *self)
{
    return !self->refused && !self->closing && strncmp(self->pipe->endpoint, "tcp://", 6) == 0;
}

static void keep_contact(fmq_port_t *self)
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

static void on_welcome(fmq_port_t *self, fmq_received_t *in)
{
    fmq_session_welcome(&self->session, in->message.timeout_ms, self->now_ms);
    fmq_outbox_welcome(self->outbox, in->message.version);
    fmq_serving_reset(self->serving);
    fmq_fetches_connect(self->fetches, self->now_ms);
}

static void on_refused(fmq_port_t *self, fmq_received_t *in)
{
    fmq_error_t why;
    fmq_error_set(&why, in->message.code == FMQ_OK ? FMQ_ERR_DENIED : in->message.code,
                  "router at '%s' refused '%s': %s", self->pipe->endpoint, self->pipe->name,
                  in->message.reason);
    fmq_port_refuse(self, &why);
}

static void on_who(fmq_port_t *self, fmq_received_t *in)
{
    (void)in;
    fmq_session_who(&self->session);
}

static void on_note(fmq_port_t *self, fmq_received_t *in)
{
    fmq_message_t ack = in->message;
    ack.type = FMQ_MESSAGE_NOTE_ACK;
    if (fmq_inbox_note(self->inbox, &in->message, &in->payload) == 0)
        (void)send_bare(self, &ack);
}

static void on_note_ack(fmq_port_t *self, fmq_received_t *in)
{
    fmq_outbox_note_acked(self->outbox, &in->message);
}

static void on_member(fmq_port_t *self, fmq_received_t *in)
{
    (void)fmq_inbox_member(self->inbox, &in->message);
}

static void on_published(fmq_port_t *self, fmq_received_t *in)
{
    fmq_outbox_published(self->outbox, &in->message);
}

/* Somebody wants what we published; the router has judged who may. */
static void on_fetch(fmq_port_t *self, fmq_received_t *in)
{
    fmq_error_t err;
    fmq_object_t *object = NULL;
    int rc = -1;
    if (fmq_store_has(self->pipe->store, &in->message.digest, self->pipe->name))
        object = fmq_store_get(self->pipe->store, &in->message.digest, self->pipe->name,
                               fmq_role_name(self->pipe->role));
    if (object)
        rc = fmq_serving_fetch(self->serving, &in->message, object, &err);
    else
        fmq_error_set(&err, FMQ_ERR_NOTFOUND, "its owner does not publish it any more");
    fmq_object_drop(&object);
    if (rc == 0)
        return;
    fmq_message_t gone = {.type = FMQ_MESSAGE_GONE, .ticket = in->message.ticket, .code = err.code};
    (void)snprintf(gone.reason, sizeof gone.reason, "%s", err.text);
    (void)say_once(self, &gone);
}

static void on_credit(fmq_port_t *self, fmq_received_t *in)
{
    fmq_serving_credit(self->serving, &in->message);
}

static void on_cancel(fmq_port_t *self, fmq_received_t *in)
{
    fmq_serving_cancel(self->serving, in->message.ticket);
}

static void on_chunk(fmq_port_t *self, fmq_received_t *in)
{
    atomic_fetch_add_explicit(&self->pipe->payload_received, fmq_frame_size(in->payload),
                              memory_order_relaxed);
    fmq_fetches_chunk(self->fetches, &in->message, &in->payload, self->now_ms);
}

static void on_gone(fmq_port_t *self, fmq_received_t *in)
{
    fmq_fetches_gone(self->fetches, &in->message);
}

/* What the router may say; PONG only shows that it is there. */
static void (*const handlers[FMQ_MESSAGES_END])(fmq_port_t *, fmq_received_t *) = {
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

void fmq_port_hear(fmq_port_t *self, fmq_received_t *in, int64_t now_ms)
{
    self->now_ms = now_ms;
    atomic_fetch_add_explicit(&self->pipe->wire_received, in->bytes, memory_order_relaxed);
    fmq_session_heard(&self->session, now_ms);
    if (handlers[in->message.type] && !self->refused)
        handlers[in->message.type](self, in);
}

static void withdraw(fmq_port_t *self, const fmq_digest_t *digest)
{
    fmq_message_t message = {.type = FMQ_MESSAGE_WITHDRAW, .digest = *digest};
    fmq_outbox_withdraw(self->outbox, digest);
    if (self->session.state == FMQ_SESSION_JOINED)
        (void)say_once(self, &message);
}

void fmq_port_obey(fmq_port_t *self, fmq_command_t *command, int64_t now_ms)
{
    self->now_ms = now_ms;
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
        if (command->id)
            fmq_fetches_consumed(self->fetches, command->id);
        break;
    case FMQ_COMMAND_OPEN:
        break;
    default:
        self->closing = true;
        self->close_ms = self->now_ms + command->linger_ms;
    }
}

/* Fills item with the next thing that the actor should know. */
static bool next_news(fmq_port_t *self, fmq_item_t *item)
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

static void tell_actor(fmq_port_t *self)
{
    while (!self->closing && fmq_link_pipe_has_room(self->pipe)) {
        fmq_item_t *item = calloc(1, sizeof *item);
        if (!item || !next_news(self, item)) {
            fmq_item_destroy(&item);
            return;
        }
        fmq_link_pipe_push(self->pipe, item);
    }
}

/* Sends what waits: announcements, credit, chunks. */
static void send_all(fmq_port_t *self)
{
    if (self->session.state != FMQ_SESSION_JOINED)
        return;
    send_unsent(self);
    fmq_outbox_flush(self->outbox, self->now_ms, send_message, self);
    fmq_fetches_tick(self->fetches, self->now_ms);
    (void)fmq_serving_pump(self->serving, send_message, self);
}

/* May it close?  When all notes arrived, or patience has ended. */
static bool may_close(const fmq_port_t *self)
{
    return self->closing && (!fmq_outbox_notes_pending(self->outbox) || self->refused ||
                             self->now_ms >= self->close_ms);
}

/* The router need not time us out.  Many who leave at once may have to wait for
 * their turn to say so. */
static bool has_said_bye(fmq_port_t *self)
{
    fmq_message_t bye = {.type = FMQ_MESSAGE_BYE};
    return self->session.state != FMQ_SESSION_JOINED || send_bare(self, &bye) == 0 ||
           !self->blocked || self->now_ms >= self->close_ms;
}

void fmq_port_attend(fmq_port_t *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    self->blocked = false;
    keep_session(self);
    keep_contact(self);
    send_all(self);
    tell_actor(self);
    self->over = may_close(self) && has_said_bye(self);
}

/* What waits for its connection is attended when that takes more: a session that
 * has something to say is not asked again before a heartbeat has passed. */
int64_t fmq_port_due(const fmq_port_t *self)
{
    int pause = TURN_MS;
    if (self->closing && self->close_ms - self->now_ms < pause)
        pause = self->close_ms > self->now_ms ? (int)(self->close_ms - self->now_ms) : 0;
    if (!self->blocked)
        pause = fmq_session_wait(&self->session, self->now_ms, pause);
    else if (pause > (int)self->session.heartbeat_ms)
        pause = (int)self->session.heartbeat_ms;
    if (may_lack_contact(self))
        pause = fmq_contact_wait(&self->contact, self->now_ms, pause);
    return self->now_ms + pause;
}

static bool make_tables(fmq_port_t *self)
{
    fmq_fetches_options_t options = {.window = self->pipe->window,
                                     .quiet_ms = 2 * self->pipe->timeout_ms,
                                     .send = send_for_fetch,
                                     .argument = self};
    self->outbox = fmq_outbox_new(self->pipe->first_version, RESEND_MS);
    self->inbox = fmq_inbox_new();
    self->fetches = fmq_fetches_new(&options);
    self->serving = fmq_serving_new();
    return self->outbox && self->inbox && self->fetches && self->serving;
}

fmq_port_t *fmq_port_new(fmq_link_pipe_t *pipe, fmq_error_t *err)
{
    fmq_port_t *self = calloc(1, sizeof *self);
    if (self) {
        self->pipe = pipe;
        self->now_ms = fmq_clock_ms();
        fmq_session_init(&self->session, pipe->heartbeat_ms, pipe->timeout_ms);
        fmq_contact_init(&self->contact, pipe->connect_ms, self->now_ms);
    }
    if (self && make_tables(self))
        return self;
    fmq_port_destroy(&self);
    fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a link");
    return NULL;
}

void fmq_port_destroy(fmq_port_t **self_p)
{
    fmq_port_t *self = *self_p;
    if (!self)
        return;
    fmq_link_pipe_t *pipe = self->pipe;
    part_with_connection(self, false);
    fmq_backlog_release(&self->unsent);
    fmq_outbox_destroy(&self->outbox);
    fmq_inbox_destroy(&self->inbox);
    fmq_fetches_destroy(&self->fetches);
    fmq_serving_destroy(&self->serving);
    free(self);
    *self_p = NULL;
    fmq_link_pipe_end(pipe);
}

static void leave_list(fmq_port_t *self)
{
    if (!self->list)
        return;
    *(self->before ? &self->before->after : &self->list->first) = self->after;
    *(self->after ? &self->after->before : &self->list->last) = self->before;
    self->before = self->after = NULL;
    self->list = NULL;
}

void fmq_port_move(fmq_port_t *self, fmq_port_list_t *list)
{
    leave_list(self);
    if (!list)
        return;
    self->list = list;
    self->before = list->last;
    *(list->last ? &list->last->after : &list->first) = self;
    list->last = self;
}

fmq_port_t *fmq_port_list_take(fmq_port_list_t *self)
{
    fmq_port_t *port = self->first;
    if (port)
        leave_list(port);
    return port;
}
