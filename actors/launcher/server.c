/*
 * server.c - fedmq server: the router, the splitter and the server of a run
 * whose clients are other processes.
 */
#include "actors/launcher/address.h"
#include "actors/launcher/federation.h"
#include "actors/launcher/opening.h"

static const fmq_option_t options[] = {
    FMQ_ROW_CFG,
    FMQ_ROW_CLIENT_CFG,
    FMQ_ROW_DIRECTORY,
    FMQ_ROW_RESUME,
    FMQ_ROW_BROKER,
    FMQ_ROW_LISTEN,
    FMQ_ROW_INSECURE,
    FMQ_ROW("no-splitter", FLAG, no_splitter, NULL, "a fedmq splitter, or own data, elsewhere"),
    FMQ_ROW_EVALUATOR,
    FMQ_ROW_NO_EVALUATOR,
    FMQ_ROW_PERMITS,
    FMQ_ROW_THREADS,
    FMQ_ROW_QUIET,
    FMQ_ROW_JSON,
    FMQ_ROW_LOAD,
    FMQ_ROWS_END};

static int choose_endpoint(const fmq_arguments_t *arguments, fmq_plan_t *plan,
                           char endpoint[FMQ_ENDPOINT_MAX], fmq_error_t *err)
{
    plan->insecure = arguments->insecure || fmq_config_bool(plan->config, "fedmq.insecure");
    if (arguments->broker && arguments->listen)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "--broker is a router elsewhere, --listen one here: give one of them");
    if (arguments->broker) {
        plan->connect = arguments->broker;
        return fmq_address_check(plan->connect, FMQ_ENDPOINT_CONNECT, plan->insecure, err);
    }
    plan->listen = arguments->listen;
    if (!plan->listen && fmq_address_of_server(plan->config, false, endpoint, err) < 0)
        return -1;
    if (!plan->listen)
        plan->listen = endpoint;
    return fmq_address_check(plan->listen, FMQ_ENDPOINT_BIND, plan->insecure, err);
}

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    int result = -1;
    char endpoint[FMQ_ENDPOINT_MAX];
    fmq_run_place_t place = {0};
    fmq_config_t *config = fmq_opening_config(arguments, words, err);
    if (!config)
        return -1;
    fmq_plan_t plan = {.config = config,
                       .server = true,
                       .splitter =
                           !arguments->no_splitter && !fmq_config_bool(config, "fedmq.own_data"),
                       .resume = arguments->resume,
                       .command = "server",
                       .quiet = arguments->quiet,
                       .json = arguments->json,
                       .permits = arguments->permits,
                       .threads = arguments->threads,
                       .evaluator = fmq_opening_evaluator(arguments, config),
                       .evaluator_name = "evaluator-1"};
    if (choose_endpoint(arguments, &plan, endpoint, err) < 0)
        goto done;
    if (fmq_opening_directory(&place, arguments, config, err) < 0)
        goto done;
    plan.directory = place.path;
    plan.lock = place.lock;
    plan.changes = place.changes;
    result = fmq_federation_run(&plan, err);
    if (result < 0)
        fmq_aftermath(&fmq_command_server, arguments, &place, err);
done:
    fmq_run_place_release(&place);
    fmq_config_destroy(&config);
    return result;
}

const fmq_command_t fmq_command_server = {
    .name = "server",
    .words = "[KEY VALUE ...]",
    .summary = "Leads a run over tcp; the router and the splitter are here unless told otherwise",
    .options = options,
    .rule = FMQ_WORDS_PAIRS,
    .run = run};
