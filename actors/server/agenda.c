/*
 * agenda.c - reads federate.*, eval.*, early_stop.*, aggregator.* and fedmq.*.
 */
#include "actors/server/agenda.h"

#include <stdio.h>
#include <string.h>

#include "actors/settings/settings.h"

static uint32_t whole(const fmq_config_t *config, const char *key)
{
    int64_t value = fmq_config_int(config, key);
    if (value < 0)
        return 0;
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void read_clients(fmq_agenda_t *agenda, const fmq_config_t *config)
{
    double rate = fmq_config_real(config, "federate.unseen_clients_rate");
    uint32_t unseen = 0;
    if (rate > 0) {
        unseen = (uint32_t)(rate * agenda->clients);
        unseen = unseen > 0 ? unseen : 1;
    }
    agenda->tok_len = (size_t)fmq_config_int(config, "llm.tok_len");
    agenda->training = agenda->clients > unseen ? agenda->clients - unseen : 1;
    agenda->sample_number = fmq_config_int(config, "federate.sample_client_num");
    agenda->sample_rate = fmq_config_real(config, "federate.sample_client_rate");
}

static void read_limits(fmq_agenda_t *agenda, const fmq_config_t *config)
{
    uint32_t least = whole(config, "fedmq.min_clients");
    least = least < agenda->clients ? least : agenda->clients;
    fmq_settings_times(config, &agenda->heartbeat_ms, &agenda->timeout_ms);
    agenda->connect_ms = fmq_settings_connect(config);
    agenda->limits = (fmq_round_limits_t){
        .min_ready = least > 0 ? least : agenda->clients,
        .quorum = least > 0 ? least : 1,
        .deadline_ms = (int64_t)(fmq_config_real(config, "fedmq.round_deadline") * 1000),
        .grace_ms = agenda->timeout_ms,
        .progress_ms = (int64_t)(fmq_config_real(config, "fedmq.progress_timeout") * 1000),
    };
}

/* The text of item i of a list. */
static int item(const fmq_config_t *config, const char *list, size_t i, const char **text,
                fmq_error_t *err)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s.%zu", list, i);
    return fmq_config_get_text(config, key, text, err);
}

static int read_forms(fmq_agenda_t *agenda, const fmq_config_t *config, fmq_error_t *err)
{
    for (size_t i = 0; i < fmq_config_size(config, "eval.report"); i++) {
        const char *name = NULL;
        if (item(config, "eval.report", i, &name, err) < 0)
            return -1;
        const fmq_form_t *form = fmq_form_find(name);
        if (strcmp(name, "raw") == 0)
            agenda->raw = true;
        else if (!form)
            return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: there is no report form '%s'",
                                 fmq_config_origin(config, "eval.report"), name);
        else if (agenda->forms_size < FMQ_AGENDA_FORMS_MAX)
            agenda->forms[agenda->forms_size++] = form;
    }
    return 0;
}

/* With offsite tuning every measurement is of the emulator or of the full model
 * and named so; a key that does not say which means eval_type's. */
static int read_best_key(fmq_agenda_t *agenda, const fmq_config_t *config, fmq_error_t *err)
{
    static const char name[] = "eval.best_res_update_round_wise_key";
    static const char emulator[] = "emulator.", plugin[] = "plugin.";
    const char *key = fmq_config_text(config, name), *prefix = "";
    if (fmq_config_bool(config, "llm.offsite_tuning.use") &&
        strncmp(key, emulator, strlen(emulator)) != 0 && strncmp(key, plugin, strlen(plugin)) != 0)
        prefix = strcmp(fmq_config_text(config, "llm.offsite_tuning.eval_type"), "full") == 0
                     ? plugin
                     : emulator;
    int size = snprintf(agenda->best_key, sizeof agenda->best_key, "%s%s", prefix, key);
    if (size < 0 || (size_t)size >= sizeof agenda->best_key)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is too long for a metric's name",
                             fmq_config_origin(config, name), key);
    return 0;
}

/* The train split is measured in training, so it alone asks for nothing. */
static int read_evaluation(fmq_agenda_t *agenda, const fmq_config_t *config, fmq_error_t *err)
{
    bool measure = false;
    for (size_t i = 0; i < fmq_config_size(config, "eval.split"); i++) {
        const char *name = NULL;
        if (item(config, "eval.split", i, &name, err) < 0)
            return -1;
        measure = measure || strcmp(name, "train") != 0;
    }
    agenda->eval_freq = measure ? whole(config, "eval.freq") : 0;
    if (read_best_key(agenda, config, err) < 0)
        return -1;
    const char *mode = fmq_config_text(config, "early_stop.improve_indicator_mode");
    agenda->early_stop = (fmq_early_stop_rule_t){
        .mode = strcmp(mode, "mean") == 0 ? FMQ_EARLY_STOP_MEAN : FMQ_EARLY_STOP_BEST,
        .patience = whole(config, "early_stop.patience"),
        .delta = fmq_config_real(config, "early_stop.delta"),
        .larger = fmq_metric_larger_is_better(agenda->best_key),
    };
    return read_forms(agenda, config, err);
}

static int read_rules(fmq_agenda_t *agenda, const fmq_config_t *config, fmq_error_t *err)
{
    agenda->sampler = fmq_sampler_find(fmq_config_text(config, "federate.sampler"), err);
    if (!agenda->sampler)
        return -1;
    agenda->rule = fmq_rule_find(fmq_config_text(config, "aggregator.robust_rule"), err);
    agenda->method = agenda->rule ? fmq_strategy_of(config, err) : NULL;
    if (!agenda->method)
        return -1;
    agenda->ignore_weight = fmq_config_bool(config, "federate.ignore_weight");
    agenda->own_data = fmq_config_bool(config, "fedmq.own_data");
    int codec = fmq_codec_find(fmq_config_text(config, "fedmq.codec"));
    if (codec < 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no codec '%s' (fedmq.codec)",
                             fmq_config_text(config, "fedmq.codec"));
    agenda->codec = (fmq_codec_t)codec;
    return 0;
}

int fmq_agenda_read(fmq_agenda_t *out, const fmq_config_t *config, fmq_error_t *err)
{
    fmq_agenda_t agenda = {.rounds = whole(config, "federate.total_round_num"),
                           .seed = (uint64_t)fmq_config_int(config, "seed"),
                           .save_freq = whole(config, "federate.save_freq"),
                           .save_to = fmq_config_text(config, "federate.save_to"),
                           .save_journal = fmq_config_bool(config, "fedmq.save_journal")};
    fmq_split_settings_t split;
    if (fmq_settings_split(config, &split, err) < 0)
        return -1;
    agenda.clients = split.clients;
    if (agenda.clients == 0 || agenda.clients > FMQ_ROUND_CLIENTS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: federate.client_num is %u",
                             fmq_config_origin(config, "federate.client_num"), agenda.clients);
    read_clients(&agenda, config);
    read_limits(&agenda, config);
    if (read_rules(&agenda, config, err) < 0 || read_evaluation(&agenda, config, err) < 0)
        return -1;
    *out = agenda;
    return 0;
}
