/*
 * run.c - fedmq run: a whole federation in this process.
 */
#include "actors/launcher/address.h"
#include "actors/launcher/federation.h"
#include "actors/launcher/opening.h"
#include "actors/settings/settings.h"

static const fmq_option_t options[] = {
    FMQ_ROW_CFG,      FMQ_ROW_CLIENT_CFG, FMQ_ROW_DIRECTORY,    FMQ_ROW_RESUME,  FMQ_ROW_LISTEN,
    FMQ_ROW_INSECURE, FMQ_ROW_EVALUATOR,  FMQ_ROW_NO_EVALUATOR, FMQ_ROW_PERMITS, FMQ_ROW_THREADS,
    FMQ_ROW_QUIET,    FMQ_ROW_JSON,       FMQ_ROW_LOAD,         FMQ_ROWS_END};

/* --listen, or fedmq.endpoint, or none. */
static int choose_endpoint(const fmq_arguments_t *arguments, fmq_plan_t *plan, fmq_error_t *err)
{
    const char *endpoint = fmq_config_text(plan->config, "fedmq.endpoint");
    plan->insecure = arguments->insecure || fmq_config_bool(plan->config, "fedmq.insecure");
    plan->listen = arguments->listen ? arguments->listen : *endpoint ? endpoint : NULL;
    return plan->listen ? fmq_address_check(plan->listen, FMQ_ENDPOINT_BIND, plan->insecure, err)
                        : 0;
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    int result = -1;
    fmq_run_place_t place = {0};
    fmq_split_settings_t split;
    fmq_plan_t plan = {.server = true,
                       .splitter = true,
                       .first_client = 1,
                       .evaluator_name = "evaluator-1",
                       .resume = arguments->resume,
                       .command = "run",
                       .quiet = arguments->quiet,
                       .json = arguments->json,
                       .permits = arguments->permits,
                       .threads = arguments->threads};
    fmq_config_t *config = fmq_opening_config(arguments, words, err);
    if (!config)
        return -1;
    plan.config = config;
    if (fmq_settings_split(config, &split, err) < 0 || choose_endpoint(arguments, &plan, err) < 0)
        goto done;
    plan.clients = split.clients;
    plan.evaluator = fmq_opening_evaluator(arguments, config);
    if (fmq_opening_directory(&place, arguments, config, err) < 0)
        goto done;
    plan.directory = place.path;
    plan.lock = place.lock;
    plan.changes = place.changes;
    plan.keepsakes = place.path;
    result = fmq_federation_run(&plan, err);
    if (result < 0)
        fmq_aftermath(&fmq_command_run, arguments, &place, err);
done:
    fmq_run_place_release(&place);
    fmq_config_destroy(&config);
    return result;
}

const fmq_command_t fmq_command_run = {
    .name = "run",
    .words = "[KEY VALUE ...]",
    .summary = "Runs a whole federation in this process: router, splitter, server, clients",
    .options = options,
    .rule = FMQ_WORDS_PAIRS,
    .run = run};
