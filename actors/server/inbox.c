/*
 * inbox.c - the server's handlers of events and messages.
 */
#include "actors/server/inbox.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "actors/protocol/inbound.h"
#include "actors/server/coordinator_private.h"
#include "actors/server/reports.h"

#define EVENTS_MAX  512  /* taken in one go before deciding */
#define REFUSED_MS  1000 /* between two words about what was refused */
#define CLIENT_NAME "client-"

/* What a handler of a message works with. */
typedef struct {
    coordinator_t *server;
    fmq_error_t *err;
    int rc; /* -1: the run cannot go on */
} taking_t;

/* k of "client-k", or 0. */
static uint32_t number_of(const coordinator_t *self, const char *member)
{
    if (strncmp(member, CLIENT_NAME, strlen(CLIENT_NAME)) != 0)
        return 0;
    const char *digits = member + strlen(CLIENT_NAME);
    if (*digits < '1' || *digits > '9' || strspn(digits, "0123456789") != strlen(digits) ||
        strlen(digits) > 9)
        return 0;
    uint32_t client = (uint32_t)strtoul(digits, NULL, 10);
    return client <= self->settings->clients ? client : 0;
}

static uint32_t client_number(const coordinator_t *self, const fmq_event_t *event)
{
    return event->role == FMQ_ROLE_CLIENT ? number_of(self, event->member) : 0;
}

static void member_left(coordinator_t *self, uint32_t client)
{
    int64_t now_ms = self->attention.now_ms;
    if (self->participants.all[client - 1].alive)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-gone",
                      "client=%u round=%u", client, self->checkpoints.mark.round);
    fmq_participants_left(&self->participants, client, now_ms);
    fmq_collector_lost(self->collector, client, now_ms);
}

static int on_member(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    (void)err;
    if (event->role == FMQ_ROLE_EVALUATOR)
        fmq_watchers_heard(self, event);
    uint32_t client = client_number(self, event);
    if (client == 0)
        return 0;
    if (!event->alive) {
        member_left(self, client);
        return 0;
    }
    fmq_participants_heard(&self->participants, client, event->step, event->steps,
                           self->attention.now_ms);
    if (self->participants.phase == FMQ_PHASE_ASKING && event->steps > 0)
        fmq_showing_show_now_and_then(self, FMQ_RUN_PROGRESS);
    return 0;
}

/* Is it time for a word again? */
static bool may_say(int64_t *said_ms, int64_t now_ms)
{
    if (now_ms - *said_ms < REFUSED_MS)
        return false;
    *said_ms = now_ms;
    return true;
}

/* Somebody takes itself for a client that this run does not have. */
static void turn_away(coordinator_t *self, const fmq_event_t *event)
{
    if (may_say(&self->inbox.turned_ms, self->attention.now_ms))
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-refused",
                      "name=%s reason=\"this run has the clients 1 to %" PRIu32
                      " (federate.client_num): give that one another --id\"",
                      event->member, self->settings->clients);
}

static void on_report(void *argument, const fmq_event_t *event, const void *message)
{
    taking_t *taking = argument;
    coordinator_t *self = taking->server;
    uint32_t client = client_number(self, event);
    if (event->role == FMQ_ROLE_EVALUATOR)
        fmq_watchers_take_report(self, event->member, message);
    else if (client == 0)
        turn_away(self, event);
    else
        taking->rc = fmq_reports_take(self, client, event->member, message, taking->err);
}

static void on_metrics(void *argument, const fmq_event_t *event, const void *message)
{
    taking_t *taking = argument;
    taking->rc = fmq_watchers_take_metrics(taking->server, event->member, message, taking->err);
}

static void on_shard(void *argument, const fmq_event_t *event, const void *message)
{
    (void)event;
    fmq_counts_take_shard(&((taking_t *)argument)->server->counts, message);
}

static const fmq_inbound_t inbound[] = {
    {"report", FMQ_FROM(FMQ_ROLE_CLIENT) | FMQ_FROM(FMQ_ROLE_EVALUATOR), on_report, false},
    {"metrics", FMQ_FROM(FMQ_ROLE_EVALUATOR), on_metrics, false},
    {"shard-", FMQ_FROM(FMQ_ROLE_SPLITTER), on_shard, false}};

/* A client whose report is none is left out, for it waits for nothing else. */
static void refuse(coordinator_t *self, const fmq_event_t *event, const fmq_error_t *why)
{
    uint32_t client = client_number(self, event);
    if (client > 0 && why->code == FMQ_ERR_FORMAT && strcmp(event->topic, "report") == 0)
        fmq_reports_refuse(self, client, why->text);
    else if (may_say(&self->inbox.refused_ms, self->attention.now_ms))
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "message-refused",
                      "name=%s topic=%s reason=\"%s\"", event->member, event->topic, why->text);
}

static int on_note(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    taking_t taking = {.server = self, .err = err};
    fmq_error_t why = {0};
    if (fmq_inbound_try(inbound, sizeof inbound / sizeof *inbound, &taking, event, &why) < 0)
        refuse(self, event, &why);
    return taking.rc;
}

static int on_fetch(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    int64_t now_ms = self->attention.now_ms;
    if (event->type == FMQ_EVENT_CHUNK) /* of its update: it is the fabric that is slow */
        fmq_participants_excuse(&self->participants, number_of(self, event->member), now_ms);
    return fmq_collector_event(self->collector, event, now_ms, err);
}

static int on_connection(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    (void)err;
    bool up = event->type == FMQ_EVENT_UP;
    fmq_log_write(self->options.log, up ? FMQ_LOG_INFO : FMQ_LOG_WARNING, "server",
                  up ? "up" : "down", "endpoint=%s", self->options.endpoint);
    return 0;
}

static int on_refused(coordinator_t *self, const fmq_event_t *event, fmq_error_t *err)
{
    (void)self;
    return fmq_error_set(err, event->error.code, "the router refuses the server: %s",
                         event->error.text);
}

static int (*const handlers[])(coordinator_t *, const fmq_event_t *, fmq_error_t *) = {
    [FMQ_EVENT_UP] = on_connection, [FMQ_EVENT_DOWN] = on_connection,
    [FMQ_EVENT_MEMBER] = on_member, [FMQ_EVENT_NOTE] = on_note,
    [FMQ_EVENT_CHUNK] = on_fetch,   [FMQ_EVENT_FETCHED] = on_fetch,
    [FMQ_EVENT_FAILED] = on_fetch,  [FMQ_EVENT_REFUSED] = on_refused};

int fmq_inbox_take(coordinator_t *self, fmq_error_t *err)
{
    fmq_event_t event;
    for (int i = 0; i < EVENTS_MAX; i++) {
        int got = fmq_link_receive(self->link, 0, &event, NULL);
        fmq_attention_took_events(&self->attention, got <= 0);
        if (got <= 0)
            return 0;
        if (handlers[event.type](self, &event, err) < 0)
            return -1;
    }
    return 0;
}
