/*
 * routine.c - one task of a client: train or evaluate with a permit.
 */
#include "actors/client/routine.h"

#include <stdio.h>

#include "actors/evaluation/named.h"
#include "actors/runtime/kept_workspace.h"
#include "actors/settings/settings.h"
#include "fedmq/base/clock.h"

/* What is computed with a permit, in the permit's own thread. */
typedef struct {
    const fmq_routine_t *routine;
    llm_backend_t *permit;
    llm_limits_t limits;
    size_t longest; /* tokens of an example */
    uint32_t round;
    fmq_task_state_t *state;
    fmq_message_report_t *outcome;
    fmq_error_t *err;
    int result;
} turn_t;

/* of: "train" with what stands before it. */
static int set_train_metrics(fmq_metrics_t *metrics, const char *of, const llm_train_stats_t *stats,
                             bool proximal, fmq_error_t *err)
{
    double supervised = (double)stats->supervised;
    if (fmq_named_metric(metrics, of, "loss", stats->loss_sum, err) < 0 ||
        fmq_named_metric(metrics, of, "total", (double)stats->samples, err) < 0 ||
        fmq_named_metric(metrics, of, "avg_loss", stats->loss_avg, err) < 0 ||
        fmq_named_metric(metrics, of, "token_loss",
                         supervised > 0 ? stats->nll_sum / supervised : 0, err) < 0 ||
        fmq_named_metric(metrics, of, "steps", (double)stats->steps, err) < 0)
        return -1;
    if (proximal && fmq_named_metric(metrics, of, "proximal_loss", stats->proximal_loss, err) < 0)
        return -1;
    if (stats->nan_batches > 0 &&
        fmq_named_metric(metrics, of, "nan_batches", (double)stats->nan_batches, err) < 0)
        return -1;
    return fmq_named_metric(metrics, of, "tokens", (double)stats->tokens, err);
}

/* NULL where the lead is all there is. */
static llm_team_t *others(llm_team_t *team)
{
    return llm_team_size(team) > 1 ? team : NULL;
}

static int measure_part(const fmq_routine_t *self, llm_team_t *team, fmq_examples_part_t part,
                        llm_eval_stats_t *stats, fmq_error_t *err)
{
    llm_eval_options_t options = {.batch_size = self->train.batch_size,
                                  .prefix = self->prefixes ? self->prefixes[part] : NULL,
                                  .team = others(team),
                                  .progress = self->progress,
                                  .argument = self->argument};
    return llm_evaluate_dataset(llm_team_lead(team), self->examples->parts[part], &options, stats,
                                err);
}

/* "emulator." where the model is not the full one. */
static const char *prefix_of(const fmq_routine_t *self)
{
    return self->context->offsite ? "emulator." : "";
}

/* With federate.use_diff: val_avg_loss_before or _after. */
static int measure_difference(const fmq_routine_t *self, llm_team_t *team, const char *when,
                              fmq_metrics_t *metrics, fmq_error_t *err)
{
    llm_eval_stats_t stats;
    char name[48];
    if (!self->examples->parts[FMQ_PART_VAL] || !fmq_config_bool(self->config, "federate.use_diff"))
        return 0;
    if (measure_part(self, team, FMQ_PART_VAL, &stats, err) < 0)
        return -1;
    snprintf(name, sizeof name, "%sval_avg_loss", prefix_of(self));
    return fmq_named_metric(metrics, name, when, stats.loss_avg, err);
}

static void plan_for(const fmq_routine_t *self, fmq_examples_part_t part, turn_t *turn)
{
    const llm_dataset_t *dataset = self->examples->parts[part];
    size_t most = dataset ? llm_train_tokens_max(dataset, self->train.batch_size) : 0;
    size_t longest = dataset ? llm_train_tokens_max(dataset, 1) : 0;
    if (most > turn->limits.tokens_max)
        turn->limits.tokens_max = most;
    turn->limits.sequences_max = self->train.batch_size;
    if (longest > turn->longest)
        turn->longest = longest;
}

static int train_on(const fmq_routine_t *self, llm_team_t *team, uint32_t round,
                    fmq_message_report_t *outcome, fmq_error_t *err)
{
    llm_train_options_t options = self->train;
    llm_train_stats_t stats = {0};
    bool plain = !self->prefix || !*self->prefix;
    char of[48];
    snprintf(of, sizeof of, "%strain", plain ? "" : self->prefix);
    options.round = round;
    options.prefix = self->prefixes ? self->prefixes[FMQ_PART_TRAIN] : NULL;
    options.team = others(team);
    if ((plain && measure_difference(self, team, "before", &outcome->metrics, err) < 0) ||
        llm_train_run(llm_team_lead(team), self->examples->parts[FMQ_PART_TRAIN], &options,
                      self->progress, self->argument, &stats, err) < 0 ||
        (plain && measure_difference(self, team, "after", &outcome->metrics, err) < 0))
        return -1;
    outcome->samples = stats.samples;
    return set_train_metrics(&outcome->metrics, of, &stats, options.proximal_merged != 0, err);
}

static int evaluate_part(const fmq_routine_t *self, llm_team_t *team, fmq_examples_part_t part,
                         fmq_metrics_t *metrics, fmq_error_t *err)
{
    llm_eval_stats_t stats;
    char name[48];
    if (measure_part(self, team, part, &stats, err) < 0)
        return -1;
    snprintf(name, sizeof name, "%s%s", prefix_of(self), fmq_part_name(part));
    return fmq_named_losses(metrics, name, &stats, err);
}

static bool wanted(const fmq_routine_t *self, fmq_examples_part_t part)
{
    return fmq_settings_measures(self->config, fmq_part_name(part)) &&
           fmq_examples_size(self->examples, part) > 0;
}

static int evaluate_all(const fmq_routine_t *self, llm_team_t *team, fmq_message_report_t *outcome,
                        fmq_error_t *err)
{
    for (int part = 0; part < FMQ_PARTS; part++)
        if (wanted(self, (fmq_examples_part_t)part) &&
            evaluate_part(self, team, (fmq_examples_part_t)part, &outcome->metrics, err) < 0)
            return -1;
    return 0;
}

static const fmq_schema_t *schema_of(const fmq_routine_t *self)
{
    return llm_adapter_schema(self->context->adapter);
}

/* Does the memory stay on the device when the task is over? */
static bool keeps_memory(const fmq_routine_t *self, llm_team_t *team)
{
    return fmq_workspace_is_kept(team) && !fmq_config_bool(self->config, "llm.adapter.mv_to_cpu");
}

/* Where nobody goes on with the workspace its memory makes room for the vector. */
static int take_trained(const turn_t *turn, llm_team_t *team)
{
    if (!keeps_memory(turn->routine, team))
        llm_team_strip(team);
    if (fmq_task_state_make_room(turn->state, schema_of(turn->routine), turn->err) < 0)
        return -1;
    fmq_object_drop(&turn->state->object);
    llm_workspace_get_params(llm_team_lead(team), turn->state->vector);
    return 0;
}

static int compute(const turn_t *turn, llm_team_t *team)
{
    const fmq_routine_t *self = turn->routine;
    if (fmq_task_state_load(turn->state, schema_of(self), llm_team_lead(team), turn->err) < 0 ||
        (self->emulator && llm_team_set_fixed(team, self->emulator, turn->err) < 0))
        return -1;
    if (!turn->limits.training)
        return evaluate_all(self, team, turn->outcome, turn->err);
    if (!self->keeps)
        fmq_task_state_release(turn->state);
    if (train_on(self, team, turn->round, turn->outcome, turn->err) < 0)
        return -1;
    return take_trained(turn, team);
}

static void tell_plan(const fmq_routine_t *self, llm_team_t *team)
{
    size_t spared;
    llm_recompute_t recompute = llm_workspace_recomputes(llm_team_lead(team), &spared);
    if (self->planned)
        self->planned(self->argument, recompute, spared);
    if (self->shared && llm_team_size(team) > 1)
        self->shared(self->argument, llm_team_carrier(team), llm_team_detour(team));
}

static void take_turn(void *argument)
{
    turn_t *turn = argument;
    llm_stack_t stack = fmq_context_client_stack(turn->routine->context);
    fmq_devices_t *permits = turn->routine->context->permits;
    llm_team_t *team =
        fmq_workspace_take(permits, turn->permit, &stack, &turn->limits, turn->longest, turn->err);
    turn->result = -1;
    if (!team)
        return;
    if (turn->limits.training)
        tell_plan(turn->routine, team);
    double began = fmq_clock_seconds(); /* waiting for the permit does not count */
    turn->result = compute(turn, team);
    turn->outcome->seconds = fmq_clock_seconds() - began;
    if (turn->result == 0 && keeps_memory(turn->routine, team))
        fmq_workspace_give(permits, turn->permit, &team);
    llm_team_destroy(&team);
}

static int with_a_permit(turn_t *turn, fmq_error_t *err)
{
    const fmq_routine_t *self = turn->routine;
    fmq_devices_t *permits = self->context->permits;
    turn->err = err;
    turn->permit = fmq_devices_take(permits, self->stop, self->argument);
    if (!turn->permit)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while waiting for a permit");
    fmq_devices_do(permits, turn->permit, take_turn, turn);
    fmq_devices_give(permits, &turn->permit);
    return turn->result;
}

/* Workspaces that share a device's memory: of every permit's team, those on it. */
static unsigned sharers_of(const fmq_routine_t *self)
{
    fmq_devices_t *permits = self->context->permits;
    return (unsigned)(fmq_devices_size(permits) * fmq_devices_crowd(permits));
}

int fmq_routine_train(const fmq_routine_t *self, uint32_t round, fmq_task_state_t *state,
                      fmq_message_report_t *outcome, fmq_error_t *err)
{
    outcome->samples = 0;
    if (fmq_examples_size(self->examples, FMQ_PART_TRAIN) == 0)
        return fmq_task_state_settle(state, schema_of(self), err);
    turn_t turn = {.routine = self,
                   .limits = {.training = true,
                              .recompute = fmq_settings_recompute(self->config),
                              .sharers = sharers_of(self)},
                   .round = round,
                   .state = state,
                   .outcome = outcome};
    plan_for(self, FMQ_PART_TRAIN, &turn);
    if (fmq_config_bool(self->config, "federate.use_diff"))
        plan_for(self, FMQ_PART_VAL, &turn);
    return with_a_permit(&turn, err);
}

int fmq_routine_evaluate(const fmq_routine_t *self, fmq_task_state_t *state,
                         fmq_message_report_t *outcome, fmq_error_t *err)
{
    turn_t turn = {.routine = self, .state = state, .outcome = outcome};
    for (int part = 0; part < FMQ_PARTS; part++)
        if (wanted(self, (fmq_examples_part_t)part))
            plan_for(self, (fmq_examples_part_t)part, &turn);
    return turn.limits.tokens_max == 0 ? 0 : with_a_permit(&turn, err);
}
