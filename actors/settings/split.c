/*
 * split.c - how the records are cut and who gets them.
 *
 * It also says who takes part: federate.method global gives everything to one
 * client, client_idx_for_local_train keeps one client of many.
 */
#include "actors/settings/settings.h"

#include <string.h>
#include <strings.h>

#include "actors/settings/table.h"
#include "fedmq/extend/splitter.h"

static int take_alpha(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    static const double range[2] = {1e-6, 1e6};
    return fmq_setting_real(config, key, range, &((fmq_split_settings_t *)out)->alpha, err);
}

static const fmq_setting_t arguments_table[] = {{"alpha", take_alpha}, {NULL, NULL}};

static const struct {
    const char *name;
    llm_splitter_t how;
    const char *help;
} splitters[] = {
    {"iid", LLM_SPLIT_IID, "equal parts of the shuffled records"},
    {"lda", LLM_SPLIT_LDA, "each category by shares from a Dirichlet distribution (alpha)"},
    {"meta", LLM_SPLIT_META, "whole categories to each client"},
};

const char *fmq_splitter_at(size_t index, const char **help)
{
    if (index >= sizeof splitters / sizeof *splitters)
        return NULL;
    *help = splitters[index].help;
    return splitters[index].name;
}

static int read_splitter(const fmq_config_t *config, fmq_split_settings_t *split, fmq_error_t *err)
{
    const char *name = fmq_config_text(config, "data.splitter");
    if (!*name && (split->parts == 1 || fmq_config_bool(config, "fedmq.own_data")))
        name = "iid";
    for (size_t i = 0; i < sizeof splitters / sizeof *splitters; i++) {
        if (strcasecmp(splitters[i].name, name) != 0)
            continue;
        split->how = splitters[i].how;
        if (fmq_config_size(config, "data.splitter_args") == 0)
            return 0;
        return fmq_settings_take(config, "data.splitter_args.0", arguments_table, split, err);
    }
    split->own = fmq_config_offered(config, "data.splitter", name);
    split->how = LLM_SPLIT_OWN;
    if (split->own && fmq_config_size(config, "data.splitter_args") == 0)
        return 0;
    if (split->own)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: 'data.splitter_args' is for lda; '%s' is an extension's, which "
                             "reads fedmq.extension",
                             fmq_config_origin(config, "data.splitter_args"), name);
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: 'data.splitter' is '%s'; choose iid, lda or meta",
                         fmq_config_origin(config, "data.splitter"), name);
}

int fmq_settings_split(const fmq_config_t *config, fmq_split_settings_t *out, fmq_error_t *err)
{
    fmq_split_settings_t split = {.alpha = 0.5};
    int64_t clients = fmq_config_int(config, "federate.client_num");
    int64_t only = fmq_config_int(config, "federate.client_idx_for_local_train");
    bool global = strcasecmp(fmq_config_text(config, "federate.method"), "global") == 0;
    if (global)
        clients = 1;
    if (clients < 1 || clients > UINT16_MAX)
        return fmq_error_set(
            err, FMQ_ERR_CONFIG, "%s: 'federate.client_num' is %lld, it must lie in [1, %d]",
            fmq_config_origin(config, "federate.client_num"), (long long)clients, UINT16_MAX);
    if (only < 0 || only > clients)
        return fmq_error_set(
            err, FMQ_ERR_CONFIG,
            "%s: 'federate.client_idx_for_local_train' is %lld, there are %lld clients",
            fmq_config_origin(config, "federate.client_idx_for_local_train"), (long long)only,
            (long long)clients);
    split.apart = fmq_config_bool(config, "fedmq.meta_parts_apart");
    split.parts = (uint32_t)clients;
    split.only = (uint32_t)only;
    split.clients = only > 0 ? 1 : split.parts;
    double shares[3] = {0};
    if (fmq_setting_shares(config, "data.splits", shares, err) < 0 ||
        read_splitter(config, &split, err) < 0)
        return -1;
    split.train = shares[0];
    split.val = shares[1];
    *out = split;
    return 0;
}
