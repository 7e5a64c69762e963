/*
 * personal_state.h - federate.method local: what a client has trained, on its
 * own disk, so that a client that is started again goes on from it.
 *
 * <place>/round-000007.state holds the state after the client trained in round
 * 7, and what it reported then, so that a server that asks for that round again
 * gets the same answer.  A file belongs to one run and one client.  It is
 * written beside, synced and renamed before anything is reported; it and the
 * one before it are kept, as a server keeps two checkpoints, for a server that
 * falls back by one asks for the older.  One thread, no network.
 */
#ifndef FEDMQ_ACTORS_CLIENT_PERSONAL_STATE_H
#define FEDMQ_ACTORS_CLIENT_PERSONAL_STATE_H

#include "fedmq/actors/messages.h"
#include "fedmq/base/log.h"
#include "fedmq/base/schema.h"

/* Where, and whose; everything is borrowed. */
typedef struct {
    const char *directory;      /* created by the first save; NULL: nothing is saved or found */
    const fmq_schema_t *schema; /* of the state */
    uint32_t client;
    fmq_log_t *log;    /* may be NULL */
    const char *actor; /* of its lines */
} fmq_personal_place_t;

typedef struct {
    char run[FMQ_RUN_ID_SIZE];
    uint32_t round;               /* that it was trained in */
    fmq_message_report_t outcome; /* samples, seconds and metrics of that training */
} fmq_personal_mark_t;

/* Saves a state.  before: the round of the state that it was made of, whose file
 * is kept; others are removed.  -1: it is not on the disk. */
int fmq_personal_save(const fmq_personal_place_t *place, const fmq_personal_mark_t *mark,
                      const float *vector, const uint32_t *before, fmq_error_t *err);

/* Loads the newest state of this run that was trained in a round up to `most`.  1: mark
 * and vector are filled; 0: there is none; -1: the disk failed.  A file that is
 * not intact is told and passed over.  vector is undefined unless 1. */
int fmq_personal_load(const fmq_personal_place_t *place, const char *run, uint32_t most,
                      fmq_personal_mark_t *mark, float *vector, fmq_error_t *err);

#endif
