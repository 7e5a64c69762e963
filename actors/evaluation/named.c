/*
 * named.c - the names of measured numbers, in the order that reports have them.
 */
#include "actors/evaluation/named.h"

#include <stdio.h>

int fmq_named_metric(fmq_metrics_t *out, const char *of, const char *what, double value,
                     fmq_error_t *err)
{
    char name[FMQ_METRIC_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s_%s", of, what);
    return fmq_metrics_set(out, name, value, err);
}

int fmq_named_losses(fmq_metrics_t *out, const char *of, const llm_eval_stats_t *stats,
                     fmq_error_t *err)
{
    if (fmq_named_metric(out, of, "loss", stats->loss_sum, err) < 0 ||
        fmq_named_metric(out, of, "total", (double)stats->samples, err) < 0 ||
        fmq_named_metric(out, of, "avg_loss", stats->loss_avg, err) < 0)
        return -1;
    return fmq_named_metric(out, of, "token_loss", stats->token_loss, err);
}
