/*
 * store.h - sealed objects by digest, shared by the actors of a process.
 *
 * Thread-safe.  An object stays while somebody keeps it published; readers
 * that hold a reference are not disturbed by its withdrawal.  Readers may be
 * limited to one member or one role.
 */
#ifndef FEDMQ_BROKER_STORE_H
#define FEDMQ_BROKER_STORE_H

#include <stdbool.h>

#include "fedmq/base/api.h"
#include "fedmq/broker/object.h"

FMQ_API_BEGIN

typedef struct fmq_store fmq_store_t;

/* An empty store for at most bytes_max bytes of chunks.  NULL: out of memory. */
fmq_store_t *fmq_store_new(uint64_t bytes_max);
void fmq_store_destroy(fmq_store_t **self_p);
/* Keeps a reference; readers: "*", "@role" or a member's name.  Publishing the
 * same object again adds readers.  FMQ_ERR_LIMIT when full. */
int fmq_store_put(fmq_store_t *self, fmq_object_t *object, const char *owner, const char *readers,
                  fmq_error_t *err);
/* A new reference, or NULL when absent or not for this reader.  An owner may
 * read what it publishes. */
fmq_object_t *fmq_store_get(fmq_store_t *self, const fmq_digest_t *digest, const char *reader,
                            const char *reader_role);
/* True when owner keeps it published here. */
bool fmq_store_has(fmq_store_t *self, const fmq_digest_t *digest, const char *owner);
/* Ends owner's publication of it, or of everything (digest NULL). */
void fmq_store_withdraw(fmq_store_t *self, const fmq_digest_t *digest, const char *owner);
uint64_t fmq_store_bytes(fmq_store_t *self);
size_t fmq_store_size(fmq_store_t *self);

FMQ_API_END

#endif
