/*
 * checkpoint.h - where a run stands after a round, in one file.
 *
 * checkpoints/round-000007.state: magic "FMQCKPT\n", version u32, size of the
 * head u32, the head (a msgpack list), digest of the schema, elements u64, the
 * state (f32), in version 2 the same three of the emulator's vector, and the
 * digest of all before; numbers little endian.  Version 1 has no emulator.  A
 * file is written beside, synced and renamed; the generation before it stays.
 */
#ifndef FEDMQ_ACTORS_STORAGE_CHECKPOINT_H
#define FEDMQ_ACTORS_STORAGE_CHECKPOINT_H

#include "actors/evaluation/early_stop.h"
#include "fedmq/actors/messages.h"
#include "fedmq/base/log.h"
#include "fedmq/base/schema.h"

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round;               /* rounds aggregated into the state; 0: the initial one */
    uint32_t epoch;               /* how often the run fell back to an older checkpoint */
    uint32_t empty_rounds;        /* in a row that closed without an update */
    uint32_t aligned;             /* blocks of alignment before round 0 that are done */
    fmq_digest_t model;           /* the base model that the state belongs to */
    char meaning[FMQ_REASON_MAX]; /* fmq_context_meaning() of the run, "" in older versions */
    fmq_early_stop_t early_stop;
    fmq_best_t best;
} fmq_checkpoint_t;

/* What is trained; everything is borrowed.  Loading fills both vectors, which
 * are undefined when it fails. */
typedef struct {
    const fmq_schema_t *schema;
    float *state;
    const fmq_schema_t *emulator_schema; /* NULL: without offsite tuning */
    float *emulator;
} fmq_vectors_t;

/* Writes the file; a failure (FMQ_ERR_IO: no space) leaves what was there. */
int fmq_checkpoint_save(const char *path, const fmq_checkpoint_t *checkpoint,
                        const fmq_vectors_t *vectors, fmq_error_t *err);

/* Reads and verifies: FMQ_ERR_FORMAT when it is not intact, FMQ_ERR_MISMATCH
 * when it belongs to other schemas. */
int fmq_checkpoint_load(const char *path, const fmq_vectors_t *vectors,
                        fmq_checkpoint_t *checkpoint, fmq_error_t *err);

/* FMQ_ERR_MISMATCH, with the key and both values, when a checkpoint's numbers
 * mean something else here; path is named.  One of an older version, which
 * says nothing, is taken. */
int fmq_checkpoint_compare(const fmq_checkpoint_t *self, const char *meaning, const char *path,
                           fmq_error_t *err);

/* The same in a directory, by round. */
int fmq_checkpoint_put(const char *directory, const fmq_checkpoint_t *checkpoint,
                       const fmq_vectors_t *vectors, fmq_error_t *err);

typedef struct {
    const char *directory;
    const fmq_vectors_t *vectors;
    fmq_log_t *log; /* may be NULL */
} fmq_checkpoint_search_t;

/* The newest intact checkpoint of a directory.  1: found, *skipped counts the
 * newer ones that were not intact; 0: the directory holds none; -1: none is
 * intact, or the newest belongs to something else. */
int fmq_checkpoint_newest(const fmq_checkpoint_search_t *search, fmq_checkpoint_t *checkpoint,
                          uint32_t *skipped, fmq_error_t *err);

/* What the newest intact one says about itself, whatever it was made with;
 * nothing is written.  1: found; 0: the directory holds none; -1: none is
 * intact, err says why of the oldest. */
int fmq_checkpoint_look(const char *directory, fmq_checkpoint_t *newest, fmq_error_t *err);

/* Where in the checkpoint of a round the state's elements lie, for who reads
 * them there: the path, the caller's to free, and their offset. */
char *fmq_checkpoint_find_state(const char *directory, uint32_t round, const fmq_schema_t *schema,
                                uint64_t *offset, fmq_error_t *err);

/* Deletes the checkpoints of rounds below `round`. */
void fmq_checkpoint_prune(const char *directory, uint32_t round);
/* Deletes those above `round`: what a fall-back has skipped. */
void fmq_checkpoint_forget(const char *directory, uint32_t round);

#endif
