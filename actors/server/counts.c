/*
 * counts.c - holds what a client says against what can be.
 */
#include "actors/server/counts.h"

#include <inttypes.h>
#include <string.h>

#include "fedmq/actors/shard.h"

int fmq_counts_open(fmq_counts_t *self, const fmq_counts_options_t *options, fmq_error_t *err)
{
    self->options = *options;
    if (options->own_data)
        return 0;
    self->dealt = fmq_dealt_open(options->run_directory, options->clients, err);
    return self->dealt ? 0 : -1;
}

void fmq_counts_release(fmq_counts_t *self)
{
    fmq_dealt_close(&self->dealt);
    memset(self, 0, sizeof *self);
}

void fmq_counts_take_shard(fmq_counts_t *self, const fmq_message_shard_t *shard)
{
    if (self->dealt)
        (void)fmq_dealt_take(self->dealt, shard);
}

int fmq_counts_save(fmq_counts_t *self, fmq_error_t *err)
{
    return self->dealt ? fmq_dealt_save(self->dealt, err) : 0;
}

const uint64_t *fmq_counts_dealt(const fmq_counts_t *self, uint32_t client)
{
    return fmq_dealt_to(self->dealt, client);
}

uint64_t fmq_counts_used_max(const fmq_counts_t *self, uint32_t client, uint64_t shard)
{
    const uint64_t *dealt = fmq_counts_dealt(self, client);
    if (dealt && (shard == 0 || shard > dealt[FMQ_DEALT_TRAIN]))
        shard = dealt[FMQ_DEALT_TRAIN];
    if (dealt && shard == 0)
        return 0;
    const fmq_counts_options_t *options = &self->options;
    return options->samples_max ? options->samples_max(options->argument, client, shard)
                                : UINT64_MAX;
}

int fmq_counts_check(const fmq_counts_t *self, uint32_t client, const fmq_message_report_t *report,
                     fmq_error_t *why)
{
    const uint64_t *dealt = fmq_counts_dealt(self, client);
    if (report->shard_samples > FMQ_SHARD_RECORDS_MAX)
        return fmq_error_set(why, FMQ_ERR_LIMIT,
                             "it says it has %" PRIu64 " examples; %" PRIu64 " are possible",
                             report->shard_samples, FMQ_SHARD_RECORDS_MAX);
    if (dealt && report->shard_samples > dealt[FMQ_DEALT_TRAIN])
        return fmq_error_set(why, FMQ_ERR_LIMIT,
                             "it says it has %" PRIu64
                             " examples; the splitter has dealt it %" PRIu64
                             " (where clients bring their own data, set fedmq.own_data)",
                             report->shard_samples, dealt[FMQ_DEALT_TRAIN]);
    uint64_t most = fmq_counts_used_max(self, client, report->shard_samples);
    if (report->samples > most)
        return fmq_error_set(
            why, FMQ_ERR_LIMIT,
            "it says it has used %" PRIu64 " examples; of the %" PRIu64
            " that it has a round uses %" PRIu64 " at most",
            report->samples,
            report->shard_samples || !dealt ? report->shard_samples : dealt[FMQ_DEALT_TRAIN], most);
    return 0;
}
