/*
 * pool.c - threads, one ticket word, and two places to sleep.
 *
 * The ticket is a 64-bit atomic: the job's number in the high half, items not
 * yet claimed in the low half.  A compare-and-swap that takes one item thereby
 * proves that the job is still the current one, and keeps it current, since the
 * caller does not return before that item is done; so the job's fields need no
 * lock.  Workers and caller spin briefly before they sleep: jobs of one step
 * follow each other within microseconds.
 */
#include "llm/backend/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

#define SPINS 2000

typedef struct {
    llm_pool_t *pool;
    size_t number;
    pthread_t thread;
} worker_t;

struct llm_pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic uint64_t done; /* items done of the current job */
    _Alignas(64) _Atomic bool waiting;  /* the caller sleeps until done == count */
    _Atomic unsigned sleepers;          /* workers that sleep until there are items */
    _Atomic bool stop;
    llm_pool_item_t item; /* the current job; see the ticket */
    void *job;
    size_t count;
    pthread_mutex_t mutex;
    pthread_cond_t work, finished;
    size_t threads, started;
    worker_t *workers; /* owned; threads - 1 of them */
};

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint32_t unclaimed(const llm_pool_t *self)
{
    return (uint32_t)atomic_load(&self->ticket);
}

/* Claims and does items of the current job until none is left. */
static void take_part(llm_pool_t *self, size_t thread)
{
    uint64_t ticket = atomic_load(&self->ticket);
    while ((uint32_t)ticket) {
        if (!atomic_compare_exchange_weak(&self->ticket, &ticket, ticket - 1))
            continue;
        size_t count = self->count;
        self->item(self->job, count - (uint32_t)ticket, thread);
        if (atomic_fetch_add(&self->done, 1) + 1 == count && atomic_load(&self->waiting)) {
            pthread_mutex_lock(&self->mutex);
            pthread_cond_signal(&self->finished);
            pthread_mutex_unlock(&self->mutex);
        }
        ticket = atomic_load(&self->ticket);
    }
}

static void await_work(llm_pool_t *self)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (unclaimed(self) || atomic_load(&self->stop))
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&self->mutex);
    atomic_fetch_add(&self->sleepers, 1);
    while (!unclaimed(self) && !atomic_load(&self->stop))
        pthread_cond_wait(&self->work, &self->mutex);
    atomic_fetch_sub(&self->sleepers, 1);
    pthread_mutex_unlock(&self->mutex);
}

static void *worker_main(void *argument)
{
    worker_t *worker = argument;
    while (!atomic_load(&worker->pool->stop)) {
        await_work(worker->pool);
        take_part(worker->pool, worker->number);
    }
    return NULL;
}

static void await_done(llm_pool_t *self, size_t count)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load(&self->done) == count)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&self->mutex);
    atomic_store(&self->waiting, true);
    while (atomic_load(&self->done) != count)
        pthread_cond_wait(&self->finished, &self->mutex);
    atomic_store(&self->waiting, false);
    pthread_mutex_unlock(&self->mutex);
}

void llm_pool_run(llm_pool_t *self, size_t count, llm_pool_item_t item, void *job)
{
    if (count == 0)
        return;
    if (count == 1 || self->threads == 1) {
        for (size_t i = 0; i < count; i++)
            item(job, i, 0);
        return;
    }
    self->item = item;
    self->job = job;
    self->count = count;
    atomic_store(&self->done, 0);
    uint64_t number = (atomic_load(&self->ticket) >> 32) + 1;
    atomic_store(&self->ticket, number << 32 | (uint32_t)count);
    if (atomic_load(&self->sleepers)) {
        pthread_mutex_lock(&self->mutex);
        pthread_cond_broadcast(&self->work);
        pthread_mutex_unlock(&self->mutex);
    }
    take_part(self, 0);
    await_done(self, count);
}

size_t llm_pool_threads(const llm_pool_t *self)
{
    return self->threads;
}

static int start_workers(llm_pool_t *self, fmq_error_t *err)
{
    int failed = 0;
    for (size_t i = 0; i + 1 < self->threads && !failed; i++) {
        self->workers[i] = (worker_t){.pool = self, .number = i + 1};
        failed = fmq_thread_start(&self->workers[i].thread, worker_main, &self->workers[i]);
        if (!failed)
            self->started++;
    }
    if (failed)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot start thread %zu of %zu: %s",
                             self->started + 1, self->threads, strerror(failed));
    return 0;
}

llm_pool_t *llm_pool_new(size_t threads, fmq_error_t *err)
{
    if (threads < 1 || threads > LLM_POOL_THREADS_MAX) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "a pool has 1 to %d threads, not %zu",
                      LLM_POOL_THREADS_MAX, threads);
        return NULL;
    }
    llm_pool_t *self = aligned_alloc(_Alignof(llm_pool_t), sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a pool of threads");
        return NULL;
    }
    memset(self, 0, sizeof *self);
    atomic_init(&self->ticket, 0);
    atomic_init(&self->done, 0);
    self->threads = threads;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->work, NULL);
    pthread_cond_init(&self->finished, NULL);
    self->workers = calloc(threads, sizeof *self->workers);
    if (!self->workers)
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %zu threads", threads);
    if (!self->workers || start_workers(self, err) < 0)
        llm_pool_destroy(&self);
    return self;
}

void llm_pool_destroy(llm_pool_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    llm_pool_t *self = *self_p;
    pthread_mutex_lock(&self->mutex);
    atomic_store(&self->stop, true);
    pthread_cond_broadcast(&self->work);
    pthread_mutex_unlock(&self->mutex);
    for (size_t i = 0; i < self->started; i++)
        pthread_join(self->workers[i].thread, NULL);
    pthread_cond_destroy(&self->work);
    pthread_cond_destroy(&self->finished);
    pthread_mutex_destroy(&self->mutex);
    free(self->workers);
    free(self);
    *self_p = NULL;
}
