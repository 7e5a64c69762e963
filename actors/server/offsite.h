/*
 * offsite.h - the server's side of offsite tuning: what FedBiOT's
 * strategy stands on.
 *
 * Without llm.offsite_tuning.use everything here is empty and harmless.
 */
#ifndef FEDMQ_ACTORS_SERVER_OFFSITE_H
#define FEDMQ_ACTORS_SERVER_OFFSITE_H

#include "actors/server/aligner.h"
#include "actors/server/heldout.h"

typedef struct {
    const fmq_context_t *context; /* borrowed */
    fmq_offsite_settings_t settings;
    fmq_fedbiot_options_t fedbiot; /* what fill() lends the coordinator */
    float *emulator;               /* owned: the vector that a new run begins with */
    uint32_t aligned;              /* blocks before round 0 that it has been through */
    fmq_aligner_t *aligner;        /* owned; NULL: nothing is aligned */
    fmq_heldout_t *held;           /* owned; NULL: the server measures nothing */
} fmq_offsite_t;

/* Fills self; after a failure too it must be released. */
int fmq_offsite_open(fmq_offsite_t *self, const fmq_context_t *context, fmq_error_t *err);
void fmq_offsite_release(fmq_offsite_t *self);

/* Takes the emulator of emu_align.restore_from; a place where none is yet is
 * where the run's own will be saved, and changes nothing. */
int fmq_offsite_restore(fmq_offsite_t *self, fmq_error_t *err);

/* Puts it into the coordinator's options; and, with or without offsite tuning, the
 * saving of whole models where save_full_model asks for it. */
void fmq_offsite_fill(fmq_offsite_t *self, fmq_coordinator_options_t *options);

#endif
