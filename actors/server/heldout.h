/*
 * heldout.h - the server measures the full model with the adapter plugged in, on
 * the records that it holds.
 *
 * Those are the validation and test records of the run's data set, unsplit; a
 * server that has none of them takes the public set's.  Belongs to the
 * server's thread.
 */
#ifndef FEDMQ_ACTORS_SERVER_HELDOUT_H
#define FEDMQ_ACTORS_SERVER_HELDOUT_H

#include "actors/server/coordinator.h"
#include "actors/settings/settings.h"

typedef struct fmq_heldout fmq_heldout_t;

/* Loads and tokenizes; context and settings are borrowed. */
fmq_heldout_t *fmq_heldout_new(const fmq_context_t *context, const fmq_offsite_settings_t *settings,
                               fmq_error_t *err);
void fmq_heldout_destroy(fmq_heldout_t **self_p);

/* The coordinator's measure function; self is one of these.  Metrics, for val and
 * test where eval.split has them and there are such records: plugin.<split>_loss (sum over batches
 * of mean loss x batch size), _total, _avg_loss, _token_loss; with fedmq.match_tokens
 * plugin.test_exact_match and plugin.test_exact_total. */
int fmq_heldout_measure(void *self, const fmq_measuring_t *measuring, fmq_metrics_t *metrics,
                        fmq_error_t *err);

/* Tokenizes as llm.tok_len says; NULL with err.  What does not fit is a warning,
 * which calls the records `what`. */
llm_dataset_t *fmq_heldout_tokenize(const fmq_context_t *context, const llm_records_t *records,
                                    const char *what, fmq_error_t *err);

/* A progress function as one that fmq_devices_take() asks. */
typedef struct {
    llm_progress_fn *progress;
    void *argument;
} fmq_heldout_stop_t;
int fmq_heldout_stop(void *stop);

#endif
