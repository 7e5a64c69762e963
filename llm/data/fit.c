/*
 * fit.c - how many records fit, and how that is said.  One wording for all who
 * say it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "fedmq/llm/dataset.h"

void llm_fit_add(llm_fit_t *self, const llm_fit_t *more)
{
    self->records += more->records;
    self->unanswered += more->unanswered;
    self->too_long += more->too_long;
    self->cut += more->cut;
}

uint64_t llm_fit_used(const llm_fit_t *self)
{
    uint64_t dropped = self->unanswered + self->too_long;
    return self->records > dropped ? self->records - dropped : 0;
}

void llm_fit_text(const llm_fit_t *self, const char *name, size_t tok_len,
                  char out[LLM_FIT_TEXT_BYTES])
{
    int used = 0;
    uint64_t misfits = self->too_long + self->cut;
    out[0] = '\0';
    if (misfits > 0)
        used = snprintf(out, LLM_FIT_TEXT_BYTES,
                        "%" PRIu64 " of %" PRIu64 " records do%s not fit %s %zu: %" PRIu64
                        " dropped, %" PRIu64 " cut",
                        misfits, self->records, misfits == 1 ? "es" : "", name, tok_len,
                        self->too_long, self->cut);
    if (self->unanswered == 0 || used < 0 || used >= LLM_FIT_TEXT_BYTES)
        return;
    if (misfits > 0)
        (void)snprintf(out + used, LLM_FIT_TEXT_BYTES - (size_t)used,
                       "; %" PRIu64 " with no answer dropped", self->unanswered);
    else
        (void)snprintf(out, LLM_FIT_TEXT_BYTES,
                       "%" PRIu64 " of %" PRIu64 " records with no answer dropped",
                       self->unanswered, self->records);
}

int llm_fit_refuse(const llm_fit_t *self, const char *records, const char *name, size_t tok_len,
                   fmq_error_t *err)
{
    if (self->records == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there are no %s", records);
    if (self->too_long == 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "none of the %" PRIu64 " %s can be used: all have no answer",
                             self->records, records);
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "none of the %" PRIu64 " %s can be used: the prompts of %" PRIu64
                         " fill %s %zu, %" PRIu64 " have no answer; raise %s, or shorten the "
                         "prompts",
                         self->records, records, self->too_long, name, tok_len, self->unanswered,
                         name);
}
