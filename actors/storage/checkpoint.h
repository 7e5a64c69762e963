/*
 * checkpoint.h - where a run stands after a round, in one file: a head, and
 * named sections that are vectors or bytes.
 *
 * checkpoints/round-000007.state: magic "FMQCKPT\n", version u32 = 5, size of
 * the head u32, the head (a msgpack list, whose last item names the sections),
 * for every section the digest of its schema (zeros: it is bytes), its elements
 * or bytes as u64, and these (vectors as f32), and the digest of all before;
 * numbers little endian.  A run has the sections "state", "emulator" with offsite
 * tuning, and what its method keeps.  Versions 1 to 4 are read: they name no
 * sections; they have a state, and the even ones an emulator.
 * A file is written beside, synced and renamed; the generation before it stays.
 */
#ifndef FEDMQ_ACTORS_STORAGE_CHECKPOINT_H
#define FEDMQ_ACTORS_STORAGE_CHECKPOINT_H

#include "actors/evaluation/early_stop.h"
#include "fedmq/actors/messages.h"
#include "fedmq/base/log.h"
#include "fedmq/extend/sections.h"

typedef struct fmq_checkpoint {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round;               /* rounds aggregated into the state; 0: the initial one */
    uint32_t epoch;               /* how often the run fell back to an older checkpoint */
    uint32_t empty_rounds;        /* in a row that closed without an update */
    uint32_t prepared;            /* steps of the strategy's prepare() that are done */
    fmq_digest_t model;           /* the base model that the state belongs to */
    char meaning[FMQ_REASON_MAX]; /* fmq_context_meaning() of the run, "" in older versions */
    fmq_early_stop_t early_stop;
    fmq_best_t best;
} fmq_checkpoint_t;

/* Writes the file; a failure (FMQ_ERR_IO: no space) leaves what was there. */
int fmq_checkpoint_save(const char *path, const fmq_checkpoint_t *checkpoint,
                        const fmq_sections_t *sections, fmq_error_t *err);

/* Reads and verifies: FMQ_ERR_FORMAT when it is not intact, FMQ_ERR_MISMATCH
 * when it belongs to other schemas or has other sections. */
int fmq_checkpoint_load(const char *path, fmq_sections_t *sections, fmq_checkpoint_t *checkpoint,
                        fmq_error_t *err);

/* What an intact one says about itself, whatever it was made with. */
int fmq_checkpoint_read_head(const char *path, fmq_checkpoint_t *checkpoint, fmq_error_t *err);

/* Where in the file a vector's elements lie, for who reads them there; nothing
 * is verified but the table of sections. */
int fmq_checkpoint_locate(const char *path, const char *section, const fmq_schema_t *schema,
                          uint64_t *offset, fmq_error_t *err);

/* FMQ_ERR_MISMATCH, with the key and both values, when a checkpoint's numbers
 * mean something else here; path is named.  One of an older version, which
 * says nothing, is taken. */
int fmq_checkpoint_compare(const fmq_checkpoint_t *self, const char *meaning, const char *path,
                           fmq_error_t *err);

/* A directory of them, by round (checkpoint_directory.c). */

int fmq_checkpoint_put(const char *directory, const fmq_checkpoint_t *checkpoint,
                       const fmq_sections_t *sections, fmq_error_t *err);

typedef struct {
    const char *directory;
    fmq_sections_t *sections;
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

/* Where in the checkpoint of a round the state's elements lie: the path, the
 * caller's to free, and their offset. */
char *fmq_checkpoint_find_state(const char *directory, uint32_t round, const fmq_schema_t *schema,
                                uint64_t *offset, fmq_error_t *err);

/* Deletes the checkpoints of rounds below `round`. */
void fmq_checkpoint_prune(const char *directory, uint32_t round);
/* Deletes those above `round`: what a fall-back has skipped. */
void fmq_checkpoint_forget(const char *directory, uint32_t round);

#endif
