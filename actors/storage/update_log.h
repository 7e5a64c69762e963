/*
 * update_log.h - the updates of one round, on disk.
 *
 * journal/round-000007/
 *     plan      who was sampled
 *     updates   what was fetched: one file, which only grows (update_record.h)
 *     closed    whose updates the round's state is made of
 *
 * Many writers may bring an update at once, chunk by chunk; a commit makes those
 * that are whole durable, all of them by one sync.  Opening reads and verifies
 * what an earlier process left: what is behind the last commit is cut off, what
 * is damaged is dropped, both with a word in the log.  Updates that an earlier
 * program kept in a file each are taken over.  One thread.
 */
#ifndef FEDMQ_ACTORS_STORAGE_UPDATE_LOG_H
#define FEDMQ_ACTORS_STORAGE_UPDATE_LOG_H

#include <stdbool.h>

#include "fedmq/actors/messages.h"
#include "fedmq/base/log.h"
#include "fedmq/base/schema.h"

#define FMQ_UPDATES_NAME "updates"

typedef struct {
    const char *directory; /* ".../journal", created when absent */
    const char *run;
    uint32_t round;
    const fmq_schema_t *schema; /* borrowed */
    fmq_log_t *log;             /* borrowed, may be NULL */
} fmq_update_log_options_t;

typedef struct {
    uint32_t client;
    uint64_t samples;
    fmq_digest_t update; /* the object's digest */
    uint32_t base;       /* rounds aggregated into the state that it began from */
} fmq_update_log_entry_t;

typedef struct fmq_update_log fmq_update_log_t;
typedef struct fmq_update_log_writer fmq_update_log_writer_t;

fmq_update_log_t *fmq_update_log_open(const fmq_update_log_options_t *options, fmq_error_t *err);
void fmq_update_log_close(fmq_update_log_t **self_p);
/* Deletes a round's folder, if there is one; failure is of no consequence. */
void fmq_update_log_remove(const char *directory, uint32_t round);

/* Durable updates, in client order whatever the order of arrival. */
size_t fmq_update_log_size(const fmq_update_log_t *self);
uint32_t fmq_update_log_round(const fmq_update_log_t *self);
const fmq_update_log_entry_t *fmq_update_log_at(const fmq_update_log_t *self, size_t index);
const fmq_update_log_entry_t *fmq_update_log_find(const fmq_update_log_t *self, uint32_t client);

/* Writing: begin, add every chunk, finish, and commit now and then: only what
 * has been committed is durable and counts.  A writer ends with finish (the
 * journal takes it over; *writer_p is nulled on success) or abandon. */
fmq_update_log_writer_t *
fmq_update_log_begin(fmq_update_log_t *self, const fmq_update_log_entry_t *entry, fmq_error_t *err);
/* Also decodes it: FMQ_ERR_FORMAT or FMQ_ERR_NUMERIC when it is not a chunk of
 * a finite state; FMQ_ERR_IO is the disk's fault, not the client's. */
int fmq_update_log_writer_add(fmq_update_log_writer_t *writer, const void *data, size_t size,
                              fmq_error_t *err);
/* verified: the digest that the chunks were found to have on their way here,
 * which is not computed a second time; it must be the announced one. */
int fmq_update_log_writer_finish(fmq_update_log_writer_t **writer_p, const fmq_digest_t *verified,
                                 fmq_error_t *err);
void fmq_update_log_writer_abandon(fmq_update_log_writer_t **writer_p);
uint32_t fmq_update_log_writer_chunks(const fmq_update_log_writer_t *writer); /* added so far */

/* Finished, not yet committed. */
size_t fmq_update_log_pending(const fmq_update_log_t *self);
/* One group commit: calls committed(argument, client) for each after all of
 * them are durable. */
int fmq_update_log_commit(fmq_update_log_t *self, void (*committed)(void *, uint32_t client),
                          void *argument, fmq_error_t *err);

/* Values of `count` elements of entry index from `first` on, which lie in one
 * chunk; in any order. */
int fmq_update_log_read_range(fmq_update_log_t *self, size_t index, uint64_t first, uint64_t count,
                              float *values, fmq_error_t *err);

/* The two lists of clients.  Loading gives 1, 0 when there is none, -1 with
 * err; the list is the caller's to free. */
typedef enum { FMQ_UPDATE_LOG_PLAN, FMQ_UPDATE_LOG_CLOSED } fmq_update_log_list_t;
int fmq_update_log_save_list(fmq_update_log_t *self, fmq_update_log_list_t which,
                             const uint32_t *clients, size_t size, fmq_error_t *err);
int fmq_update_log_load_list(fmq_update_log_t *self, fmq_update_log_list_t which,
                             uint32_t **clients, size_t *size, fmq_error_t *err);
/* Leaves only the entries of these clients to be read: what closed says. */
void fmq_update_log_keep(fmq_update_log_t *self, const uint32_t *clients, size_t size);

#endif
