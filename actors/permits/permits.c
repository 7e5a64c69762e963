/*
 * permits.c - how many actors of a process may compute at once.
 *
 * A fixed set of backends, each with threads of its own; whoever takes one has
 * it alone.  Waiting is not fair: the next to wake takes what is free, and no
 * result depends on the order.  It knows nothing of models or workspaces.
 */
#include "fedmq/actors/actors.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "actors/permits/hand.h"

#define PERMITS_MAX        1024
#define PERMIT_THREADS_MAX 1024
#define STOP_CHECK_MS      100

struct fmq_permits {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    size_t size, idle;
    atomic_uint_fast64_t moves;
    llm_backend_t **free;  /* owned array; the first `idle` are not taken */
    llm_backend_t **every; /* owned array of owned backends */
    fmq_hand_t **hands;    /* owned array of owned hands, one for each of them */
};

static int init_waiting(fmq_permits_t *self)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return -1;
    int failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
                 pthread_cond_init(&self->freed, &attributes) != 0;
    pthread_condattr_destroy(&attributes);
    if (failed)
        return -1;
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
        pthread_cond_destroy(&self->freed);
        return -1;
    }
    return 0;
}

fmq_permits_t *fmq_permits_new(unsigned permits, unsigned threads, fmq_error_t *err)
{
    if (permits == 0 || permits > PERMITS_MAX || threads == 0 || threads > PERMIT_THREADS_MAX) {
        fmq_error_set(err, FMQ_ERR_CONFIG,
                      "%u permits of %u threads: both must lie between 1 and %d", permits, threads,
                      PERMITS_MAX);
        return NULL;
    }
    fmq_permits_t *self = calloc(1, sizeof *self);
    if (!self || init_waiting(self) < 0) {
        free(self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u permits", permits);
        return NULL;
    }
    self->free = calloc(permits, sizeof *self->free);
    self->every = calloc(permits, sizeof *self->every);
    self->hands = calloc(permits, sizeof *self->hands);
    if (!self->free || !self->every || !self->hands) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %u permits", permits);
        goto fail;
    }
    for (; self->size < permits; self->size++) {
        llm_backend_t *backend = llm_backend_cpu_new(threads, err);
        if (!backend)
            goto fail;
        self->every[self->size] = backend;
        self->hands[self->size] = fmq_hand_new(err);
        if (!self->hands[self->size]) {
            llm_backend_destroy(&self->every[self->size]);
            goto fail;
        }
        self->free[self->idle++] = backend;
    }
    return self;
fail:
    fmq_permits_destroy(&self);
    return NULL;
}

void fmq_permits_destroy(fmq_permits_t **self_p)
{
    fmq_permits_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->size; i++) {
        fmq_hand_destroy(&self->hands[i]);
        llm_backend_destroy(&self->every[i]);
    }
    free(self->hands);
    free(self->every);
    free(self->free);
    pthread_cond_destroy(&self->freed);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

void fmq_permits_move(fmq_permits_t *self)
{
    atomic_fetch_add_explicit(&self->moves, 1, memory_order_relaxed);
}

uint64_t fmq_permits_moves(const fmq_permits_t *self)
{
    return atomic_load_explicit(&self->moves, memory_order_relaxed);
}

size_t fmq_permits_taken(fmq_permits_t *self)
{
    pthread_mutex_lock(&self->lock);
    size_t taken = self->size - self->idle;
    pthread_mutex_unlock(&self->lock);
    return taken;
}

static struct timespec next_check(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += STOP_CHECK_MS * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

/* stop() is called without the lock, so that it may take its time and may
 * itself give permits back. */
llm_backend_t *fmq_permits_take(fmq_permits_t *self, int (*stop)(void *), void *argument)
{
    llm_backend_t *backend = NULL;
    pthread_mutex_lock(&self->lock);
    while (self->idle == 0) {
        if (!stop) {
            pthread_cond_wait(&self->freed, &self->lock);
            continue;
        }
        struct timespec until = next_check();
        if (pthread_cond_timedwait(&self->freed, &self->lock, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&self->lock);
        if (stop(argument) != 0)
            return NULL;
        pthread_mutex_lock(&self->lock);
    }
    backend = self->free[--self->idle];
    fmq_permits_move(self);
    pthread_mutex_unlock(&self->lock);
    return backend;
}

void fmq_permits_give(fmq_permits_t *self, llm_backend_t **backend_p)
{
    if (!*backend_p)
        return;
    pthread_mutex_lock(&self->lock);
    self->free[self->idle++] = *backend_p;
    fmq_permits_move(self);
    pthread_cond_signal(&self->freed);
    pthread_mutex_unlock(&self->lock);
    *backend_p = NULL;
}

void fmq_permits_do(fmq_permits_t *self, const llm_backend_t *permit, void (*work)(void *),
                    void *argument)
{
    size_t i = 0;
    while (i + 1 < self->size && self->every[i] != permit)
        i++;
    fmq_hand_do(self->hands[i], work, argument);
}
