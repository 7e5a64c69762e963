/*
 * fit.h - how a client's records fit, as its reports say it: metrics of a report
 * that is no answer (idle, working), named data_records, data_unanswered,
 * data_too_long and data_cut.
 */
#ifndef FEDMQ_ACTORS_PROTOCOL_FIT_H
#define FEDMQ_ACTORS_PROTOCOL_FIT_H

#include "fedmq/actors/messages.h"
#include "fedmq/llm/dataset.h"

void fmq_fit_to_metrics(const llm_fit_t *fit, fmq_metrics_t *out);

/* False when they say nothing of it, or what cannot be: a stranger wrote them. */
bool fmq_fit_from_metrics(const fmq_metrics_t *metrics, llm_fit_t *out);

#endif
