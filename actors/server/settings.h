/*
 * settings.h - what the configuration asks of the server, as plain numbers.
 *
 * The only file of the server's parts that reads configuration keys is
 * settings.c.  Texts are borrowed from the configuration.
 */
#ifndef FEDMQ_ACTORS_SERVER_SETTINGS_H
#define FEDMQ_ACTORS_SERVER_SETTINGS_H

#include "actors/evaluation/early_stop.h"
#include "actors/evaluation/summary.h"
#include "actors/server/participants.h"
#include "actors/strategy/strategy.h"
#include "fedmq/base/config.h"
#include "fedmq/broker/state.h"
#include "fedmq/extend/sampler.h"

#define FMQ_SERVER_FORMS_MAX 4

typedef struct {
    uint64_t seed;
    uint32_t rounds, clients;
    uint32_t training; /* clients 1 .. training train, those above are only evaluated */
    fmq_participants_limits_t limits;
    uint32_t heartbeat_ms, timeout_ms, connect_ms;

    const fmq_sampler_t *sampler;
    int64_t sample_number;
    double sample_rate;

    bool own_data; /* clients bring their data: nobody knows how many they have */

    const fmq_strategy_ops_t *method;
    const fmq_rule_t *rule;
    bool ignore_weight;
    fmq_codec_t codec;

    uint32_t eval_freq; /* rounds; 0: clients never measure */
    const fmq_form_t *forms[FMQ_SERVER_FORMS_MAX];
    size_t forms_size;
    bool raw;                           /* also every client's own measurements */
    char best_key[FMQ_METRIC_NAME_MAX]; /* with offsite tuning "emulator.val_loss" or
                                         * "plugin.val_loss", whatever is meant */
    fmq_early_stop_rule_t early_stop;

    size_t tok_len; /* llm.tok_len, for what is said of records */

    uint32_t save_freq;  /* rounds; 0: never */
    const char *save_to; /* "" : nowhere */
    bool save_journal;
} fmq_server_settings_t;

/* FMQ_ERR_CONFIG or FMQ_ERR_UNSUPPORTED, *out untouched. */
int fmq_server_settings_read(fmq_server_settings_t *out, const fmq_config_t *config,
                             fmq_error_t *err);

#endif
