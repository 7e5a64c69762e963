/*
 * contact.h - when a link that gets no answer says so, and when it gives up.
 *
 * A pure state machine beside session.h: that one decides what is tried, this
 * one what people hear of it.  The first word comes after 5 s, the next ones
 * after pauses that double up to 5 minutes.  A limit counts until the router
 * has let the link in for the first time; what comes later is its actor's to
 * wait for.
 */
#ifndef FEDMQ_BROKER_CONTACT_H
#define FEDMQ_BROKER_CONTACT_H

#include <stdbool.h>
#include <stdint.h>

#define FMQ_CONTACT_FIRST_MS 5000
#define FMQ_CONTACT_PAUSE_MS 300000 /* the longest */

typedef enum {
    FMQ_CONTACT_NOTHING,
    FMQ_CONTACT_SAY,    /* that nobody answers, once */
    FMQ_CONTACT_GIVE_UP /* once */
} fmq_contact_action_t;

typedef struct {
    uint32_t limit_ms; /* 0: none */
    bool met;          /* the router has let us in once */
    bool up;
    bool over;        /* given up */
    int64_t since_ms; /* no answer since then */
    int64_t due_ms;   /* the next word */
    int64_t pause_ms; /* after it */
} fmq_contact_t;

void fmq_contact_init(fmq_contact_t *self, uint32_t limit_ms, int64_t now_ms);
/* up: what the session believes now.  What is to be said, if anything. */
fmq_contact_action_t fmq_contact_step(fmq_contact_t *self, bool up, int64_t now_ms);
/* Milliseconds until step() may want something; at most most_ms. */
int fmq_contact_wait(const fmq_contact_t *self, int64_t now_ms, int most_ms);

#endif
