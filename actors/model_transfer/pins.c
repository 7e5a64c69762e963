/*
 * pins.c - counts the objects that borrow a model's memory.
 */
#include "actors/model_transfer/pins.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "fedmq/base/clock.h"

#define LOOK_MS 2

struct fmq_pins {
    atomic_uint out;
};

fmq_pins_t *fmq_pins_new(void)
{
    fmq_pins_t *self = calloc(1, sizeof *self);
    if (self)
        atomic_init(&self->out, 0);
    return self;
}

void fmq_pins_destroy(fmq_pins_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void fmq_pins_take(fmq_pins_t *self)
{
    atomic_fetch_add_explicit(&self->out, 1, memory_order_relaxed);
}

void fmq_pins_give(fmq_pins_t *self)
{
    atomic_fetch_sub_explicit(&self->out, 1, memory_order_release);
}

int fmq_pins_await(fmq_pins_t *self, uint32_t timeout_ms, fmq_error_t *err)
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
