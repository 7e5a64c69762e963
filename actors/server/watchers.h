/*
 * watchers.h - the evaluators of a run, as its server sees them: who will measure the
 * last state, and for whom, and how long, the end waits.
 */
#ifndef FEDMQ_ACTORS_SERVER_WATCHERS_H
#define FEDMQ_ACTORS_SERVER_WATCHERS_H

#include "fedmq/actors/messages.h"
#include "fedmq/broker/link.h"

#define FMQ_WATCHERS_MAX      64    /* evaluators whose last measurement is waited for */
#define FMQ_EVALUATOR_WAIT_MS 60000 /* for a sign of work on the last state ... */
#define FMQ_EVALUATOR_NEW_MS  5000  /* ... from one that has said and shown nothing yet */

struct fmq_coordinator;

typedef enum {
    FMQ_WATCHER_UNKNOWN, /* it has not said or shown anything */
    FMQ_WATCHER_READY,   /* it works, or has said that it will measure */
    FMQ_WATCHER_EXCUSED  /* it has said why it will not */
} fmq_watcher_standing_t;

typedef struct {
    char name[FMQ_MEMBER_NAME_MAX];
    bool alive;
    fmq_watcher_standing_t standing;
    bool given_up;      /* at the end, aloud */
    bool measured;      /* ... the state of round `round` */
    uint64_t computing; /* what it said last (computing.h) */
    uint32_t round;
    uint64_t step;    /* its progress ... */
    int64_t moved_ms; /* ... changed then */
} fmq_watcher_t;

typedef struct {
    fmq_watcher_t list[FMQ_WATCHERS_MAX];
    size_t size;
    int64_t waiting_ms; /* the end says again then that it waits for them */
} fmq_watchers_t;

/* What the link, a `metrics` note, and a `report` say of one: */
void fmq_watchers_heard(struct fmq_coordinator *self, const fmq_event_t *event);
int fmq_watchers_take_metrics(struct fmq_coordinator *self, const char *member,
                              const fmq_message_metrics_t *note, fmq_error_t *err);
void fmq_watchers_take_report(struct fmq_coordinator *self, const char *member,
                              const fmq_message_report_t *note);
/* The last state is out: their time begins. */
void fmq_watchers_begin_end(struct fmq_coordinator *self);
/* Is every evaluator done with the last state, or past waiting for?  Says for
 * whom the end waits, and whom it gives up. */
bool fmq_watchers_are_done(struct fmq_coordinator *self);

#endif
