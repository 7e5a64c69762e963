/*
 * client.c - fedmq client: one client of a run over tcp.
 */
#include "actors/launcher/address.h"
#include "actors/launcher/attach.h"
#include "actors/launcher/federation.h"
#include "actors/launcher/opening.h"
#include "actors/launcher/rundir.h"

#include <stdlib.h>
#include <string.h>

static const fmq_option_t options[] = {
    FMQ_ROW_CFG,
    FMQ_ROW_CLIENT_CFG,
    FMQ_ROW("id", COUNT, id, "K", "which client this is (distribute.data_idx)"),
    FMQ_ROW_BROKER,
    FMQ_ROW_INSECURE,
    FMQ_ROW_MODEL,
    FMQ_ROW("data", TEXT, data, "FILE", "own records, split by data.splits"),
    FMQ_ROW("train", TEXT, train, "FILE", "own training records"),
    FMQ_ROW("val", TEXT, val, "FILE", "own validation records"),
    FMQ_ROW("test", TEXT, test, "FILE", "own test records"),
    FMQ_ROW_THREADS,
    FMQ_ROW_QUIET,
    FMQ_ROW_JSON,
    FMQ_ROW_LOAD,
    FMQ_ROWS_END};

static int choose_number(const fmq_arguments_t *arguments, const fmq_config_t *config,
                         uint32_t *number, fmq_error_t *err)
{
    int64_t index = fmq_config_int(config, "distribute.data_idx");
    int64_t clients = fmq_config_int(config, "federate.client_num");
    uint64_t id = arguments->id;
    if (id == 0 && index > 0)
        id = (uint64_t)index;
    if (id == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "which client is this? give --id K or distribute.data_idx, K from 1 "
                             "to %lld",
                             (long long)clients);
    if (clients > 0 && id > (uint64_t)clients)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "client %llu: federate.client_num is %lld, so K goes from 1 to that",
                             (unsigned long long)id, (long long)clients);
    *number = (uint32_t)id;
    return 0;
}

/* Below the run's directory, which only an export needs before there is anything
 * to save: one that is there first would make the server choose another name. */
static bool place_own_states(const fmq_config_t *config, char **place, fmq_error_t *err)
{
    if (fmq_config_bool(config, "federate.save_client_model"))
        *place = fmq_rundir_of_client(config, err);
    else if (strcmp(fmq_config_text(config, "federate.method"), "local") == 0 ||
             fmq_config_bool(config, "fedmq.keep_optimizer"))
        *place = fmq_rundir_path(config, err);
    else
        return true;
    return *place != NULL;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    int result = -1;
    char endpoint[FMQ_ENDPOINT_MAX];
    llm_records_t *own[3] = {NULL};
    char *keepsakes = NULL;
    if (!arguments->cfg && !arguments->broker)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "give --cfg FILE, or --broker tcp://HOST:PORT of a run to ask it");
    if (!arguments->cfg &&
        fmq_address_check(arguments->broker, FMQ_ENDPOINT_CONNECT, arguments->insecure, err) < 0)
        return -1;
    fmq_config_t *config = fmq_attach_open(arguments, words, arguments->broker, err);
    if (!config)
        return -1;
    fmq_plan_t plan = {.config = config,
                       .connect = arguments->broker,
                       .insecure = arguments->insecure || fmq_config_bool(config, "fedmq.insecure"),
                       .clients = 1,
                       .asked = !arguments->cfg,
                       .quiet = arguments->quiet,
                       .json = arguments->json,
                       .permits = 1,
                       .threads = arguments->threads};
    if (!plan.connect && fmq_address_of_server(config, true, endpoint, err) < 0)
        goto done;
    if (!plan.connect)
        plan.connect = endpoint;
    if (fmq_address_check(plan.connect, FMQ_ENDPOINT_CONNECT, plan.insecure, err) < 0 ||
        choose_number(arguments, config, &plan.first_client, err) < 0 ||
        fmq_opening_records(arguments, config, own, err) < 0)
        goto done;
    if (!place_own_states(config, &keepsakes, err))
        goto done;
    plan.keepsakes = keepsakes;
    for (int i = 0; i < 3; i++)
        plan.own[i] = own[i];
    result = fmq_federation_run(&plan, err);
done:
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&own[i]);
    free(keepsakes);
    fmq_config_destroy(&config);
    return result;
}

const fmq_command_t fmq_command_client = {
    .name = "client",
    .words = "[KEY VALUE ...]",
    .summary = "Joins a run over tcp and trains on this client's data",
    .options = options,
    .rule = FMQ_WORDS_PAIRS,
    .run = run};
