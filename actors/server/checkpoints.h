/*
 * checkpoints.h - where a run stands, in memory and on the disk.
 *
 * The mark is what the newest checkpoint says, or the next one will; only
 * checkpoints.c writes to it.  What is put there is durable when the call returns.
 * Belongs to the server's thread; does no networking.
 */
#ifndef FEDMQ_ACTORS_SERVER_CHECKPOINTS_H
#define FEDMQ_ACTORS_SERVER_CHECKPOINTS_H

#include "actors/storage/checkpoint.h"
#include "actors/strategy/strategy.h"

typedef struct {
    const char *run_directory; /* borrowed */
    char *directory;           /* owned */
    fmq_log_t *log;            /* borrowed, may be NULL */
    fmq_checkpoint_t mark;
    fmq_sections_t sections; /* the state and what the strategy keeps */
} fmq_checkpoints_t;

/* What a run is, whether it begins or goes on. */
typedef struct {
    const fmq_digest_t *model;
    const char *meaning; /* "" : unknown */
    uint32_t prepared;   /* steps of the strategy's prepare() that a new run has done already */
} fmq_checkpoints_run_t;

/* Makes <run_directory>/checkpoints, in which state and what the strategy keeps will be; all is
 * borrowed. */
int fmq_checkpoints_open(fmq_checkpoints_t *self, const char *run_directory, fmq_log_t *log,
                         fmq_error_t *err);
void fmq_checkpoints_release(fmq_checkpoints_t *self);
void fmq_checkpoints_hold(fmq_checkpoints_t *self, const fmq_schema_t *schema, float *state,
                          const fmq_strategy_t *strategy);

/* Goes on where the newest intact checkpoint says, or begins a run with what is held.
 * FMQ_ERR_MISMATCH when the directory's run is of another model or meaning. */
int fmq_checkpoints_stand(fmq_checkpoints_t *self, const fmq_checkpoints_run_t *run,
                          fmq_error_t *err);

/* For whoever reads it while it changes. */
const fmq_checkpoint_t *fmq_checkpoints_mark(const fmq_checkpoints_t *self);

/* The round is done: the next one's number, on the disk.  Older ones but one go. */
int fmq_checkpoints_complete_round(fmq_checkpoints_t *self, fmq_error_t *err);
/* One more step of prepare() is done. */
int fmq_checkpoints_complete_step(fmq_checkpoints_t *self, fmq_error_t *err);
/* What is held as it is now, under another name. */
int fmq_checkpoints_save(const fmq_checkpoints_t *self, const char *path, fmq_error_t *err);
/* The round from which on rounds' logs are needed. */
uint32_t fmq_checkpoints_keep(const fmq_checkpoints_t *self);

/* Counts rounds in a row that brought nothing. */
uint32_t fmq_checkpoints_count_empty(fmq_checkpoints_t *self, bool empty);

/* What a measurement of the newest state says: whether it is the best so far, and whether the run
 * should stop. */
typedef struct {
    bool best, stop;
} fmq_verdict_t;
fmq_verdict_t fmq_checkpoints_judge(fmq_checkpoints_t *self, const fmq_early_stop_rule_t *rule,
                                    double value);

#endif
