/*
 * timers.c - a binary heap that tells its elements where they are.
 */
#include "base/timers.h"

#include <stdlib.h>

#define CAPACITY_MIN 16

int fmq_timers_reserve(fmq_timers_t *self, size_t most, fmq_error_t *err)
{
    size_t capacity = self->capacity ? self->capacity : CAPACITY_MIN;
    while (capacity < most + 1)
        capacity *= 2;
    if (capacity == self->capacity)
        return 0;
    fmq_timer_t **heap = realloc(self->heap, capacity * sizeof(fmq_timer_t *));
    if (!heap)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %zu timers", most);
    self->heap = heap;
    self->capacity = capacity;
    return 0;
}

void fmq_timers_release(fmq_timers_t *self)
{
    free(self->heap);
    *self = (fmq_timers_t){0};
}

static void put(fmq_timers_t *self, size_t place, fmq_timer_t *timer)
{
    self->heap[place] = timer;
    timer->place = place;
}

static void rise(fmq_timers_t *self, fmq_timer_t *timer)
{
    size_t place = timer->place;
    for (; place > 1 && self->heap[place / 2]->due_ms > timer->due_ms; place /= 2)
        put(self, place, self->heap[place / 2]);
    put(self, place, timer);
}

static void sink(fmq_timers_t *self, fmq_timer_t *timer)
{
    size_t place = timer->place;
    for (size_t child; (child = 2 * place) <= self->size; place = child) {
        if (child < self->size && self->heap[child + 1]->due_ms < self->heap[child]->due_ms)
            child++;
        if (self->heap[child]->due_ms >= timer->due_ms)
            break;
        put(self, place, self->heap[child]);
    }
    put(self, place, timer);
}

void fmq_timers_set(fmq_timers_t *self, fmq_timer_t *timer, int64_t due_ms)
{
    timer->due_ms = due_ms;
    if (timer->place == 0)
        put(self, ++self->size, timer);
    rise(self, timer);
    sink(self, timer);
}

void fmq_timers_unset(fmq_timers_t *self, fmq_timer_t *timer)
{
    if (timer->place == 0)
        return;
    fmq_timer_t *last = self->heap[self->size--];
    size_t place = timer->place;
    timer->place = 0;
    if (last == timer)
        return;
    put(self, place, last);
    rise(self, last);
    sink(self, last);
}

fmq_timer_t *fmq_timers_first(const fmq_timers_t *self)
{
    return self->size > 0 ? self->heap[1] : NULL;
}

int fmq_timers_wait(const fmq_timers_t *self, int64_t now_ms, int most_ms)
{
    if (self->size == 0 || self->heap[1]->due_ms - now_ms >= most_ms)
        return most_ms;
    return self->heap[1]->due_ms > now_ms ? (int)(self->heap[1]->due_ms - now_ms) : 0;
}
