/*
 * presence.c - whether the run's server is there: states, words, and an end.
 */
#include "actors/runtime/presence.h"

#include <stdio.h>
#include <string.h>

#include "fedmq/actors/messages.h"

#define QUIET_MS 5000   /* a router without a run is not worth a word before */
#define PAUSE_MS 300000 /* the longest between two words */

static int64_t milliseconds(const fmq_config_t *config, const char *key)
{
    return (int64_t)(fmq_config_real(config, key) * 1000);
}

static void enter(fmq_presence_t *self, fmq_presence_state_t state, int64_t now_ms)
{
    if (self->state == state)
        return;
    self->state = state;
    self->since_ms = now_ms;
    self->pause_ms = QUIET_MS;
    self->due_ms = state == FMQ_PRESENCE_AWAY ? now_ms : now_ms + QUIET_MS;
}

void fmq_presence_init(fmq_presence_t *self, const fmq_context_t *context, int64_t now_ms)
{
    *self = (fmq_presence_t){.here = context->leads || strncmp(context->endpoint, "tcp://", 6) != 0,
                             .patience_ms = milliseconds(context->config, "fedmq.server_patience"),
                             .limit_ms = milliseconds(context->config, "fedmq.connect_timeout"),
                             .began_ms = now_ms,
                             .since_ms = now_ms};
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", context->endpoint);
}

static bool is_known(const fmq_presence_t *self)
{
    return self->state == FMQ_PRESENCE_THERE || self->state == FMQ_PRESENCE_AWAY;
}

static void on_member(fmq_presence_t *self, const fmq_event_t *event, int64_t now_ms)
{
    if (event->role != FMQ_ROLE_SERVER)
        return;
    self->left = !event->alive;
    if (is_known(self))
        enter(self, event->alive ? FMQ_PRESENCE_THERE : FMQ_PRESENCE_AWAY, now_ms);
}

/* A router keeps the note of a server that was killed. */
static void on_note(fmq_presence_t *self, const fmq_event_t *event, int64_t now_ms)
{
    fmq_message_run_t note;
    if (event->role != FMQ_ROLE_SERVER || strcmp(event->topic, "run") != 0 ||
        fmq_message_run_decode(&note, event->data, event->size, NULL) < 0)
        return;
    enter(self, self->left ? FMQ_PRESENCE_AWAY : FMQ_PRESENCE_THERE, now_ms);
}

void fmq_presence_event(fmq_presence_t *self, const fmq_event_t *event, int64_t now_ms)
{
    switch (event->type) {
    case FMQ_EVENT_UP:
        self->up = true;
        self->left = false;
        if (self->state == FMQ_PRESENCE_SEEKING)
            enter(self, FMQ_PRESENCE_EMPTY, now_ms);
        return;
    case FMQ_EVENT_DOWN:
        self->up = false;
        enter(self, is_known(self) ? FMQ_PRESENCE_AWAY : FMQ_PRESENCE_SEEKING, now_ms);
        return;
    case FMQ_EVENT_MEMBER:
        on_member(self, event, now_ms);
        return;
    case FMQ_EVENT_NOTE:
        on_note(self, event, now_ms);
        return;
    default:
        return;
    }
}

static bool is_waiting(const fmq_presence_t *self)
{
    return !self->here && (self->state == FMQ_PRESENCE_EMPTY || self->state == FMQ_PRESENCE_AWAY);
}

/* When the waiting ends; 0: never. */
static int64_t end_of_wait(const fmq_presence_t *self)
{
    if (self->state == FMQ_PRESENCE_AWAY)
        return self->patience_ms > 0 ? self->since_ms + self->patience_ms : 0;
    return self->limit_ms > 0 ? self->began_ms + self->limit_ms : 0;
}

static int give_up(const fmq_presence_t *self, fmq_error_t *err)
{
    if (self->state == FMQ_PRESENCE_EMPTY)
        return fmq_error_set(err, FMQ_ERR_TIMEOUT,
                             "a router answers at '%s', but no server came there within %.3g s "
                             "(fedmq.connect_timeout): has it been started?",
                             self->endpoint, (double)self->limit_ms / 1000);
    return fmq_error_set(err, FMQ_ERR_TIMEOUT,
                         "the server at '%s' has stopped and did not come back within %.3g s "
                         "(fedmq.server_patience)",
                         self->endpoint, (double)self->patience_ms / 1000);
}

static void say(const fmq_presence_t *self, fmq_log_t *log, const char *actor, int64_t now_ms)
{
    char until[64] = "until it comes";
    int64_t end_ms = end_of_wait(self);
    if (end_ms > 0)
        (void)snprintf(until, sizeof until, "%lld s%s", (long long)(end_ms - now_ms + 999) / 1000,
                       self->since_ms < now_ms ? " more" : "");
    if (self->state == FMQ_PRESENCE_EMPTY)
        fmq_log_write(log, FMQ_LOG_WARNING, actor, "no-server",
                      "endpoint=%s reason=\"a router answers there, but no server has come yet; "
                      "waiting for one: %s\"",
                      self->endpoint, until);
    else
        fmq_log_write(log, FMQ_LOG_WARNING, actor, "server-away",
                      "endpoint=%s reason=\"the server has stopped%s; waiting for it to come back: "
                      "%s (fedmq.server_patience)\"",
                      self->endpoint, self->up ? "" : ", nobody answers there", until);
}

int fmq_presence_tend(fmq_presence_t *self, fmq_log_t *log, const char *actor, int64_t now_ms,
                      fmq_error_t *err)
{
    if (!is_waiting(self))
        return 0;
    int64_t end_ms = end_of_wait(self);
    if (end_ms > 0 && now_ms >= end_ms)
        return give_up(self, err);
    if (now_ms < self->due_ms)
        return 0;
    bool again = self->pause_ms > QUIET_MS;
    if (self->up || !again) /* the link says again and again that nobody answers */
        say(self, log, actor, now_ms);
    self->pause_ms = 2 * self->pause_ms < PAUSE_MS ? 2 * self->pause_ms : PAUSE_MS;
    self->due_ms = now_ms + self->pause_ms;
    return 0;
}

int fmq_presence_wait(const fmq_presence_t *self, int64_t now_ms)
{
    int64_t due = self->due_ms;
    if (!is_waiting(self))
        return -1;
    if (end_of_wait(self) > 0 && end_of_wait(self) < due)
        due = end_of_wait(self);
    return due > now_ms ? (int)(due - now_ms) : 0;
}
