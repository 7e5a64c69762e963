/*
 * attention.c - reads the clock and the pipe.
 */
#include "actors/server/attention.h"

#include "actors/runtime/pipe.h"
#include "fedmq/base/clock.h"

#define DEAF_MS 2000 /* this thread may compute or wait for a disk meanwhile */

void fmq_attention_init(fmq_attention_t *self, zsock_t *pipe)
{
    *self = (fmq_attention_t){.pipe = pipe};
    fmq_attention_look(self);
}

void fmq_attention_look(fmq_attention_t *self)
{
    self->now_ms = fmq_clock_ms();
}

void fmq_attention_listen(fmq_attention_t *self)
{
    if (!self->terminated)
        self->terminated = fmq_pipe_terminated_because(self->pipe, &self->told);
}

bool fmq_attention_was_deaf(fmq_attention_t *self)
{
    bool deaf = self->now_ms - self->listened_ms > DEAF_MS;
    self->listened_ms = self->now_ms;
    return deaf;
}

void fmq_attention_took_events(fmq_attention_t *self, bool drained)
{
    self->drained = drained;
}

void fmq_attention_begin(fmq_attention_t *self)
{
    self->step = self->steps = 0;
}

bool fmq_attention_step(fmq_attention_t *self, uint64_t step, uint64_t steps)
{
    fmq_attention_look(self);
    self->step = step;
    self->steps = steps;
    self->busy = true;
    fmq_attention_listen(self);
    return self->terminated;
}

bool fmq_attention_was_busy(fmq_attention_t *self)
{
    bool busy = self->busy;
    self->busy = false;
    return busy;
}
