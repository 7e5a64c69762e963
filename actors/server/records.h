/*
 * records.h - what clients say of their data: how many records cannot be used,
 * said once for all, and who has nothing to train on.
 *
 * Clients tokenise, so only they know.  Their numbers are a stranger's: they go
 * to the log, the terminal and metrics.jsonl, and decide nothing.
 */
#ifndef FEDMQ_ACTORS_SERVER_RECORDS_H
#define FEDMQ_ACTORS_SERVER_RECORDS_H

#include "fedmq/actors/messages.h"
#include "fedmq/llm/dataset.h"

struct fmq_coordinator;

typedef struct {
    llm_fit_t *fits; /* owned, client k at k - 1: how its records fit; records 0: unknown */
    bool told;       /* those that were known then; others are told as they come */
} fmq_records_t;

int fmq_records_open(struct fmq_coordinator *self, fmq_error_t *err);
void fmq_records_release(struct fmq_coordinator *self);

/* Takes what a report says of its client's data. */
int fmq_records_take_fit(struct fmq_coordinator *self, uint32_t client,
                         const fmq_message_report_t *report, fmq_error_t *err);
/* Says once, for all clients together, what of their records cannot be used. */
int fmq_records_tell(struct fmq_coordinator *self, fmq_error_t *err);
/* FMQ_ERR_CONFIG when every client that could train has said that it cannot. */
int fmq_records_check_trainable(struct fmq_coordinator *self, fmq_error_t *err);

#endif
