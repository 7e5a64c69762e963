/*
 * aligner.h - trains the emulator on the server's public data: what stands
 * behind the coordinator's alignment.
 *
 * Holds the public records and what frozen layers gave for them; takes a
 * permit for each block.  Belongs to the server's thread.
 */
#ifndef FEDMQ_ACTORS_SERVER_ALIGNER_H
#define FEDMQ_ACTORS_SERVER_ALIGNER_H

#include "actors/server/coordinator.h"
#include "actors/settings/settings.h"

typedef struct fmq_aligner fmq_aligner_t;

/* Loads and tokenizes; shared and settings are borrowed. */
fmq_aligner_t *fmq_aligner_new(const fmq_context_t *context, const fmq_offsite_settings_t *settings,
                               fmq_error_t *err);
void fmq_aligner_destroy(fmq_aligner_t **self_p);

/* One block; self is an aligner.  Metrics: align_loss, align_sim, align_kl and
 * align_lm (means over batches; what has no weight is not computed and left
 * out), align_steps, align_nan_batches, align_seconds. */
int fmq_aligner_run(void *self, const fmq_alignment_t *block, fmq_metrics_t *metrics,
                    fmq_error_t *err);

#endif
