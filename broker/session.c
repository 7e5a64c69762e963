/*
 * session.c - the link's side of staying connected.
 */
#include "broker/session.h"

#define BACKOFF_MS     100u /* doubles with every vain opening */
#define BACKOFF_MAX_MS 5000u
#define VAIN_MAX       4u /* doublings of the patience with a new connection */

void fmq_session_init(fmq_session_t *self, uint32_t heartbeat_ms, uint32_t timeout_ms)
{
    *self = (fmq_session_t){.state = FMQ_SESSION_CLOSED,
                            .heartbeat_ms = heartbeat_ms,
                            .timeout_ms = timeout_ms,
                            .backoff_ms = BACKOFF_MS};
}

static fmq_session_action_t close_for_a_while(fmq_session_t *self, int64_t now_ms)
{
    self->state = FMQ_SESSION_CLOSED;
    self->open_ms = now_ms + self->backoff_ms;
    self->backoff_ms =
        2 * self->backoff_ms < BACKOFF_MAX_MS ? 2 * self->backoff_ms : BACKOFF_MAX_MS;
    return FMQ_SESSION_CLOSE;
}

/* Says something every heartbeat. */
static fmq_session_action_t say(fmq_session_t *self, fmq_session_action_t what, int64_t now_ms)
{
    if (now_ms - self->said_ms < (int64_t)self->heartbeat_ms)
        return FMQ_SESSION_NOTHING;
    self->said_ms = now_ms;
    return what;
}

fmq_session_action_t fmq_session_step(fmq_session_t *self, int64_t now_ms)
{
    int64_t patience = (int64_t)self->timeout_ms / 2;
    if (self->up && now_ms - self->heard_ms >= (int64_t)self->timeout_ms)
        self->up = false;
    switch (self->state) {
    case FMQ_SESSION_CLOSED:
        return now_ms >= self->open_ms ? FMQ_SESSION_OPEN : FMQ_SESSION_NOTHING;
    case FMQ_SESSION_JOINING:
        /* A slow handshake is not helped by beginning it anew: with every vain
         * opening the next one gets more time. */
        patience <<= self->vain;
        if (now_ms - self->opened_ms >= patience && now_ms - self->heard_ms >= patience) {
            self->vain += self->vain < VAIN_MAX;
            return close_for_a_while(self, now_ms);
        }
        return say(self, FMQ_SESSION_HELLO, now_ms);
    case FMQ_SESSION_JOINED:
        if (now_ms - self->heard_ms >= patience)
            return close_for_a_while(self, now_ms);
        return say(self, FMQ_SESSION_PING, now_ms);
    default:
        return FMQ_SESSION_NOTHING;
    }
}

void fmq_session_opened(fmq_session_t *self, bool well, int64_t now_ms)
{
    if (!well) {
        (void)close_for_a_while(self, now_ms);
        return;
    }
    self->state = FMQ_SESSION_JOINING;
    self->opened_ms = now_ms;
    self->said_ms = now_ms - (int64_t)self->heartbeat_ms;
}

void fmq_session_unsaid(fmq_session_t *self)
{
    self->said_ms -= (int64_t)self->heartbeat_ms;
}

void fmq_session_heard(fmq_session_t *self, int64_t now_ms)
{
    self->heard_ms = now_ms;
}

void fmq_session_welcome(fmq_session_t *self, uint32_t router_timeout_ms, int64_t now_ms)
{
    if (self->state == FMQ_SESSION_ENDED)
        return;
    self->state = FMQ_SESSION_JOINED;
    self->up = true;
    self->backoff_ms = BACKOFF_MS;
    self->vain = 0;
    self->heard_ms = now_ms;
    uint32_t often = router_timeout_ms / 4 > 0 ? router_timeout_ms / 4 : 1;
    if (self->heartbeat_ms > often)
        self->heartbeat_ms = often;
}

void fmq_session_who(fmq_session_t *self)
{
    if (self->state != FMQ_SESSION_JOINED)
        return;
    self->state = FMQ_SESSION_JOINING;
    self->opened_ms = self->heard_ms;
    self->said_ms = self->heard_ms - (int64_t)self->heartbeat_ms;
}

void fmq_session_end(fmq_session_t *self)
{
    self->state = FMQ_SESSION_ENDED;
    self->up = false;
}

int fmq_session_wait(const fmq_session_t *self, int64_t now_ms, int most_ms)
{
    int64_t due = now_ms + most_ms;
    if (self->state == FMQ_SESSION_CLOSED && self->open_ms < due)
        due = self->open_ms;
    if (self->state == FMQ_SESSION_JOINING || self->state == FMQ_SESSION_JOINED)
        if (self->said_ms + (int64_t)self->heartbeat_ms < due)
            due = self->said_ms + (int64_t)self->heartbeat_ms;
    return due > now_ms ? (int)(due - now_ms) : 0;
}
