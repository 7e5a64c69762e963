/*
 * evaluator.c - fedmq evaluator: measures the states of a run that is going on.
 *
 * Without --cfg it asks the run for its configuration, so that the address is
 * all one needs to know.
 */
#include <stdlib.h>
#include <unistd.h>

#include "actors/launcher/address.h"
#include "actors/launcher/attach.h"
#include "actors/launcher/federation.h"
#include "actors/launcher/opening.h"

static const fmq_option_t options[] = {
    FMQ_ROW("attach", TEXT, attach, "tcp://HOST:PORT", "the run's router"),
    FMQ_ROW_CFG,
    FMQ_ROW_MODEL,
    FMQ_ROW("data", TEXT, data, "FILE", "own records, instead of the server-held ones"),
    FMQ_ROW("name", TEXT, name, "NAME", "evaluator-NAME is how the run sees it"),
    FMQ_ROW("once", FLAG, once, NULL, "measure the newest state and end"),
    FMQ_ROW_INSECURE,
    FMQ_ROW_THREADS,
    FMQ_ROW_QUIET,
    FMQ_ROW_JSON,
    FMQ_ROW_LOAD,
    FMQ_ROWS_END};

static int run(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err)
{
    char name[FMQ_MEMBER_NAME_MAX];
    llm_records_t *own = NULL;
    int result = -1;
    if (!arguments->attach)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "give --attach tcp://HOST:PORT");
    if (fmq_address_check(arguments->attach, FMQ_ENDPOINT_CONNECT, arguments->insecure, err) < 0)
        return -1;
    fmq_config_t *config = fmq_attach_open(arguments, words, arguments->attach, err);
    if (!config)
        return -1;
    fmq_plan_t plan = {.config = config,
                       .connect = arguments->attach,
                       .insecure = arguments->insecure,
                       .evaluator = true,
                       .asked = !arguments->cfg,
                       .once = arguments->once,
                       .measurements = !arguments->quiet,
                       .quiet = arguments->quiet,
                       .json = arguments->json,
                       .permits = 1,
                       .threads = arguments->threads};
    if (arguments->data &&
        !(own = fmq_opening_file(arguments->data, NULL,
                                 fmq_config_text(config, "fedmq.data_fields"), err)))
        goto done;
    plan.own[2] = own;
    if (arguments->name) {
        snprintf(name, sizeof name, "evaluator-%s", arguments->name);
        plan.evaluator_name = name;
    }
    result = fmq_federation_run(&plan, err);
done:
    llm_records_destroy(&own);
    fmq_config_destroy(&config);
    return result;
}

const fmq_command_t fmq_command_evaluator = {
    .name = "evaluator",
    .words = "[KEY VALUE ...]",
    .summary = "Attaches to a run and measures its states; comes and goes as it likes",
    .options = options,
    .rule = FMQ_WORDS_PAIRS,
    .run = run};
