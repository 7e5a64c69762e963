/*
 * broker.c - fedmq broker: a router alone, for a run whose server is elsewhere.
 */
#include "actors/launcher/address.h"
#include "actors/launcher/federation.h"

static const fmq_option_t options[] = {FMQ_ROW_LISTEN, FMQ_ROW_INSECURE, FMQ_ROW_QUIET,
                                       FMQ_ROW_JSON, FMQ_ROWS_END};

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    (void)words;
    fmq_plan_t plan = {.listen = arguments->listen,
                       .insecure = arguments->insecure,
                       .quiet = arguments->quiet,
                       .json = arguments->json};
    if (!plan.listen)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --listen tcp://HOST:PORT");
    if (fmq_address_check(plan.listen, FMQ_ENDPOINT_BIND, plan.insecure, err) < 0)
        return -1;
    return fmq_federation_run(&plan, err);
}

const fmq_command_t fmq_command_broker = {
    .name = "broker",
    .words = "",
    .summary = "Routes for a run whose server, splitter and clients are other processes",
    .options = options,
    .rule = FMQ_WORDS_NONE,
    .run = run};
