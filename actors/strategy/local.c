/*
 * local.c - federate.method local: nothing is exchanged, every client goes on from
 * what it trained itself.  The base line of every method.
 */
#include "actors/strategy/methods.h"

/* An offer is as good as its report: its update is fetched by nobody. */
static size_t exchanges(const void *self, fmq_exchange_t out[FMQ_EXCHANGES_MAX])
{
    (void)self;
    out[0] = (fmq_exchange_t){.task = FMQ_TASK_TRAIN, .accept = FMQ_ACCEPT_REPORT};
    return 1;
}

static size_t passes(const fmq_config_t *config, fmq_pass_t out[FMQ_PASSES_MAX])
{
    (void)config;
    out[0] = (fmq_pass_t){.from = FMQ_FROM_PERSONAL, .sends = true, .keeps = true, .prefix = ""};
    return 1;
}

const fmq_strategy_ops_t fmq_local_ops = {.name = "local",
                                          .help = "every client trains alone",
                                          .exchanges = exchanges,
                                          .passes = passes,
                                          .measures_own = true};
