/*
 * lending.c - counts the objects that borrow a model's memory.
 */
#include "actors/layers/lending.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "fedmq/base/clock.h"

#define LOOK_MS 2

struct fmq_lending {
    atomic_uint out;
};

fmq_lending_t *fmq_lending_new(void)
{
    fmq_lending_t *self = calloc(1, sizeof *self);
    if (self)
        atomic_init(&self->out, 0);
    return self;
}

void fmq_lending_destroy(fmq_lending_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void fmq_lending_take(fmq_lending_t *self)
{
    atomic_fetch_add_explicit(&self->out, 1, memory_order_relaxed);
}

void fmq_lending_give(fmq_lending_t *self)
{
    atomic_fetch_sub_explicit(&self->out, 1, memory_order_release);
}

int fmq_lending_await(fmq_lending_t *self, uint32_t timeout_ms, fmq_error_t *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t until = fmq_clock_ms() + timeout_ms;
    unsigned out;
    while ((out = atomic_load_explicit(&self->out, memory_order_acquire)) > 0) {
        if (fmq_clock_ms() >= until)
            return fmq_error_set(err, FMQ_ERR_TIMEOUT,
                                 "%u published parts of the model are still being read", out);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}
