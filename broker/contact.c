/*
 * contact.c - when a link that gets no answer says so.
 */
#include "broker/contact.h"

static void begin(fmq_contact_t *self, int64_t now_ms)
{
    self->since_ms = now_ms;
    self->pause_ms = FMQ_CONTACT_FIRST_MS;
    self->due_ms = now_ms + self->pause_ms;
}

void fmq_contact_init(fmq_contact_t *self, uint32_t limit_ms, int64_t now_ms)
{
    *self = (fmq_contact_t){.limit_ms = limit_ms};
    begin(self, now_ms);
}

static bool is_limited(const fmq_contact_t *self)
{
    return self->limit_ms > 0 && !self->met;
}

fmq_contact_action_t fmq_contact_step(fmq_contact_t *self, bool up, int64_t now_ms)
{
    if (self->up && !up)
        begin(self, now_ms);
    self->up = up;
    self->met = self->met || up;
    if (up || self->over)
        return FMQ_CONTACT_NOTHING;
    if (is_limited(self) && now_ms - self->since_ms >= (int64_t)self->limit_ms) {
        self->over = true;
        return FMQ_CONTACT_GIVE_UP;
    }
    if (now_ms < self->due_ms)
        return FMQ_CONTACT_NOTHING;
    self->pause_ms =
        2 * self->pause_ms < FMQ_CONTACT_PAUSE_MS ? 2 * self->pause_ms : FMQ_CONTACT_PAUSE_MS;
    self->due_ms = now_ms + self->pause_ms;
    return FMQ_CONTACT_SAY;
}

int fmq_contact_wait(const fmq_contact_t *self, int64_t now_ms, int most_ms)
{
    int64_t due = self->due_ms;
    if (self->up || self->over)
        return most_ms;
    if (is_limited(self) && self->since_ms + (int64_t)self->limit_ms < due)
        due = self->since_ms + (int64_t)self->limit_ms;
    if (due - now_ms >= most_ms)
        return most_ms;
    return due > now_ms ? (int)(due - now_ms) : 0;
}
