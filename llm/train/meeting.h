/*
 * meeting.h - where threads that compute together wait for each other.
 *
 * A meeting has as many members as threads come to it, each as often as the
 * others; it ends when all are there.  What one wrote before it the others may
 * read after it.
 */
#ifndef FEDMQ_LLM_TRAIN_MEETING_H
#define FEDMQ_LLM_TRAIN_MEETING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned members, present;
    uint64_t held; /* meetings that have ended */
    bool agreed;   /* all who are present */
    bool result;   /* of the last one */
} llm_meeting_t;

void llm_meeting_init(llm_meeting_t *self, unsigned members);
/* Nobody may be waiting. */
void llm_meeting_release(llm_meeting_t *self);
/* Waits for all; true when every one of them came with true. */
bool llm_meeting_hold(llm_meeting_t *self, bool agrees);

#endif
