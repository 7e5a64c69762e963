/*
 * run_status.h - tells observers, and the run's directory, how the run stands.
 */
#ifndef FEDMQ_ACTORS_SERVER_RUN_STATUS_H
#define FEDMQ_ACTORS_SERVER_RUN_STATUS_H

#include "actors/protocol/status.h"

struct fmq_coordinator;

/* What was told of how the run stands, and when. */
typedef struct {
    int64_t began_ms, phase_ms, told_ms, file_ms;
    fmq_run_phase_t phase;
    uint32_t round;
    bool unsaved;   /* phase or round are others than in the file */
    bool unwritten; /* the file could not be written; that was said */
} fmq_run_status_t;

/* About once a second; and, once, how it ended. */
void fmq_run_status_tell(struct fmq_coordinator *self);
void fmq_run_status_tell_end(struct fmq_coordinator *self, const fmq_error_t *why);

#endif
