/*
 * optimizer.c - an optimizer node as torch.optim would read it.
 *
 * SGD, Adam and AdamW with torch's defaults and keyword arguments.  Arguments
 * that only choose another implementation of the same step (foreach, fused)
 * are taken without effect.
 */
#include "actors/settings/settings.h"

#include <float.h>
#include <stdio.h>
#include <strings.h>

#include "actors/settings/table.h"

static const double not_negative[2] = {0, DBL_MAX};
static const double below_one[2] = {0, 1 - DBL_EPSILON};

/* A take function for one real field of llm_optimizer_t. */
#define TAKE_REAL(field, range)                                                                    \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        llm_optimizer_t *optimizer = out;                                                          \
        return fmq_setting_real(config, key, range, &optimizer->field, err);                       \
    }

TAKE_REAL(lr, not_negative)
TAKE_REAL(momentum, not_negative)
TAKE_REAL(dampening, not_negative)
TAKE_REAL(weight_decay, not_negative)
TAKE_REAL(eps, not_negative)

static int take_nesterov(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_optimizer_t *optimizer = out;
    return fmq_config_get_bool(config, key, &optimizer->nesterov, err);
}

static int take_betas(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_optimizer_t *optimizer = out;
    double betas[2];
    if (fmq_setting_betas(config, key, below_one, betas, err) < 0)
        return -1;
    optimizer->beta1 = betas[0];
    optimizer->beta2 = betas[1];
    return 0;
}

static const fmq_setting_t sgd_table[] = {{"type", fmq_setting_skip},
                                          {"lr", take_lr},
                                          {"momentum", take_momentum},
                                          {"dampening", take_dampening},
                                          {"weight_decay", take_weight_decay},
                                          {"nesterov", take_nesterov},
                                          {"maximize", fmq_setting_only_off},
                                          {"foreach", fmq_setting_skip},
                                          {"differentiable", fmq_setting_only_off},
                                          {NULL, NULL}};

static const fmq_setting_t adam_table[] = {{"type", fmq_setting_skip},
                                           {"lr", take_lr},
                                           {"betas", take_betas},
                                           {"eps", take_eps},
                                           {"weight_decay", take_weight_decay},
                                           {"amsgrad", fmq_setting_only_off},
                                           {"maximize", fmq_setting_only_off},
                                           {"foreach", fmq_setting_skip},
                                           {"fused", fmq_setting_skip},
                                           {"capturable", fmq_setting_skip},
                                           {"differentiable", fmq_setting_only_off},
                                           {NULL, NULL}};

static const struct {
    const char *type;
    llm_optimizer_t fallback;
    const fmq_setting_t *table;
} kinds[] = {
    {"SGD", {.kind = LLM_SGD, .lr = 0.1}, sgd_table},
    {"Adam", {.kind = LLM_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}, adam_table},
    {"AdamW",
     {.kind = LLM_ADAMW,
      .lr = 1e-3,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .eps = 1e-8,
      .weight_decay = 0.01},
     adam_table},
};

int fmq_settings_optimizer(const fmq_config_t *config, const char *node, llm_optimizer_t *out,
                           fmq_error_t *err)
{
    char key[FMQ_SETTINGS_KEY_MAX];
    const char *type = NULL;
    snprintf(key, sizeof key, "%s.type", node);
    if (fmq_config_get_text(config, key, &type, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcasecmp(kinds[i].type, type) != 0)
            continue;
        llm_optimizer_t optimizer = kinds[i].fallback;
        if (fmq_settings_take(config, node, kinds[i].table, &optimizer, err) < 0)
            return -1;
        if (optimizer.nesterov && (optimizer.momentum <= 0 || optimizer.dampening != 0))
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "%s: '%s.nesterov' needs a momentum and no dampening",
                                 fmq_config_origin(config, key), node);
        *out = optimizer;
        return 0;
    }
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                         "%s: '%s' is '%s'; optimizers here are SGD, Adam and AdamW",
                         fmq_config_origin(config, key), key, type);
}
