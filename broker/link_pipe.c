/*
 * link_pipe.c - a bounded queue of events, and how its reader is woken.
 */
#include "broker/link_pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bell.h"

void fmq_command_destroy(fmq_command_t **self_p)
{
    fmq_command_t *self = *self_p;
    if (!self)
        return;
    fmq_frame_destroy(&self->body);
    fmq_object_drop(&self->want.object);
    free(self);
    *self_p = NULL;
}

void fmq_item_destroy(fmq_item_t **self_p)
{
    fmq_item_t *self = *self_p;
    if (!self)
        return;
    fmq_frame_destroy(&self->frame);
    free(self);
    *self_p = NULL;
}

int fmq_link_pipe_init(fmq_link_pipe_t *self, fmq_error_t *err)
{
    self->descriptor = -1;
    if (!self->notify && (self->descriptor = fmq_bell_open()) < 0)
        return fmq_error_set(err, FMQ_ERR_NOMEM,
                             "no file can be opened for a link: %s; raise 'ulimit -n'",
                             strerror(errno));
    if (pthread_mutex_init(&self->lock, NULL) == 0) {
        if (pthread_cond_init(&self->over, NULL) == 0)
            return 0;
        pthread_mutex_destroy(&self->lock);
    }
    if (self->descriptor >= 0)
        close(self->descriptor);
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a link");
}

void fmq_link_pipe_release(fmq_link_pipe_t *self)
{
    while (self->first) {
        fmq_item_t *item = self->first;
        self->first = item->next;
        fmq_item_destroy(&item);
    }
    pthread_cond_destroy(&self->over);
    pthread_mutex_destroy(&self->lock);
    if (self->descriptor >= 0)
        close(self->descriptor);
}

bool fmq_link_pipe_has_room(fmq_link_pipe_t *self)
{
    pthread_mutex_lock(&self->lock);
    bool room = self->size < FMQ_LINK_EVENTS_MAX;
    self->starved = !room;
    pthread_mutex_unlock(&self->lock);
    return room;
}

void fmq_link_pipe_push(fmq_link_pipe_t *self, fmq_item_t *item)
{
    pthread_mutex_lock(&self->lock);
    bool first = !self->first;
    item->next = NULL;
    *(first ? &self->first : &self->last->next) = item;
    self->last = item;
    self->size++;
    if (first && self->descriptor >= 0)
        fmq_bell_ring(self->descriptor);
    pthread_mutex_unlock(&self->lock);
    if (first && self->notify)
        self->notify(self->notify_argument);
}

fmq_item_t *fmq_link_pipe_pop(fmq_link_pipe_t *self, bool *wanted)
{
    pthread_mutex_lock(&self->lock);
    fmq_item_t *item = self->first;
    if (item) {
        self->first = item->next;
        self->size--;
        if (!self->first && self->descriptor >= 0)
            fmq_bell_silence(self->descriptor);
    }
    *wanted = self->starved && self->size <= FMQ_LINK_EVENTS_MAX / 2;
    self->starved = self->starved && !*wanted;
    pthread_mutex_unlock(&self->lock);
    return item;
}

void fmq_link_pipe_end(fmq_link_pipe_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->ended = true;
    pthread_cond_signal(&self->over);
    pthread_mutex_unlock(&self->lock);
}

void fmq_link_pipe_await_end(fmq_link_pipe_t *self)
{
    pthread_mutex_lock(&self->lock);
    while (!self->ended)
        pthread_cond_wait(&self->over, &self->lock);
    pthread_mutex_unlock(&self->lock);
}
