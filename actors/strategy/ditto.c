/*
 * ditto.c - Ditto (Li et al. 2021): beside FedAvg, every client trains a model of
 * its own that is pulled to the shared one, and is measured by it.
 *
 * As in FS-LLM the own model v is trained first, from v and over the same batches,
 * with the loss + personalization.regular_weight / 2 ||v - w||^2 where w is the
 * shared state of the round; then the shared one as FedAvg does.
 */
#include "actors/strategy/methods.h"

#include <stdlib.h>

static size_t passes(const fmq_config_t *config, fmq_pass_t out[FMQ_PASSES_MAX])
{
    out[0] = (fmq_pass_t){.from = FMQ_FROM_PERSONAL,
                          .keeps = true,
                          .pull = fmq_config_real(config, "personalization.regular_weight"),
                          .steps = fmq_config_int(config, "personalization.local_update_steps"),
                          .rate = fmq_config_real(config, "personalization.lr"),
                          .prefix = "personal."};
    out[1] = (fmq_pass_t){.from = FMQ_FROM_SHARED, .sends = true, .prefix = ""};
    return 2;
}

const fmq_strategy_ops_t fmq_ditto_ops = {
    .name = "ditto",
    .help = "FedAvg, and for every client a model of its own near the shared one",
    .create = fmq_average_new,
    .destroy = free,
    .aggregate = fmq_average_aggregate,
    .passes = passes,
    .measures_own = true};
