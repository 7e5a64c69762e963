/*
 * fit.c - four counts to metrics and back.
 */
#include "actors/protocol/fit.h"

#include <math.h>

#define COUNT_MAX 1e12 /* records of a client that are believed */

static const struct {
    const char *name;
    size_t offset;
} counts[] = {{"data_records", offsetof(llm_fit_t, records)},
              {"data_unanswered", offsetof(llm_fit_t, unanswered)},
              {"data_too_long", offsetof(llm_fit_t, too_long)},
              {"data_cut", offsetof(llm_fit_t, cut)}};

void fmq_fit_to_metrics(const llm_fit_t *fit, fmq_metrics_t *out)
{
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        (void)fmq_metrics_set(
            out, counts[i].name,
            (double)*(const uint64_t *)(const void *)((const char *)fit + counts[i].offset), NULL);
}

bool fmq_fit_from_metrics(const fmq_metrics_t *metrics, llm_fit_t *out)
{
    llm_fit_t fit = {0};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const double *value = fmq_metrics_get(metrics, counts[i].name);
        if (!value || !(*value >= 0 && *value <= COUNT_MAX) || *value != floor(*value))
            return false;
        *(uint64_t *)(void *)((char *)&fit + counts[i].offset) = (uint64_t)*value;
    }
    if (fit.unanswered + fit.too_long + fit.cut > fit.records)
        return false;
    *out = fit;
    return true;
}
