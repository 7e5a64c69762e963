/*
 * routing.c - what the router does with each message, and with time.
 *
 * Every message goes the same way: is it well-formed, does its sender have a
 * name, may its role say this, then its handler.  What is wrong is counted,
 * logged at most a few times a second, and dropped; a member that sends much
 * of it is barred for a while.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/audience.h"
#include "broker/permission.h"
#include "broker/router_state.h"

#define TICK_MS             50
#define TICK_BLOCKED_MS     5
#define RESEND_MS           1000 /* notes without an acknowledgement */
#define OFFENCES_MAX        64
#define BARRED_MS           60000
#define COMPLAINTS_A_SECOND 5
#define SERVERS_MAX         8 /* whose coming and going everybody hears of */

typedef int(handler_fn)(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                        fmq_error_t *err);

static int send_route(fmq_router_state_t *self, const fmq_route_t *route,
                      const fmq_message_t *message, fmq_frame_t **payload_p)
{
    int bytes = fmq_socket_send(self->socket, route, message, payload_p);
    if (bytes < 0)
        return -1;
    atomic_fetch_add(&self->tally->messages_out, 1);
    atomic_fetch_add(&self->tally->bytes_out, (uint64_t)bytes);
    return 0;
}

/* A peer that cannot be reached has lost its connection.  What follows from
 * that is left to the end of the turn, for the caller may be walking the very
 * tables that it changes. */
static int send_member(fmq_router_state_t *self, fmq_member_t *member, const fmq_message_t *message,
                       fmq_frame_t **payload_p)
{
    if (!member->connected)
        return -1;
    if (send_route(self, &member->route, message, payload_p) == 0) {
        member->given_ms = self->now_ms;
        return 0;
    }
    if (errno == EHOSTUNREACH) {
        atomic_fetch_add(&self->tally->unroutable, 1);
        fmq_roster_disconnect(self->roster, member);
        char *name = strdup(member->name);
        if (name)
            (void)zlistx_add_end(self->lost, name);
    }
    return -1;
}

static int send_name(void *argument, const char *name, const fmq_message_t *message,
                     fmq_frame_t **payload_p)
{
    fmq_router_state_t *self = argument;
    fmq_member_t *member = fmq_roster_find(self->roster, name);
    return member ? send_member(self, member, message, payload_p) : -1;
}

static int send_note(void *argument, const char *reader, const fmq_message_t *note,
                     const void *body, size_t size)
{
    fmq_frame_t *payload = fmq_frame_copy(body, size);
    int rc = payload ? send_name(argument, reader, note, &payload) : -1;
    fmq_frame_destroy(&payload);
    return rc;
}

/* Says a complaint, or counts it when there were enough this second. */
static void complain(fmq_router_state_t *self, const char *who, const char *event,
                     const fmq_error_t *why)
{
    if (self->now_ms - self->complained_ms >= 1000) {
        if (self->unsaid > 0)
            fmq_log_write(self->log, FMQ_LOG_WARNING, "router", "complaints", "unsaid=%u",
                          self->unsaid);
        self->complaints = self->unsaid = 0;
        self->complained_ms = self->now_ms;
    }
    if (self->complaints++ < COMPLAINTS_A_SECOND)
        fmq_log_write(self->log, FMQ_LOG_WARNING, "router", event, "from=%s reason=\"%s\"", who,
                      why->text);
    else
        self->unsaid++;
}

static void refuse(fmq_router_state_t *self, const fmq_route_t *route, const fmq_error_t *why)
{
    fmq_message_t refused = {.type = FMQ_MESSAGE_REFUSED, .code = why->code};
    (void)snprintf(refused.reason, sizeof refused.reason, "%.*s", (int)sizeof refused.reason - 1,
                   why->text);
    (void)send_route(self, route, &refused, NULL);
}

static void drop_publication(fmq_router_state_t *self, const fmq_publication_t *publication)
{
    if (publication->place == FMQ_PLACE_STORE)
        fmq_store_withdraw(self->store, &publication->digest, publication->owner);
    fmq_catalog_remove(self->catalog, publication->owner, &publication->digest);
}

/* A member that has left for good takes its publications along; its notes
 * stay, for somebody may have to read them yet. */
static void part_with(fmq_router_state_t *self, fmq_member_t *member)
{
    const fmq_publication_t *publication;
    while ((publication = fmq_catalog_any(self->catalog, member->name, 0)))
        drop_publication(self, publication);
    fmq_retained_leave(self->retained, member->name);
    fmq_roster_leave(self->roster, member);
    fmq_relays_lost(self->relays, member->name, true, self->now_ms);
}

/* Counts what was dropped, and bars a member that does it again and again. */
static void blame(fmq_router_state_t *self, const fmq_route_t *route, fmq_member_t *member,
                  const fmq_error_t *why)
{
    switch (why->code) {
    case FMQ_ERR_DENIED:
        atomic_fetch_add(&self->tally->denied, 1);
        break;
    case FMQ_ERR_LIMIT:
    case FMQ_ERR_NOMEM:
        atomic_fetch_add(&self->tally->limit, 1);
        break;
    default:
        atomic_fetch_add(&self->tally->malformed, 1);
    }
    complain(self, member ? member->name : "stranger", "message-dropped", why);
    if (!member || why->code == FMQ_ERR_NOMEM || ++member->offences < OFFENCES_MAX)
        return;
    fmq_error_t barred;
    fmq_error_set(&barred, FMQ_ERR_DENIED, "'%s' sent too many bad messages: barred for %d s",
                  member->name, BARRED_MS / 1000);
    member->offences = 0;
    member->barred_ms = self->now_ms + BARRED_MS;
    fmq_log_write(self->log, FMQ_LOG_ERROR, "router", "member-barred", "name=%s", member->name);
    refuse(self, route, &barred);
    part_with(self, member);
}

/* Is the connection that holds this name still there?  Sending finds out. */
static void probe(fmq_router_state_t *self, fmq_member_t *member, const fmq_route_t *route)
{
    fmq_message_t pong = {.type = FMQ_MESSAGE_PONG, .session = self->session};
    if (member->connected && !fmq_route_equal(&member->route, route))
        (void)send_member(self, member, &pong, NULL);
}

/* When keys come, this is where the connection's key must own name and role. */
static void on_hello(fmq_router_state_t *self, const fmq_received_t *in)
{
    fmq_error_t err;
    const fmq_message_t *hello = &in->message;
    fmq_member_t *member = fmq_roster_find(self->roster, hello->name);
    if (member)
        probe(self, member, &in->route);
    fmq_hello_t verdict = fmq_roster_hello(self->roster, &in->route, hello, self->now_ms, &err);
    if (verdict == FMQ_HELLO_WAIT)
        return;
    if (verdict == FMQ_HELLO_REFUSED) {
        atomic_fetch_add(&self->tally->denied, 1);
        complain(self, hello->name, "hello-refused", &err);
        refuse(self, &in->route, &err);
        return;
    }
    member = fmq_roster_find(self->roster, hello->name);
    fmq_relays_lost(self->relays, hello->name, false, self->now_ms);
    fmq_catalog_doubt(self->catalog, hello->name, self->now_ms);
    if (fmq_retained_join(self->retained, hello->name, hello->role, verdict == FMQ_HELLO_NEW,
                          &err) < 0)
        complain(self, hello->name, "notes-incomplete", &err);
    fmq_message_t welcome = {.type = FMQ_MESSAGE_WELCOME,
                             .session = self->session,
                             .version = fmq_retained_floor(self->retained, hello->name),
                             .timeout_ms = self->timeout_ms};
    (void)send_member(self, member, &welcome, NULL);
    if (verdict == FMQ_HELLO_NEW)
        fmq_log_write(self->log, FMQ_LOG_INFO, "router", "member-joined", "name=%s role=%s",
                      member->name, fmq_role_name(member->role));
}

static int on_ping(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                   fmq_error_t *err)
{
    (void)err;
    fmq_message_t pong = {.type = FMQ_MESSAGE_PONG, .session = self->session};
    fmq_roster_progress(self->roster, from, in->message.step, in->message.steps);
    (void)send_member(self, from, &pong, NULL);
    return 0;
}

static int on_bye(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                  fmq_error_t *err)
{
    (void)in, (void)err;
    fmq_log_write(self->log, FMQ_LOG_INFO, "router", "member-left", "name=%s", from->name);
    part_with(self, from);
    return 0;
}

/* May this member address that audience?  A single name is judged by the role
 * of who bears it now; when nobody does, again at delivery. */
static int check_audience(fmq_router_state_t *self, const fmq_member_t *from, const char *audience,
                          fmq_error_t *err)
{
    const fmq_member_t *to =
        fmq_audience_is_many(audience) ? NULL : fmq_roster_find(self->roster, audience);
    if (fmq_role_may_address(from->role, audience) &&
        (!to || fmq_role_may_reach(from->role, to->role)))
        return 0;
    return fmq_error_set(err, FMQ_ERR_DENIED, "a %s may not address '%s'",
                         fmq_role_name(from->role), audience);
}

static int on_note(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                   fmq_error_t *err)
{
    fmq_message_t *note = &in->message;
    if (strcmp(note->name, from->name) != 0 || note->role != from->role)
        return fmq_error_set(err, FMQ_ERR_DENIED, "note in the name of '%s'", note->name);
    if (check_audience(self, from, note->audience, err) < 0 ||
        fmq_retained_put(self->retained, note, fmq_frame_data(in->payload),
                         fmq_frame_size(in->payload), err) < 0)
        return -1;
    fmq_message_t ack = *note;
    ack.type = FMQ_MESSAGE_NOTE_ACK;
    (void)send_member(self, from, &ack, NULL);
    return 0;
}

static int on_note_ack(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                       fmq_error_t *err)
{
    (void)err;
    fmq_retained_ack(self->retained, from->name, &in->message);
    return 0;
}

static int on_publish(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                      fmq_error_t *err)
{
    if (check_audience(self, from, in->message.audience, err) < 0)
        return -1;
    fmq_publication_t *publication =
        fmq_catalog_put(self->catalog, from->name, from->role, &in->message, err);
    if (!publication)
        return -1;
    fmq_message_t published = in->message;
    published.type = FMQ_MESSAGE_PUBLISHED;
    (void)send_member(self, from, &published, NULL);
    fmq_relays_published(self->relays, publication, self->now_ms);
    return 0;
}

static int on_withdraw(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                       fmq_error_t *err)
{
    (void)err;
    const fmq_publication_t *publication =
        fmq_catalog_find(self->catalog, from->name, &in->message.digest);
    if (publication)
        drop_publication(self, publication);
    return 0;
}

static int on_fetch(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                    fmq_error_t *err)
{
    return fmq_relays_fetch(self->relays, from->name, from->role, &in->message, self->now_ms, err);
}

static int on_credit(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                     fmq_error_t *err)
{
    return fmq_relays_credit(self->relays, from->name, &in->message, err);
}

static int on_chunk(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                    fmq_error_t *err)
{
    return fmq_relays_chunk(self->relays, from->name, &in->message, &in->payload, self->now_ms,
                            err);
}

static int on_gone(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                   fmq_error_t *err)
{
    (void)err;
    fmq_relays_gone(self->relays, from->name, &in->message, self->now_ms);
    return 0;
}

static int on_cancel(fmq_router_state_t *self, fmq_member_t *from, fmq_received_t *in,
                     fmq_error_t *err)
{
    (void)err;
    fmq_relays_cancel(self->relays, from->name, in->message.ticket);
    return 0;
}

/* What members may say.  HELLO comes from strangers; the rest is the router's. */
static handler_fn *const handlers[FMQ_MESSAGES_END] = {
    [FMQ_MESSAGE_PING] = on_ping,       [FMQ_MESSAGE_BYE] = on_bye,
    [FMQ_MESSAGE_NOTE] = on_note,       [FMQ_MESSAGE_NOTE_ACK] = on_note_ack,
    [FMQ_MESSAGE_PUBLISH] = on_publish, [FMQ_MESSAGE_WITHDRAW] = on_withdraw,
    [FMQ_MESSAGE_FETCH] = on_fetch,     [FMQ_MESSAGE_CREDIT] = on_credit,
    [FMQ_MESSAGE_CHUNK] = on_chunk,     [FMQ_MESSAGE_GONE] = on_gone,
    [FMQ_MESSAGE_CANCEL] = on_cancel,
};

/* A message of a known member. */
static void handle(fmq_router_state_t *self, fmq_member_t *member, fmq_received_t *in)
{
    fmq_error_t err;
    handler_fn *handler = handlers[in->message.type];
    if (!handler || !fmq_role_may_send(member->role, in->message.type)) {
        fmq_error_set(&err, FMQ_ERR_DENIED, "a %s may not send %s", fmq_role_name(member->role),
                      fmq_message_name(in->message.type));
        blame(self, &in->route, member, &err);
        return;
    }
    if (!member->alive)
        (void)fmq_retained_join(self->retained, member->name, member->role, false, &err);
    fmq_roster_touch(self->roster, member, self->now_ms);
    if (handler(self, member, in, &err) < 0)
        blame(self, &in->route, member, &err);
}

static void dispatch(fmq_router_state_t *self, fmq_received_t *in)
{
    fmq_message_t who = {.type = FMQ_MESSAGE_WHO};
    fmq_member_t *member = fmq_roster_find_route(self->roster, &in->route);
    if (in->message.type == FMQ_MESSAGE_HELLO)
        on_hello(self, in);
    else if (!member && in->message.type != FMQ_MESSAGE_BYE)
        (void)send_route(self, &in->route, &who, NULL);
    else if (member && self->now_ms < member->barred_ms)
        atomic_fetch_add(&self->tally->denied, 1);
    else if (member)
        handle(self, member, in);
}

/* Notes go out once for all the messages of a turn: a walk over those that could
 * not be sent costs nothing more for each message that comes meanwhile. */
void fmq_router_state_receive(fmq_router_state_t *self, unsigned most)
{
    while (most-- > 0) {
        fmq_error_t err;
        fmq_received_t in;
        int rc = fmq_socket_receive(self->socket, true, &in, &err);
        if (rc == 0)
            break;
        atomic_fetch_add(&self->tally->messages_in, 1);
        atomic_fetch_add(&self->tally->bytes_in, in.bytes);
        if (rc < 0)
            blame(self, &in.route, fmq_roster_find_route(self->roster, &in.route), &err);
        else
            dispatch(self, &in);
        fmq_frame_destroy(&in.payload);
    }
    fmq_retained_flush(self->retained, self->now_ms, false, send_note, self);
}

/* Ends what hung on connections that are gone; the members may come back. */
static void part_with_lost(fmq_router_state_t *self)
{
    char *name;
    while ((name = zlistx_detach(self->lost, NULL))) {
        const fmq_member_t *member = fmq_roster_find(self->roster, name);
        if (member && !member->connected) {
            fmq_retained_leave(self->retained, name);
            fmq_relays_lost(self->relays, name, false, self->now_ms);
        }
        free(name);
    }
}

static void expire_members(fmq_router_state_t *self)
{
    const fmq_member_t *member;
    while ((member = fmq_roster_expire(self->roster, self->now_ms))) {
        fmq_log_write(self->log, FMQ_LOG_WARNING, "router", "member-lost", "name=%s", member->name);
        fmq_retained_leave(self->retained, member->name);
        fmq_relays_lost(self->relays, member->name, false, self->now_ms);
    }
}

/* Tells a server of every change since it was last told. */
static void show_changes(fmq_router_state_t *self, fmq_member_t *server)
{
    fmq_member_t *member = fmq_roster_changed_after(self->roster, server->shown);
    for (; member; member = member->newer) {
        fmq_message_t message = {.type = FMQ_MESSAGE_MEMBER,
                                 .role = member->role,
                                 .alive = member->alive,
                                 .step = member->step,
                                 .steps = member->steps};
        memcpy(message.name, member->name, sizeof message.name);
        if (member != server && send_member(self, server, &message, NULL) < 0)
            return;
        server->shown = member->changed;
    }
}

/* The servers that there are and were, and the newest change of one. */
typedef struct {
    size_t size;
    const fmq_member_t *items[SERVERS_MAX];
    uint64_t newest;
} servers_t;

static servers_t find_servers(const fmq_router_state_t *self)
{
    servers_t servers = {0};
    for (const fmq_member_t *member = fmq_roster_next(self->roster, NULL); member;
         member = fmq_roster_next(self->roster, member)) {
        if (member->role != FMQ_ROLE_SERVER || servers.size == SERVERS_MAX)
            continue;
        servers.items[servers.size++] = member;
        if (member->changed > servers.newest)
            servers.newest = member->changed;
    }
    return servers;
}

/* Tells who is no server which ones came and went since it was last told: it
 * may be waiting for one. */
static void show_servers(fmq_router_state_t *self, fmq_member_t *reader, const servers_t *servers)
{
    if (reader->shown >= servers->newest)
        return;
    for (size_t i = 0; i < servers->size; i++) {
        const fmq_member_t *server = servers->items[i];
        fmq_message_t message = {
            .type = FMQ_MESSAGE_MEMBER, .role = server->role, .alive = server->alive};
        memcpy(message.name, server->name, sizeof message.name);
        if (server->changed > reader->shown && send_member(self, reader, &message, NULL) < 0)
            return;
    }
    reader->shown = servers->newest;
}

/* Servers learn of changes, others of servers; members that were sent nothing for a heartbeat get
 * a PONG, which is all they need to know that we are here. */
static void speak(fmq_router_state_t *self)
{
    fmq_message_t pong = {.type = FMQ_MESSAGE_PONG, .session = self->session};
    servers_t servers = find_servers(self);
    for (fmq_member_t *member = fmq_roster_next(self->roster, NULL); member;
         member = fmq_roster_next(self->roster, member)) {
        if (!member->alive || !member->connected)
            continue;
        if (member->role == FMQ_ROLE_SERVER)
            show_changes(self, member);
        else
            show_servers(self, member, &servers);
        if (self->now_ms - member->given_ms >= (int64_t)self->heartbeat_ms)
            (void)send_member(self, member, &pong, NULL);
    }
}

void fmq_router_state_tick(fmq_router_state_t *self)
{
    if (fmq_router_state_wait(self) > 0)
        return;
    self->ticked_ms = self->now_ms;
    expire_members(self);
    fmq_relays_tick(self->relays, self->now_ms);
    fmq_retained_flush(self->retained, self->now_ms, true, send_note, self);
    speak(self);
    const fmq_publication_t *publication;
    while ((publication =
                fmq_catalog_any(self->catalog, NULL, self->now_ms - (int64_t)self->timeout_ms)))
        drop_publication(self, publication);
    part_with_lost(self);
    atomic_store(&self->tally->members, fmq_roster_alive(self->roster));
}

int fmq_router_state_wait(const fmq_router_state_t *self)
{
    int64_t pause = fmq_relays_blocked(self->relays) ? TICK_BLOCKED_MS : TICK_MS;
    int64_t due = self->ticked_ms + pause - self->now_ms;
    return due > 0 ? (int)due : 0;
}

/* A number that no other router has, from a random UUID. */
static uint64_t new_session(void)
{
    uint64_t session = 0;
    zuuid_t *uuid = zuuid_new();
    if (uuid)
        memcpy(&session, zuuid_data(uuid), sizeof session);
    zuuid_destroy(&uuid);
    return session;
}

int fmq_router_state_init(fmq_router_state_t *self, fmq_error_t *err)
{
    self->session = new_session();
    self->roster = fmq_roster_new(self->timeout_ms, self->heartbeat_ms, FMQ_ROUTER_MEMBERS_MAX);
    self->retained = fmq_retained_new(RESEND_MS);
    self->catalog = fmq_catalog_new();
    self->lost = zlistx_new();
    fmq_relays_options_t options = {.store = self->store,
                                    .catalog = self->catalog,
                                    .grace_ms = self->timeout_ms,
                                    .send = send_name,
                                    .argument = self};
    self->relays = fmq_relays_new(&options);
    if (!self->roster || !self->retained || !self->catalog || !self->lost || !self->relays)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the router's tables");
    return 0;
}

void fmq_router_state_release(fmq_router_state_t *self)
{
    char *name;
    while (self->lost && (name = zlistx_detach(self->lost, NULL)))
        free(name);
    zlistx_destroy(&self->lost);
    fmq_relays_destroy(&self->relays);
    fmq_catalog_destroy(&self->catalog);
    fmq_retained_destroy(&self->retained);
    fmq_roster_destroy(&self->roster);
    zsock_destroy(&self->socket);
}
