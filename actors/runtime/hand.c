/*
 * hand.c - a thread that does what others ask for, one thing after another.
 */
#include "actors/runtime/hand.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

struct fmq_hand {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*work)(void *); /* to be done, or being done; NULL: nothing */
    void *argument;
    bool dismissed;
};

static void *serve(void *argument)
{
    fmq_hand_t *self = argument;
    pthread_mutex_lock(&self->lock);
    while (!self->dismissed) {
        if (!self->work) {
            pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        pthread_mutex_unlock(&self->lock);
        self->work(self->argument);
        pthread_mutex_lock(&self->lock);
        self->work = NULL;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

fmq_hand_t *fmq_hand_new(fmq_error_t *err)
{
    fmq_hand_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a thread that computes");
        return NULL;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    int failed = fmq_thread_start(&self->thread, serve, self);
    if (!failed)
        return self;
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
    fmq_error_set(err, FMQ_ERR_NOMEM,
                  "no thread can be started to compute in: %s; raise 'ulimit -u', 'ulimit -v' or "
                  "the container's limit of processes",
                  strerror(failed));
    return NULL;
}

void fmq_hand_destroy(fmq_hand_t **self_p)
{
    fmq_hand_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock(&self->lock);
    self->dismissed = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

void fmq_hand_do(fmq_hand_t *self, void (*work)(void *), void *argument)
{
    pthread_mutex_lock(&self->lock);
    self->work = work;
    self->argument = argument;
    pthread_cond_broadcast(&self->changed);
    while (self->work)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
}
