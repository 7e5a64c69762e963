/*
 * schedule.c - a scheduler node as FS-LLM and torch would read it.
 *
 * A type without a row here is refused, and so is a keyword that its torch
 * class has but fedmq does not act on.  warmup_ratio is dropped, as there.
 */
#include "actors/settings/settings.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#include "actors/settings/table.h"

static const double any_real[2] = {-DBL_MAX, DBL_MAX};
static const double not_negative[2] = {0, DBL_MAX};
static const double positive[2] = {DBL_MIN, DBL_MAX};
static const double up_to_one[2] = {0, 1};
static const double below_one[2] = {0, 1 - DBL_EPSILON};
static const int64_t from_zero[2] = {0, INT64_MAX};
static const int64_t from_one[2] = {1, INT64_MAX};

#define TAKE_REAL(field, range)                                                                    \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        llm_schedule_t *schedule = out;                                                            \
        return fmq_setting_real(config, key, range, &schedule->field, err);                        \
    }

#define TAKE_COUNT(field, range)                                                                   \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        llm_schedule_t *schedule = out;                                                            \
        int64_t value = 0;                                                                         \
        if (fmq_setting_int(config, key, range, &value, err) < 0)                                  \
            return -1;                                                                             \
        schedule->field = (uint64_t)value;                                                         \
        return 0;                                                                                  \
    }

TAKE_REAL(gamma, not_negative)
TAKE_REAL(eta_min, any_real)
TAKE_REAL(start_factor, not_negative)
TAKE_REAL(end_factor, not_negative)
TAKE_COUNT(warmup, from_zero)
TAKE_COUNT(total, from_one)
TAKE_COUNT(step_size, from_one)
TAKE_COUNT(t_max, from_one)
TAKE_COUNT(t_mult, from_one)
TAKE_REAL(power, not_negative)

#define TAKE_CYCLE(field, range)                                                                   \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        llm_schedule_t *schedule = out;                                                            \
        return fmq_setting_real(config, key, range, &schedule->cycle.field, err);                  \
    }

#define TAKE_CYCLE_FLAG(field)                                                                     \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        llm_schedule_t *schedule = out;                                                            \
        return fmq_config_get_bool(config, key, &schedule->cycle.field, err);                      \
    }

TAKE_CYCLE(max_lr, not_negative)
TAKE_CYCLE(pct_start, up_to_one)
TAKE_CYCLE(div_factor, positive)
TAKE_CYCLE(final_div_factor, positive)
TAKE_CYCLE(base_momentum, below_one)
TAKE_CYCLE(max_momentum, below_one)
TAKE_CYCLE_FLAG(three_phase)
TAKE_CYCLE_FLAG(cycle_momentum)

static int take_strategy(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    const char *text = NULL;
    if (fmq_config_get_text(config, key, &text, err) < 0)
        return -1;
    if (strcmp(text, "cos") != 0 && strcmp(text, "linear") != 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is '%s', expected cos or linear",
                             fmq_config_origin(config, key), key, text);
    ((llm_schedule_t *)out)->cycle.linear = strcmp(text, "linear") == 0;
    return 0;
}

static int take_milestones(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_schedule_t *schedule = out;
    size_t size = fmq_config_size(config, key);
    if (size > LLM_MILESTONES_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "%s: '%s' has %zu items, at most %d",
                             fmq_config_origin(config, key), key, size, LLM_MILESTONES_MAX);
    for (size_t i = 0; i < size; i++) {
        char item[FMQ_SETTINGS_KEY_MAX + 24];
        int64_t value = 0;
        snprintf(item, sizeof item, "%s.%zu", key, i);
        if (fmq_setting_int(config, item, from_zero, &value, err) < 0)
            return -1;
        schedule->milestones[i] = (uint64_t)value;
    }
    schedule->milestones_size = size;
    return 0;
}

#define TAKEN_BY_ALL                                                                               \
    {"type", fmq_setting_skip}, {"warmup_ratio", fmq_setting_skip},                                \
    {                                                                                              \
        "verbose", fmq_setting_skip                                                                \
    }

static const fmq_setting_t none_table[] = {TAKEN_BY_ALL, {NULL, NULL}};
static const fmq_setting_t warmup_step_table[] = {
    TAKEN_BY_ALL, {"warmup_steps", take_warmup}, {"total_steps", take_total}, {NULL, NULL}};
static const fmq_setting_t noam_table[] = {
    TAKEN_BY_ALL, {"warmup_steps", take_warmup}, {NULL, NULL}};
static const fmq_setting_t step_table[] = {
    TAKEN_BY_ALL, {"step_size", take_step_size}, {"gamma", take_gamma}, {NULL, NULL}};
static const fmq_setting_t multistep_table[] = {
    TAKEN_BY_ALL, {"milestones", take_milestones}, {"gamma", take_gamma}, {NULL, NULL}};
static const fmq_setting_t exponential_table[] = {
    TAKEN_BY_ALL, {"gamma", take_gamma}, {NULL, NULL}};
static const fmq_setting_t cosine_table[] = {
    TAKEN_BY_ALL, {"T_max", take_t_max}, {"eta_min", take_eta_min}, {NULL, NULL}};
static const fmq_setting_t linear_table[] = {TAKEN_BY_ALL,
                                             {"start_factor", take_start_factor},
                                             {"end_factor", take_end_factor},
                                             {"total_iters", take_total},
                                             {NULL, NULL}};

static const fmq_setting_t constant_table[] = {
    TAKEN_BY_ALL, {"factor", take_start_factor}, {"total_iters", take_total}, {NULL, NULL}};
static const fmq_setting_t polynomial_table[] = {
    TAKEN_BY_ALL, {"total_iters", take_total}, {"power", take_power}, {NULL, NULL}};
static const fmq_setting_t restarts_table[] = {TAKEN_BY_ALL,
                                               {"T_0", take_t_max},
                                               {"T_mult", take_t_mult},
                                               {"eta_min", take_eta_min},
                                               {NULL, NULL}};
/* epochs and steps_per_epoch wait in fields that the class has no use for. */
static const fmq_setting_t cycle_table[] = {TAKEN_BY_ALL,
                                            {"max_lr", take_max_lr},
                                            {"total_steps", take_total},
                                            {"epochs", take_warmup},
                                            {"steps_per_epoch", take_step_size},
                                            {"pct_start", take_pct_start},
                                            {"anneal_strategy", take_strategy},
                                            {"cycle_momentum", take_cycle_momentum},
                                            {"base_momentum", take_base_momentum},
                                            {"max_momentum", take_max_momentum},
                                            {"div_factor", take_div_factor},
                                            {"final_div_factor", take_final_div_factor},
                                            {"three_phase", take_three_phase},
                                            {NULL, NULL}};

/* needs: keywords without which the class cannot be made. */
static const struct {
    const char *type;
    llm_schedule_t fallback;
    const fmq_setting_t *table;
    const char *needs[2];
} kinds[] = {
    {"", {.kind = LLM_SCHEDULE_NONE}, none_table, {NULL}},
    {"warmup_step",
     {.kind = LLM_SCHEDULE_WARMUP_STEP},
     warmup_step_table,
     {"warmup_steps", "total_steps"}},
    {"warmup_noam", {.kind = LLM_SCHEDULE_WARMUP_NOAM}, noam_table, {"warmup_steps", NULL}},
    {"StepLR", {.kind = LLM_SCHEDULE_STEP, .gamma = 0.1}, step_table, {"step_size", NULL}},
    {"MultiStepLR",
     {.kind = LLM_SCHEDULE_MULTISTEP, .gamma = 0.1},
     multistep_table,
     {"milestones", NULL}},
    {"ExponentialLR", {.kind = LLM_SCHEDULE_EXPONENTIAL}, exponential_table, {"gamma", NULL}},
    {"CosineAnnealingLR", {.kind = LLM_SCHEDULE_COSINE}, cosine_table, {"T_max", NULL}},
    {"LinearLR",
     {.kind = LLM_SCHEDULE_LINEAR, .start_factor = 1.0 / 3, .end_factor = 1, .total = 5},
     linear_table,
     {NULL}},
    {"ConstantLR",
     {.kind = LLM_SCHEDULE_CONSTANT, .start_factor = 1.0 / 3, .total = 5},
     constant_table,
     {NULL}},
    {"PolynomialLR",
     {.kind = LLM_SCHEDULE_POLYNOMIAL, .total = 5, .power = 1},
     polynomial_table,
     {NULL}},
    {"CosineAnnealingWarmRestarts",
     {.kind = LLM_SCHEDULE_RESTARTS, .t_mult = 1},
     restarts_table,
     {"T_0", NULL}},
    {"OneCycleLR",
     {.kind = LLM_SCHEDULE_ONE_CYCLE,
      .cycle = {.pct_start = 0.3,
                .div_factor = 25,
                .final_div_factor = 1e4,
                .base_momentum = 0.85,
                .max_momentum = 0.95,
                .cycle_momentum = true}},
     cycle_table,
     {"max_lr", NULL}},
};

static int check_needs(const fmq_config_t *config, const char *node, const char *const needs[2],
                       fmq_error_t *err)
{
    for (size_t i = 0; i < 2 && needs[i]; i++) {
        char key[FMQ_SETTINGS_KEY_MAX];
        snprintf(key, sizeof key, "%s.%s", node, needs[i]);
        if (!fmq_config_given(config, key)) {
            snprintf(key, sizeof key, "%s.type", node);
            return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' needs '%s.%s'",
                                 fmq_config_origin(config, key), fmq_config_text(config, key), node,
                                 needs[i]);
        }
    }
    return 0;
}

/* torch's rule: total_steps, or epochs times steps_per_epoch. */
static int count_cycle(const fmq_config_t *config, const char *node, llm_schedule_t *schedule,
                       fmq_error_t *err)
{
    uint64_t epochs = schedule->warmup, steps = schedule->step_size;
    if (schedule->total == 0 && epochs > 0 && steps > 0 && epochs <= INT64_MAX / steps)
        schedule->total = epochs * steps;
    schedule->warmup = schedule->step_size = 0;
    if (schedule->total > 0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: '%s' needs '%s.total_steps', or '%s.epochs' and '%s.steps_per_epoch'",
                         fmq_config_origin(config, node), node, node, node, node);
}

int fmq_settings_schedule(const fmq_config_t *config, const char *node, llm_schedule_t *out,
                          fmq_error_t *err)
{
    char key[FMQ_SETTINGS_KEY_MAX];
    const char *type = NULL;
    snprintf(key, sizeof key, "%s.type", node);
    if (fmq_config_get_text(config, key, &type, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        llm_schedule_t schedule = kinds[i].fallback;
        if (check_needs(config, node, kinds[i].needs, err) < 0 ||
            fmq_settings_take(config, node, kinds[i].table, &schedule, err) < 0)
            return -1;
        if (schedule.kind == LLM_SCHEDULE_ONE_CYCLE &&
            count_cycle(config, node, &schedule, err) < 0)
            return -1;
        *out = schedule;
        return 0;
    }
    return fmq_error_set(
        err, FMQ_ERR_UNSUPPORTED,
        "%s: '%s' is '%s'; schedulers here are warmup_step, warmup_noam, StepLR, "
        "MultiStepLR, ExponentialLR, CosineAnnealingLR, CosineAnnealingWarmRestarts, "
        "LinearLR, ConstantLR, PolynomialLR and OneCycleLR",
        fmq_config_origin(config, key), key, type);
}
