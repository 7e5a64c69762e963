/*
 * meeting.c - a barrier that counts votes.
 */
#include "llm/train/meeting.h"

void llm_meeting_init(llm_meeting_t *self, unsigned members)
{
    *self = (llm_meeting_t){.members = members, .agreed = true};
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->ended, NULL);
}

void llm_meeting_release(llm_meeting_t *self)
{
    pthread_cond_destroy(&self->ended);
    pthread_mutex_destroy(&self->lock);
}

/* The result stays until the next meeting ends, for which everybody has to come
 * again, and so to have read it. */
bool llm_meeting_hold(llm_meeting_t *self, bool agrees)
{
    pthread_mutex_lock(&self->lock);
    uint64_t number = self->held;
    self->agreed = self->agreed && agrees;
    if (++self->present == self->members) {
        self->result = self->agreed;
        self->agreed = true;
        self->present = 0;
        self->held++;
        pthread_cond_broadcast(&self->ended);
    }
    while (self->held == number)
        pthread_cond_wait(&self->ended, &self->lock);
    bool result = self->result;
    pthread_mutex_unlock(&self->lock);
    return result;
}
