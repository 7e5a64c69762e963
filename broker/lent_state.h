/*
 * lent_state.h - a state that is published from where it lies.
 *
 * Its object holds no bytes: whoever reads a chunk, in whatever thread, has it
 * encoded from the vector then.  So one vector is enough for a state's owner and
 * for all who read it in this process.  When the owner wants to write to the
 * vector, it moves the lent state to a file that holds the same numbers, and
 * readers go on there.
 */
#ifndef FEDMQ_BROKER_LENT_STATE_H
#define FEDMQ_BROKER_LENT_STATE_H

#include "fedmq/broker/state.h"

typedef struct fmq_lent_state fmq_lent_state_t;

/* Lends a vector: it must not change until fmq_lent_state_move() or
 * fmq_lent_state_end().  The schema is borrowed for as long as anybody reads.
 * NULL as fmq_state_encode(), whose object's bytes and digest these are. */
fmq_lent_state_t *fmq_lent_state_new(const fmq_schema_t *schema, const float *vector,
                                     fmq_codec_t codec, fmq_error_t *err);
/* Borrowed; who wants to keep it holds it. */
fmq_object_t *fmq_lent_state_object(const fmq_lent_state_t *self);
/* The vector is the lender's again, and chunks are read from a file: the
 * elements, f32 and little endian, from offset on.  Nobody is given what the
 * file has changed since (FMQ_ERR_MISMATCH).  Done once; later calls do nothing.
 * -1 with FMQ_ERR_IO when it cannot be opened, or FMQ_ERR_NOMEM; then the vector
 * is still lent. */
int fmq_lent_state_move(fmq_lent_state_t *self, const char *path, uint64_t offset,
                        fmq_error_t *err);
/* Writes the elements, as they were lent, from that file into vector.  -1: what
 * is there is not what was lent, or cannot be read. */
int fmq_lent_state_restore(const fmq_lent_state_t *self, float *vector, fmq_error_t *err);
/* The vector is the lender's again.  Whoever still reads it there is told that
 * it is gone (FMQ_ERR_NOTFOUND); a file is read to the end. */
void fmq_lent_state_end(fmq_lent_state_t **self_p);

/* An object that takes a vector of malloc() over and frees it with its last
 * reference.  NULL as above, with *vector_p still the caller's. */
fmq_object_t *fmq_state_give(const fmq_schema_t *schema, float **vector_p, fmq_codec_t codec,
                             fmq_error_t *err);

/* Encodes the values of one range into out, which has room for FMQ_CHUNK_MAX
 * bytes; bytes written, or 0 with err. */
size_t fmq_state_encode_chunk(const fmq_schema_t *schema, uint32_t index, const float *values,
                              fmq_codec_t codec, void *out, fmq_error_t *err);

/* Reads a state of this process range by range: take() gets the values of each,
 * ascending.  Nothing is digested.  -1: not a state of this schema, not to be
 * had any more, or what take() says. */
typedef int(fmq_state_take_fn)(void *argument, uint64_t first, uint64_t count, const float *values,
                               fmq_error_t *err);
int fmq_state_read(const fmq_object_t *object, const fmq_schema_t *schema, fmq_state_take_fn *take,
                   void *argument, fmq_error_t *err);

#endif
