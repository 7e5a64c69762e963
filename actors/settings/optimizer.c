/*
 * optimizer.c - an optimizer node as torch.optim would read it.
 *
 * Classes of torch.optim, transformers' Adafactor and bitsandbytes' AdamW8bit with
 * their defaults and keyword arguments.  Arguments that only choose another
 * implementation of the same step (foreach, fused) are taken without effect.
 */
#include "actors/settings/settings.h"

#include <float.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "actors/settings/table.h"

static const double not_negative[2] = {0, DBL_MAX};
static const double not_positive[2] = {-DBL_MAX, 0};
static const double positive[2] = {DBL_MIN, DBL_MAX};
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
TAKE_REAL(lr_decay, not_negative)
TAKE_REAL(initial_accumulator, not_negative)
TAKE_REAL(alpha, not_negative)
TAKE_REAL(clip, positive)
TAKE_REAL(beta2_decay, not_positive)

#define TAKE_FLAG(field)                                                                           \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        llm_optimizer_t *optimizer = out;                                                          \
        return fmq_config_get_bool(config, key, &optimizer->field, err);                           \
    }

TAKE_FLAG(nesterov)
TAKE_FLAG(maximize)
TAKE_FLAG(amsgrad)
TAKE_FLAG(centered)
TAKE_FLAG(scale_parameter)
TAKE_FLAG(relative_step)
TAKE_FLAG(warmup_init)

/* Python's None: what the class does without. */
static bool is_none(const fmq_config_t *config, const char *key)
{
    const char *text = NULL;
    return fmq_config_get_text(config, key, &text, NULL) == 0 &&
           (!*text || strcasecmp(text, "None") == 0 || strcmp(text, "null") == 0);
}

static int take_beta1(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    return is_none(config, key)
               ? 0
               : fmq_setting_real(config, key, below_one, &((llm_optimizer_t *)out)->beta1, err);
}

/* Adafactor's two, of which torch's first may be None: the least step above 1. */
static int take_two_eps(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_optimizer_t *optimizer = out;
    char first[FMQ_SETTINGS_KEY_MAX + 4], second[FMQ_SETTINGS_KEY_MAX + 4];
    (void)snprintf(first, sizeof first, "%s.0", key);
    (void)snprintf(second, sizeof second, "%s.1", key);
    if (fmq_config_size(config, key) != 2)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' must be two numbers, as (1e-30, 1e-3)",
                             fmq_config_origin(config, key), key);
    if (!(optimizer->kind == LLM_ADAFACTOR && is_none(config, first)) &&
        fmq_setting_real(config, first, not_negative, &optimizer->eps, err) < 0)
        return -1;
    return fmq_setting_real(config, second, not_negative, &optimizer->eps2, err);
}

static int take_min_8bit_size(const fmq_config_t *config, const char *key, void *out,
                              fmq_error_t *err)
{
    static const int64_t from_zero[2] = {0, INT64_MAX};
    int64_t size = 0;
    if (fmq_setting_int(config, key, from_zero, &size, err) < 0)
        return -1;
    ((llm_optimizer_t *)out)->min_8bit_size = (uint64_t)size;
    return 0;
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
                                          {"maximize", take_maximize},
                                          {"foreach", fmq_setting_skip},
                                          {"fused", fmq_setting_skip},
                                          {"differentiable", fmq_setting_only_off},
                                          {NULL, NULL}};

static const fmq_setting_t adam_table[] = {{"type", fmq_setting_skip},
                                           {"lr", take_lr},
                                           {"betas", take_betas},
                                           {"eps", take_eps},
                                           {"weight_decay", take_weight_decay},
                                           {"amsgrad", take_amsgrad},
                                           {"maximize", take_maximize},
                                           {"foreach", fmq_setting_skip},
                                           {"fused", fmq_setting_skip},
                                           {"capturable", fmq_setting_skip},
                                           {"differentiable", fmq_setting_only_off},
                                           {NULL, NULL}};

static const fmq_setting_t adagrad_table[] = {
    {"type", fmq_setting_skip},
    {"lr", take_lr},
    {"lr_decay", take_lr_decay},
    {"weight_decay", take_weight_decay},
    {"initial_accumulator_value", take_initial_accumulator},
    {"eps", take_eps},
    {"maximize", take_maximize},
    {"foreach", fmq_setting_skip},
    {"fused", fmq_setting_skip},
    {"differentiable", fmq_setting_only_off},
    {NULL, NULL}};

static const fmq_setting_t rmsprop_table[] = {{"type", fmq_setting_skip},
                                              {"lr", take_lr},
                                              {"alpha", take_alpha},
                                              {"eps", take_eps},
                                              {"weight_decay", take_weight_decay},
                                              {"momentum", take_momentum},
                                              {"centered", take_centered},
                                              {"maximize", take_maximize},
                                              {"foreach", fmq_setting_skip},
                                              {"capturable", fmq_setting_skip},
                                              {"differentiable", fmq_setting_only_off},
                                              {NULL, NULL}};

static const fmq_setting_t adafactor_table[] = {{"type", fmq_setting_skip},
                                                {"lr", take_lr},
                                                {"beta2_decay", take_beta2_decay},
                                                {"eps", take_two_eps},
                                                {"d", take_clip},
                                                {"weight_decay", take_weight_decay},
                                                {"maximize", take_maximize},
                                                {"foreach", fmq_setting_skip},
                                                {NULL, NULL}};

static const fmq_setting_t other_adafactor_table[] = {{"type", fmq_setting_skip},
                                                      {"lr", take_lr},
                                                      {"eps", take_two_eps},
                                                      {"clip_threshold", take_clip},
                                                      {"decay_rate", take_beta2_decay},
                                                      {"beta1", take_beta1},
                                                      {"weight_decay", take_weight_decay},
                                                      {"scale_parameter", take_scale_parameter},
                                                      {"relative_step", take_relative_step},
                                                      {"warmup_init", take_warmup_init},
                                                      {NULL, NULL}};

static const fmq_setting_t coded_table[] = {{"type", fmq_setting_skip},
                                            {"lr", take_lr},
                                            {"betas", take_betas},
                                            {"eps", take_eps},
                                            {"weight_decay", take_weight_decay},
                                            {"min_8bit_size", take_min_8bit_size},
                                            {"amsgrad", fmq_setting_only_off},
                                            {"block_wise", fmq_setting_only_true},
                                            {"is_paged", fmq_setting_skip},
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
    {"Adagrad", {.kind = LLM_ADAGRAD, .lr = 1e-2, .eps = 1e-10}, adagrad_table},
    {"RMSprop", {.kind = LLM_RMSPROP, .lr = 1e-2, .alpha = 0.99, .eps = 1e-8}, rmsprop_table},
    {"Adafactor",
     {.kind = LLM_ADAFACTOR,
      .lr = 1e-2,
      .beta2_decay = -0.8,
      .eps = FLT_EPSILON,
      .eps2 = 1e-3,
      .clip = 1},
     adafactor_table},
    {"transformers.Adafactor",
     {.kind = LLM_ADAFACTOR_HF,
      .eps = 1e-30,
      .eps2 = 1e-3,
      .clip = 1,
      .beta2_decay = -0.8,
      .scale_parameter = true,
      .relative_step = true},
     other_adafactor_table},
    {"AdamW8bit",
     {.kind = LLM_ADAMW_8BIT,
      .lr = 1e-3,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .eps = 1e-8,
      .weight_decay = 0.01,
      .min_8bit_size = 4096},
     coded_table},
};

/* What the classes' constructors refuse. */
static int check(const fmq_config_t *config, const char *node, const llm_optimizer_t *optimizer,
                 fmq_error_t *err)
{
    char lr[FMQ_SETTINGS_KEY_MAX];
    const char *origin = fmq_config_origin(config, node);
    (void)snprintf(lr, sizeof lr, "%s.lr", node);
    if (optimizer->nesterov && (optimizer->momentum <= 0 || optimizer->dampening != 0))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '%s.nesterov' needs a momentum and no dampening", origin, node);
    if (optimizer->warmup_init && !optimizer->relative_step)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s.warmup_init' needs relative_step",
                             origin, node);
    if (optimizer->relative_step && fmq_config_given(config, lr))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '%s' cannot be given with relative_step, which makes rates of "
                             "its own; set relative_step False",
                             fmq_config_origin(config, lr), lr);
    return 0;
}

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
        if (check(config, node, &optimizer, err) < 0)
            return -1;
        *out = optimizer;
        return 0;
    }
    return fmq_error_set(
        err, FMQ_ERR_UNSUPPORTED,
        "%s: '%s' is '%s'; optimizers here are SGD, Adam, AdamW, Adagrad, RMSprop, "
        "Adafactor, transformers.Adafactor and AdamW8bit",
        fmq_config_origin(config, key), key, type);
}
