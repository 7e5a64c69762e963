/*
 * records.c - adds up how clients' records fit, and says it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/protocol/fit.h"
#include "actors/server/coordinator_private.h"

#define NAMED_MAX 8 /* clients that the warning names */

int fmq_records_open(coordinator_t *self, fmq_error_t *err)
{
    uint32_t clients = self->settings->clients;
    self->records.fits = calloc(clients, sizeof *self->records.fits);
    return self->records.fits
               ? 0
               : fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %u clients", clients);
}

void fmq_records_release(coordinator_t *self)
{
    free(self->records.fits);
    memset(&self->records, 0, sizeof self->records);
}

static bool misfits(const llm_fit_t *fit)
{
    return fit->unanswered + fit->too_long + fit->cut > 0;
}

/* A line of metrics.jsonl, and of the log. */
static int write_fit(coordinator_t *self, const char *source, const llm_fit_t *fit,
                     fmq_error_t *err)
{
    const fmq_metrics_log_key_t key = {self->checkpoints.mark.round, source, "data"};
    fmq_metrics_t metrics = {0};
    fmq_fit_to_metrics(fit, &metrics);
    return fmq_measurements_write(self, &key, &metrics, err);
}

static int tell_one(coordinator_t *self, uint32_t client, fmq_log_level_t level, fmq_error_t *err)
{
    char text[LLM_FIT_TEXT_BYTES], source[FMQ_MEMBER_NAME_MAX];
    const llm_fit_t *fit = &self->records.fits[client - 1];
    if (!misfits(fit))
        return 0;
    (void)snprintf(source, sizeof source, "client-%u", client);
    llm_fit_text(fit, "llm.tok_len", self->settings->tok_len, text);
    fmq_log_write(self->options.log, level, "server", "client-records", "client=%u text=\"%s\"",
                  client, text);
    return write_fit(self, source, fit, err);
}

static llm_fit_t sum_up(const coordinator_t *self)
{
    llm_fit_t all = {0};
    for (uint32_t k = 0; k < self->settings->clients; k++)
        llm_fit_add(&all, &self->records.fits[k]);
    return all;
}

/* "client-1: 3 dropped, 2 cut of 40; client-4: ..." */
static void name_clients(const coordinator_t *self, char *out, size_t capacity)
{
    size_t used = 0;
    uint32_t named = 0, more = 0;
    out[0] = '\0';
    for (uint32_t k = 1; k <= self->settings->clients; k++) {
        const llm_fit_t *fit = &self->records.fits[k - 1];
        if (!misfits(fit))
            continue;
        if (named++ >= NAMED_MAX) {
            more++;
            continue;
        }
        int size =
            snprintf(out + used, capacity - used, "%sclient-%u: %llu dropped, %llu cut of %llu",
                     used ? "; " : "", k, (unsigned long long)(fit->unanswered + fit->too_long),
                     (unsigned long long)fit->cut, (unsigned long long)fit->records);
        used += size > 0 && (size_t)size < capacity - used ? (size_t)size : 0;
    }
    if (more)
        (void)snprintf(out + used, capacity - used, "; and %u more, see metrics.jsonl", more);
}

int fmq_records_tell(coordinator_t *self, fmq_error_t *err)
{
    char text[LLM_FIT_TEXT_BYTES], clients[1024];
    llm_fit_t all = sum_up(self);
    if (self->records.told)
        return 0;
    self->records.told = true;
    if (!misfits(&all))
        return 0;
    llm_fit_text(&all, "llm.tok_len", self->settings->tok_len, text);
    name_clients(self, clients, sizeof clients);
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "records",
                  "text=\"%s\" clients=\"%s\"", text, clients);
    for (uint32_t k = 1; k <= self->settings->clients; k++)
        if (tell_one(self, k, FMQ_LOG_INFO, err) < 0)
            return -1;
    return write_fit(self, "clients", &all, err);
}

/* A reason in a report that is neither failed nor an offer says that its client takes
 * part in no training, and why. */
static void take_untrained(coordinator_t *self, uint32_t client, const fmq_message_report_t *report)
{
    bool untrained = report->reason[0] != '\0' && report->phase != FMQ_REPORT_OFFER;
    if (untrained && !self->participants.all[client - 1].untrained)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-untrained",
                      "client=%u reason=\"%s\"", client, report->reason);
    fmq_participants_is_untrained(&self->participants, client, untrained);
}

int fmq_records_take_fit(coordinator_t *self, uint32_t client, const fmq_message_report_t *report,
                         fmq_error_t *err)
{
    llm_fit_t fit;
    take_untrained(self, client, report);
    bool known = self->records.fits[client - 1].records > 0;
    if (known || (report->phase != FMQ_REPORT_IDLE && report->phase != FMQ_REPORT_WORKING) ||
        !fmq_fit_from_metrics(&report->metrics, &fit))
        return 0;
    self->records.fits[client - 1] = fit;
    return self->records.told ? tell_one(self, client, FMQ_LOG_WARNING, err) : 0;
}

int fmq_records_check_trainable(coordinator_t *self, fmq_error_t *err)
{
    for (uint32_t k = 1; k <= self->settings->training; k++)
        if (!self->participants.all[k - 1].untrained)
            return 0;
    llm_fit_t all = sum_up(self);
    if (fmq_records_tell(self, err) < 0)
        return -1;
    return fmq_error_set(
        err, FMQ_ERR_CONFIG,
        "no client has a training record that can be used: of all %llu records "
        "%llu have a prompt that fills llm.tok_len %zu, %llu have no answer; raise "
        "llm.tok_len, or give other data",
        (unsigned long long)all.records, (unsigned long long)all.too_long, self->settings->tok_len,
        (unsigned long long)all.unanswered);
}
