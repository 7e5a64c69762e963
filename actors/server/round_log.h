/*
 * round_log.h - what a round has on the disk: whom it asks (the plan), whose updates
 * count (the closed list), and the updates.
 *
 * One round's is open at a time.  A list is durable when its call returns.  Belongs to
 * the server's thread.
 */
#ifndef FEDMQ_ACTORS_SERVER_ROUND_LOG_H
#define FEDMQ_ACTORS_SERVER_ROUND_LOG_H

#include "actors/storage/update_log.h"
#include "fedmq/extend/rule.h"

typedef struct {
    char *directory;            /* owned */
    const fmq_schema_t *schema; /* borrowed */
    fmq_log_t *log;             /* borrowed, may be NULL */
    fmq_update_log_t *updates;  /* owned; NULL: no round is open */
} fmq_round_log_t;

/* Makes <run_directory>/journal. */
int fmq_round_log_init(fmq_round_log_t *self, const char *run_directory, const fmq_schema_t *schema,
                       fmq_log_t *log, fmq_error_t *err);
void fmq_round_log_release(fmq_round_log_t *self);

/* Opens a round's, in place of the one that was open. */
int fmq_round_log_open(fmq_round_log_t *self, const char run[FMQ_RUN_ID_SIZE], uint32_t round,
                       fmq_error_t *err);
void fmq_round_log_close(fmq_round_log_t *self);

/* A list that an earlier process has left; *clients is the caller's to free.  1: found, 0: there is
 * none. */
int fmq_round_log_plan(const fmq_round_log_t *self, uint32_t **clients, size_t *size,
                       fmq_error_t *err);
int fmq_round_log_closed(const fmq_round_log_t *self, uint32_t **clients, size_t *size,
                         fmq_error_t *err);
int fmq_round_log_save_plan(fmq_round_log_t *self, const uint32_t *clients, size_t size,
                            fmq_error_t *err);
int fmq_round_log_save_closed(fmq_round_log_t *self, const uint32_t *clients, size_t size,
                              fmq_error_t *err);

/* Is a client's update there?  Are those of all these? */
bool fmq_round_log_has(const fmq_round_log_t *self, uint32_t client);
bool fmq_round_log_has_all(const fmq_round_log_t *self, const uint32_t *clients, size_t size);
/* Is there one of at least one example?  Others teach nothing, whatever they weigh. */
bool fmq_round_log_is_usable(const fmq_round_log_t *self);
size_t fmq_round_log_size(const fmq_round_log_t *self);
/* Only these clients' updates count from now on. */
void fmq_round_log_keep(fmq_round_log_t *self, const uint32_t *clients, size_t size);

/* The updates in client order, `samples` of each (fmq_round_log_size() of them, filled here) or,
 * `weigh` unset, of equal weight. */
fmq_updates_t fmq_round_log_read(const fmq_round_log_t *self, uint64_t *samples, bool weigh);

/* Deletes what no checkpoint needs: rounds below `keep`. */
void fmq_round_log_tidy(const fmq_round_log_t *self, uint32_t keep);

#endif
