/*
 * course.h - what a client does next: its state machine, without any I/O.
 *
 * Notes and outcomes go in, the next action comes out.  Notes are latest-value
 * and may repeat, arrive in any order or be lost in favour of newer ones: a
 * task that was already answered is answered again with the same report (but
 * one that failed is done again, for it is only asked again by a server that
 * came back), a
 * newer one ends the work on the older.  A course belongs to one thread.
 */
#ifndef FEDMQ_ACTORS_CLIENT_COURSE_H
#define FEDMQ_ACTORS_CLIENT_COURSE_H

#include "fedmq/actors/messages.h"

typedef enum {
    FMQ_COURSE_JOINING,  /* no run is known yet */
    FMQ_COURSE_LOADING,  /* the run fits; its data are on their way */
    FMQ_COURSE_IDLE,     /* nothing to do */
    FMQ_COURSE_FETCHING, /* the task's state is on its way */
    FMQ_COURSE_WORKING,  /* training or evaluating */
    FMQ_COURSE_ENDED
} fmq_course_phase_t;

typedef enum {
    FMQ_DO_NOTHING, /* wait for the next event */
    FMQ_DO_LOAD,    /* get the shard, then fmq_course_loaded() */
    FMQ_DO_DROP,    /* cancel the fetch and withdraw the update of the task before */
    FMQ_DO_FETCH,   /* fetch task.state, then fmq_course_fetched() */
    FMQ_DO_TRAIN,   /* then fmq_course_finish() */
    FMQ_DO_EVALUATE,
    FMQ_DO_REPORT, /* leave the report for the server */
    FMQ_DO_END     /* the reason is in `reason`, `failed` says how */
} fmq_course_action_t;

typedef struct {
    fmq_course_phase_t phase;
    fmq_digest_t model, schema; /* ours */
    uint32_t number;            /* which client of the run this is; 0: not compared */
    char meaning[FMQ_REASON_MAX];
    char computes[FMQ_REASON_MAX]; /* set by the owner; what reports say of it */
    bool has_run, has_data, has_task, has_next;
    bool load_due, drop_due, fetch_due, work_due, report_due;
    fmq_message_run_t run;
    fmq_message_task_t task; /* the one being done or answered */
    fmq_message_task_t next; /* the newest that came since */
    fmq_message_report_t report;
    fmq_metrics_t data;             /* what reports say of the data while they answer nothing */
    char untrained[FMQ_REASON_MAX]; /* why this client takes part in no training; "": it does */
    bool failed;
    fmq_error_code_t code; /* ... how */
    bool run_failed;       /* ... the run, not this client */
    uint32_t rounds;       /* that the run had completed when it ended */
    char reason[FMQ_REASON_MAX];
} fmq_course_t;

/* model and schema: digests of what this process holds, meaning: its
 * fmq_context_meaning(). */
void fmq_course_init(fmq_course_t *self, const fmq_digest_t *model, const fmq_digest_t *schema,
                     const char *meaning);

/* Notes as they arrive. */
void fmq_course_run(fmq_course_t *self, const fmq_message_run_t *run);
void fmq_course_task(fmq_course_t *self, const fmq_message_task_t *task);
void fmq_course_done(fmq_course_t *self, const fmq_message_done_t *done);

/* Outcomes of actions.  finish: report's phase, update, samples, seconds,
 * metrics and reason are taken; the rest is filled in here.  An outcome of work
 * that a newer task has overtaken is dropped. */
void fmq_course_loaded(fmq_course_t *self, uint64_t samples);
/* Before fmq_course_loaded(): what all reports from now on say of the data, and
 * why this client trains nothing (NULL: it trains).  Given a reason, a task to
 * train is answered as failed with it. */
void fmq_course_describe(fmq_course_t *self, const fmq_metrics_t *data, const char *untrained);
/* Instead of fmq_course_loaded(): there is nothing to train and nothing to
 * measure.  The server hears the reason and the course ends, failed. */
void fmq_course_useless(fmq_course_t *self, const fmq_error_t *why);
void fmq_course_fetched(fmq_course_t *self);
void fmq_course_finish(fmq_course_t *self, const fmq_message_report_t *outcome);
void fmq_course_fail(fmq_course_t *self, const char *reason);

/* True when the work at hand is not wanted any more. */
bool fmq_course_overtaken(const fmq_course_t *self);

/* The next action; each is given once.  Call until FMQ_DO_NOTHING. */
fmq_course_action_t fmq_course_next(fmq_course_t *self);

#endif
