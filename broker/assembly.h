/*
 * assembly.h - chunks that come in order become a verified object.
 */
#ifndef FEDMQ_BROKER_ASSEMBLY_H
#define FEDMQ_BROKER_ASSEMBLY_H

#include "fedmq/broker/object.h"

typedef struct {
    fmq_object_t *object; /* owned; NULL: not begun */
    uint64_t bytes_max;
    fmq_digest_state_t running;
} fmq_assembly_t;

/* Begins an object of at most bytes_max bytes. */
int fmq_assembly_begin(fmq_assembly_t *self, uint64_t bytes_max, fmq_error_t *err);
void fmq_assembly_release(fmq_assembly_t *self);
/* Copies the next chunk.  FMQ_ERR_LIMIT beyond bytes_max. */
int fmq_assembly_add(fmq_assembly_t *self, const void *data, size_t size, fmq_error_t *err);
/* Seals and gives away the object; NULL with FMQ_ERR_MISMATCH when it has
 * another digest. */
fmq_object_t *fmq_assembly_end(fmq_assembly_t *self, const fmq_digest_t *digest, fmq_error_t *err);

#endif
