/*
 * checkpoint_head.h - the head of a checkpoint as bytes, and the sections behind it.
 *
 * Knows the versions, no files.
 */
#ifndef FEDMQ_ACTORS_STORAGE_CHECKPOINT_HEAD_H
#define FEDMQ_ACTORS_STORAGE_CHECKPOINT_HEAD_H

#include "actors/storage/checkpoint.h"

#define FMQ_CHECKPOINT_HEAD_MAX (16u * 1024) /* bytes */

/* 1 has a state alone, 2 an emulator too and the blocks of its alignment; 3 and
 * 4 are those two with the meaning of the numbers; 5 names its sections. */
#define FMQ_CHECKPOINT_VERSION     5u
#define FMQ_CHECKPOINT_VERSION_OLD 4u /* the newest without names */

/* A section as the file has it. */
typedef struct {
    char name[FMQ_SECTION_NAME_MAX];
    bool is_vector;
    fmq_digest_t schema; /* of a vector */
    uint64_t count;      /* elements, or bytes */
    uint64_t offset;     /* in the file */
} fmq_stored_section_t;

typedef struct {
    fmq_stored_section_t items[FMQ_SECTIONS_MAX];
    size_t size;
} fmq_stored_sections_t;

/* How many bytes a section takes in the file. */
uint64_t fmq_stored_section_bytes(const fmq_stored_section_t *self);

/* The size written into out, or 0 with err. */
size_t fmq_checkpoint_head_encode(const fmq_checkpoint_t *checkpoint,
                                  const fmq_stored_sections_t *table,
                                  unsigned char out[FMQ_CHECKPOINT_HEAD_MAX], fmq_error_t *err);
/* Fills the names of the table, and whether they are vectors. */
int fmq_checkpoint_head_decode(fmq_checkpoint_t *out, fmq_stored_sections_t *table,
                               uint32_t version, const void *data, size_t size, fmq_error_t *err);

#endif
