/*
 * settings.c - reads federate.*, eval.*, early_stop.*, aggregator.* and fedmq.*.
 */
#include "actors/server/settings.h"

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

static void read_clients(fmq_server_settings_t *settings, const fmq_config_t *config)
{
    double rate = fmq_config_real(config, "federate.unseen_clients_rate");
    uint32_t unseen = 0;
    if (rate > 0) {
        unseen = (uint32_t)(rate * settings->clients);
        unseen = unseen > 0 ? unseen : 1;
    }
    settings->tok_len = (size_t)fmq_config_int(config, "llm.tok_len");
    settings->training = settings->clients > unseen ? settings->clients - unseen : 1;
    settings->sample_number = fmq_config_int(config, "federate.sample_client_num");
    settings->sample_rate = fmq_config_real(config, "federate.sample_client_rate");
}

static void read_limits(fmq_server_settings_t *settings, const fmq_config_t *config)
{
    uint32_t least = whole(config, "fedmq.min_clients");
    least = least < settings->clients ? least : settings->clients;
    fmq_settings_times(config, &settings->heartbeat_ms, &settings->timeout_ms);
    settings->connect_ms = fmq_settings_connect(config);
    settings->limits = (fmq_participants_limits_t){
        .min_ready = least > 0 ? least : settings->clients,
        .quorum = least > 0 ? least : 1,
        .deadline_ms = (int64_t)(fmq_config_real(config, "fedmq.round_deadline") * 1000),
        .grace_ms = settings->timeout_ms,
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

static int read_forms(fmq_server_settings_t *settings, const fmq_config_t *config, fmq_error_t *err)
{
    for (size_t i = 0; i < fmq_config_size(config, "eval.report"); i++) {
        const char *name = NULL;
        if (item(config, "eval.report", i, &name, err) < 0)
            return -1;
        const fmq_form_t *form = fmq_form_find(name);
        if (strcmp(name, "raw") == 0)
            settings->raw = true;
        else if (!form)
            return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: there is no report form '%s'",
                                 fmq_config_origin(config, "eval.report"), name);
        else if (settings->forms_size < FMQ_SERVER_FORMS_MAX)
            settings->forms[settings->forms_size++] = form;
    }
    return 0;
}

/* With offsite tuning every measurement is of the emulator or of the full model
 * and named so; a key that does not say which means eval_type's. */
static int read_best_key(fmq_server_settings_t *settings, const fmq_config_t *config,
                         fmq_error_t *err)
{
    static const char name[] = "eval.best_res_update_round_wise_key";
    static const char emulator[] = "emulator.", plugin[] = "plugin.";
    const char *key = fmq_config_text(config, name), *prefix = "";
    if (fmq_config_bool(config, "llm.offsite_tuning.use") &&
        strncmp(key, emulator, strlen(emulator)) != 0 && strncmp(key, plugin, strlen(plugin)) != 0)
        prefix = strcmp(fmq_config_text(config, "llm.offsite_tuning.eval_type"), "full") == 0
                     ? plugin
                     : emulator;
    int size = snprintf(settings->best_key, sizeof settings->best_key, "%s%s", prefix, key);
    if (size < 0 || (size_t)size >= sizeof settings->best_key)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is too long for a metric's name",
                             fmq_config_origin(config, name), key);
    return 0;
}

/* The train split is measured in training, so it alone asks for nothing. */
static int read_evaluation(fmq_server_settings_t *settings, const fmq_config_t *config,
                           fmq_error_t *err)
{
    bool measure = false;
    for (size_t i = 0; i < fmq_config_size(config, "eval.split"); i++) {
        const char *name = NULL;
        if (item(config, "eval.split", i, &name, err) < 0)
            return -1;
        measure = measure || strcmp(name, "train") != 0;
    }
    settings->eval_freq = measure ? whole(config, "eval.freq") : 0;
    if (read_best_key(settings, config, err) < 0)
        return -1;
    const char *mode = fmq_config_text(config, "early_stop.improve_indicator_mode");
    settings->early_stop = (fmq_early_stop_rule_t){
        .mode = strcmp(mode, "mean") == 0 ? FMQ_EARLY_STOP_MEAN : FMQ_EARLY_STOP_BEST,
        .patience = whole(config, "early_stop.patience"),
        .delta = fmq_config_real(config, "early_stop.delta"),
        .larger = fmq_metric_larger_is_better(settings->best_key),
    };
    return read_forms(settings, config, err);
}

static int read_rules(fmq_server_settings_t *settings, const fmq_config_t *config, fmq_error_t *err)
{
    settings->sampler = fmq_sampler_of(config, err);
    if (!settings->sampler)
        return -1;
    settings->rule = fmq_rule_of(config, err);
    settings->method = settings->rule ? fmq_strategy_of(config, err) : NULL;
    if (!settings->method)
        return -1;
    settings->ignore_weight = fmq_config_bool(config, "federate.ignore_weight");
    settings->own_data = fmq_config_bool(config, "fedmq.own_data");
    return fmq_settings_codec(config, &settings->codec, err);
}

int fmq_server_settings_read(fmq_server_settings_t *out, const fmq_config_t *config,
                             fmq_error_t *err)
{
    fmq_server_settings_t settings = {.rounds = whole(config, "federate.total_round_num"),
                                      .seed = (uint64_t)fmq_config_int(config, "seed"),
                                      .save_freq = whole(config, "federate.save_freq"),
                                      .save_to = fmq_config_text(config, "federate.save_to"),
                                      .save_journal =
                                          fmq_config_bool(config, "fedmq.save_journal")};
    fmq_split_settings_t split;
    if (fmq_settings_split(config, &split, err) < 0)
        return -1;
    settings.clients = split.clients;
    if (settings.clients == 0 || settings.clients > FMQ_PARTICIPANTS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: federate.client_num is %u",
                             fmq_config_origin(config, "federate.client_num"), settings.clients);
    read_clients(&settings, config);
    read_limits(&settings, config);
    if (read_rules(&settings, config, err) < 0 || read_evaluation(&settings, config, err) < 0)
        return -1;
    *out = settings;
    return 0;
}
