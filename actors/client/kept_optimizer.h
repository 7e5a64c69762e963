/*
 * kept_optimizer.h - fedmq.keep_optimizer: what a client's optimizer knows when a
 * training ends, on its own disk, for its next one.
 *
 * <directory>/optimizer-<pass>-000007.state is what was known after round 7; it and the
 * one that it was made from are kept.  A training of round r goes on from the newest of
 * a round before r, so that a round that is trained again gives the same bytes, and so
 * does a server that falls back by one.  A file belongs to one run and one client; it is
 * written beside, synced and renamed.  One thread, no network.
 */
#ifndef FEDMQ_ACTORS_CLIENT_KEPT_OPTIMIZER_H
#define FEDMQ_ACTORS_CLIENT_KEPT_OPTIMIZER_H

#include "fedmq/base/error.h"
#include "fedmq/base/log.h"
#include "fedmq/llm/train.h"

/* Where, and whose; everything is borrowed. */
typedef struct {
    const char *directory; /* created by the first save */
    const char *run;       /* FMQ_RUN_ID_SIZE - 1 letters */
    uint32_t client;
    uint32_t pass;     /* which of a task's trainings */
    fmq_log_t *log;    /* may be NULL */
    const char *actor; /* of its lines */
} fmq_kept_place_t;

/* Loads the newest state of a round below `round`, into kept, which is empty.  1, and
 * *from is its round; 0: there is none; -1: the disk failed.  A file that is not intact
 * is told and passed over. */
int fmq_kept_load(const fmq_kept_place_t *place, uint32_t round, llm_kept_optimizer_t *kept,
                  uint32_t *from, fmq_error_t *err);

/* Saves the state after a round.  from: the round of the one that it was made of, which
 * is kept, or NULL; others are removed.  -1: it is not on the disk. */
int fmq_kept_save(const fmq_kept_place_t *place, uint32_t round, const llm_kept_optimizer_t *kept,
                  const uint32_t *from, fmq_error_t *err);

#endif
