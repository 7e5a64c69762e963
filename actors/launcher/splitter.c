/*
 * splitter.c - fedmq splitter: hands out the shards of a data set over tcp.
 */
#include "actors/launcher/address.h"
#include "actors/launcher/federation.h"
#include "actors/launcher/opening.h"

static const fmq_option_t options[] = {FMQ_ROW_CFG,   FMQ_ROW_BROKER, FMQ_ROW_INSECURE,
                                       FMQ_ROW_QUIET, FMQ_ROW_JSON,   FMQ_ROW_LOAD,
                                       FMQ_ROWS_END};

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    int result = -1;
    char endpoint[FMQ_ENDPOINT_MAX];
    fmq_config_t *config = fmq_opening_config(arguments, words, err);
    if (!config)
        return -1;
    fmq_plan_t plan = {.config = config,
                       .connect = arguments->broker,
                       .insecure = arguments->insecure || fmq_config_bool(config, "fedmq.insecure"),
                       .splitter = true,
                       .quiet = arguments->quiet,
                       .json = arguments->json};
    if (!plan.connect && fmq_address_of_server(config, true, endpoint, err) < 0)
        goto done;
    if (!plan.connect)
        plan.connect = endpoint;
    if (fmq_address_check(plan.connect, FMQ_ENDPOINT_CONNECT, plan.insecure, err) == 0)
        result = fmq_federation_run(&plan, err);
done:
    fmq_config_destroy(&config);
    return result;
}

const fmq_command_t fmq_command_splitter = {
    .name = "splitter",
    .words = "[KEY VALUE ...]",
    .summary = "Splits the data set and hands each client its shard (server --no-splitter)",
    .options = options,
    .rule = FMQ_WORDS_PAIRS,
    .run = run};
