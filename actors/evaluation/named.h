/*
 * named.h - what measured numbers are called, whoever measures.
 */
#ifndef FEDMQ_ACTORS_EVALUATION_NAMED_H
#define FEDMQ_ACTORS_EVALUATION_NAMED_H

#include "fedmq/actors/messages.h"
#include "fedmq/llm/train.h"

/* <of>_<what>; of: "test", "plugin.val", ... */
int fmq_named_metric(fmq_metrics_t *out, const char *of, const char *what, double value,
                     fmq_error_t *err);

/* <of>_loss (sum over batches of mean loss x batch size), <of>_total, <of>_avg_loss,
 * <of>_token_loss. */
int fmq_named_losses(fmq_metrics_t *out, const char *of, const llm_eval_stats_t *stats,
                     fmq_error_t *err);

#endif
