/*
 * perform.c - does what rounds.h orders, one step after the other.
 *
 * The crash story.  A round's plan (who is asked) is on the disk before anybody is
 * asked; an update before its client may forget it; the list of whose updates count
 * (COMMIT) before anything is made of them; metrics before the checkpoint; the
 * checkpoint before the state is announced.  So whoever is killed anywhere goes on
 * from the newest checkpoint, asks those of the plan whose updates are not there, or
 * makes of a closed list what was made of it before: the same bytes.  Aggregating
 * leaves nothing behind but the checkpoint that follows it.
 */
#include "actors/server/coordinator_private.h"

#include <stdio.h>
#include <stdlib.h>

static int ask(coordinator_t *self, uint32_t client, fmq_task_kind_t kind, fmq_error_t *err)
{
    fmq_participants_ask(&self->participants, client);
    fmq_participants_excuse(&self->participants, client, self->now_ms);
    self->progress[client - 1] = (progress_t){0, 0};
    return fmq_coordinator_post_task(self, client, kind, err);
}

/* ready clients that may train and were not asked yet, into list */
static size_t candidates(const coordinator_t *self, uint32_t *list)
{
    size_t size = 0;
    for (uint32_t k = 1; k <= self->settings->training; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (participant->alive && participant->ready && !participant->asked &&
            !participant->untrained)
            list[size++] = k;
    }
    return size;
}

/* Chooses among the candidates; *chosen is the caller's, also when empty. */
static int sample(const coordinator_t *self, size_t wanted, uint32_t **chosen, size_t *size,
                  fmq_error_t *err)
{
    uint32_t *list = calloc(self->settings->training, sizeof *list);
    uint32_t *result = calloc(self->settings->training, sizeof *result);
    int rc = -1;
    if (!list || !result) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to sample clients");
        goto fail;
    }
    fmq_sampling_t sampling = {.seed = self->settings->seed,
                               .round = self->mark.round,
                               .candidates = list,
                               .size = candidates(self, list),
                               .wanted = wanted};
    rc = fmq_sampler_choose(self->settings->sampler, &sampling, result, size, err);
fail:
    free(list);
    if (rc < 0)
        free(result);
    else
        *chosen = result;
    return rc;
}

static int open_journal(coordinator_t *self, fmq_error_t *err)
{
    fmq_update_log_options_t options = {.directory = self->journals,
                                        .run = self->mark.run,
                                        .round = self->mark.round,
                                        .schema = self->options.schema,
                                        .log = self->options.log};
    fmq_collector_close(self->collector);
    fmq_update_log_close(&self->journal);
    self->journal = fmq_update_log_open(&options, err);
    if (!self->journal)
        return -1;
    fmq_collector_open(self->collector, self->journal);
    return 0;
}

/* Who takes part: as an earlier process has planned, or a new sample. */
static int make_plan(coordinator_t *self, uint32_t **plan, size_t *size, fmq_error_t *err)
{
    int found = fmq_update_log_load_list(self->journal, FMQ_UPDATE_LOG_PLAN, plan, size, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    size_t wanted = fmq_sampler_wanted(self->settings->sample_number, self->settings->sample_rate,
                                       self->settings->training);
    if (sample(self, wanted, plan, size, err) < 0)
        return -1;
    if (*size == 0)
        return 0;
    return fmq_update_log_save_list(self->journal, FMQ_UPDATE_LOG_PLAN, *plan, *size, err);
}

static int ask_planned(coordinator_t *self, const uint32_t *plan, size_t size, fmq_error_t *err)
{
    for (size_t i = 0; i < size; i++) {
        if (plan[i] < 1 || plan[i] > self->settings->training)
            continue;
        bool here = self->participants.exchange->accept == FMQ_ACCEPT_UPDATE &&
                    fmq_update_log_find(self->journal, plan[i]);
        if (!here) {
            if (ask(self, plan[i], self->participants.exchange->task, err) < 0)
                return -1;
            continue;
        }
        fmq_participants_ask(&self->participants, plan[i]);
        fmq_participants_answered(&self->participants, plan[i]);
    }
    return 0;
}

static int close_exchange(coordinator_t *self, fmq_error_t *err);

/* From now on an exchange is open, in which nobody is asked yet. */
static void open_exchange(coordinator_t *self, const fmq_exchange_t *exchange)
{
    fmq_coordinator_drop_answers(self);
    fmq_participants_open(&self->participants, exchange, self->now_ms);
}

/* Does the journal still hold every update of an earlier process's list? */
static bool is_complete(const coordinator_t *self, const uint32_t *closed, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (fmq_coordinator_collects(self) && !fmq_update_log_find(self->journal, closed[i]))
            return false;
    return true;
}

/* An earlier process had closed the round: its list decides, nobody is asked.
 * A round that it had closed without an update is tried again instead: nothing
 * was made of it, and why it failed may be gone. */
static int close_again(coordinator_t *self, const uint32_t *closed, size_t size, fmq_error_t *err)
{
    open_exchange(self, fmq_rounds_aggregating(self->exchanges, self->exchanges_size));
    for (size_t i = 0; i < size; i++) {
        fmq_participants_ask(&self->participants, closed[i]);
        fmq_participants_answered(&self->participants, closed[i]);
    }
    return close_exchange(self, err);
}

static int ask_all(coordinator_t *self, fmq_error_t *err)
{
    for (uint32_t k = 1; k <= self->settings->clients; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (participant->alive && participant->ready &&
            ask(self, k, self->participants.exchange->task, err) < 0)
            return -1;
    }
    return 0;
}

/* Asks whom the open exchange is for: all, or those of the round's plan.  list is an earlier
 * process's, or empty. */
static int request(coordinator_t *self, const uint32_t *list, size_t size, fmq_error_t *err)
{
    uint32_t *plan = NULL;
    bool everybody = self->participants.exchange->who == FMQ_WHO_EVERYBODY;
    int rc = 0;
    if (!everybody && size == 0) {
        rc = make_plan(self, &plan, &size, err);
        list = plan;
    }
    if (rc == 0)
        rc = everybody ? ask_all(self, err) : ask_planned(self, list, size, err);
    free(plan);
    if (rc < 0)
        return -1;
    uint32_t asked = fmq_participants_count(&self->participants, self->now_ms).asked;
    if (asked == 0) { /* nobody who could train is here */
        fmq_participants_open(&self->participants, NULL, self->now_ms);
        return 0;
    }
    fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "round-began",
                  "round=%u clients=%u journaled=%zu", self->mark.round, asked,
                  fmq_update_log_size(self->journal));
    fmq_coordinator_show(self, FMQ_RUN_ROUND);
    fmq_coordinator_put_state_away(self);
    return 0;
}

/* The first exchange of a round: what an earlier process left of it counts. */
static int begin_round(coordinator_t *self, const fmq_exchange_t *exchange, fmq_error_t *err)
{
    uint32_t *list = NULL;
    size_t size = 0;
    int rc = -1;
    self->left_out_because[0] = '\0';
    if (open_journal(self, err) < 0)
        return -1;
    int closed = fmq_update_log_load_list(self->journal, FMQ_UPDATE_LOG_CLOSED, &list, &size, err);
    if (closed < 0)
        goto fail;
    if (closed > 0 && size > 0 && is_complete(self, list, size)) {
        rc = close_again(self, list, size, err);
        goto fail;
    }
    /* A list that lost an update still says whose updates the round is made of. */
    open_exchange(self, exchange);
    rc = request(self, list, size, err);
fail:
    free(list);
    return rc;
}

/* A later exchange of a round is with those of its plan, or with everybody. */
static int continue_round(coordinator_t *self, const fmq_exchange_t *exchange, fmq_error_t *err)
{
    open_exchange(self, exchange);
    return request(self, NULL, 0, err);
}

/* Others take the place of those who are gone; the plan grows by them. */
static int ask_more(coordinator_t *self, fmq_error_t *err)
{
    uint32_t *chosen = NULL, *plan = NULL;
    size_t size = 0, planned = 0;
    int rc = -1;
    size_t missing = fmq_participants_count(&self->participants, self->now_ms).missing;
    if (sample(self, missing, &chosen, &size, err) < 0)
        return -1;
    for (size_t i = 0; i < size; i++)
        if (ask(self, chosen[i], self->participants.exchange->task, err) < 0)
            goto fail;
    plan = calloc(self->settings->clients, sizeof *plan);
    if (!plan) {
        (void)fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a plan");
        goto fail;
    }
    for (uint32_t k = 1; k <= self->settings->clients; k++)
        if (self->participants.all[k - 1].asked)
            plan[planned++] = k;
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "clients-replaced",
                  "round=%u gone=%zu asked=%zu", self->mark.round, missing, size);
    rc = fmq_update_log_save_list(self->journal, FMQ_UPDATE_LOG_PLAN, plan, planned, err);
fail:
    free(chosen);
    free(plan);
    return rc;
}

static int read_update(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                       fmq_error_t *err)
{
    return fmq_update_log_read_range(argument, index, first, count, values, err);
}

/* What the strategy makes of the log, in client order, is the state. */
static int aggregate(coordinator_t *self, bool usable, fmq_error_t *err)
{
    size_t size = usable ? fmq_update_log_size(self->journal) : 0;
    uint64_t *samples = calloc(size + 1, sizeof *samples);
    if (!samples)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to aggregate");
    for (size_t i = 0; i < size; i++)
        samples[i] = fmq_update_log_at(self->journal, i)->samples;
    fmq_updates_t updates = {.size = size,
                             .samples = self->settings->ignore_weight ? NULL : samples,
                             .elements = fmq_schema_elements(self->options.schema),
                             .read = read_update,
                             .argument = self->journal};
    int rc = size > 0 ? fmq_coordinator_reclaim_state(self, err)
                      : fmq_coordinator_bring_state(self, err);
    if (rc == 0)
        rc = fmq_coordinator_aggregate(self, size > 0 ? &updates : NULL, err);
    free(samples);
    return rc < 0 ? fmq_error_prefix(err, "round %u", self->mark.round) : 0;
}

/* The journal's list of who counts, durable before anything depends on it. */
static int settle_journal(coordinator_t *self, fmq_error_t *err)
{
    uint32_t *list = calloc(self->settings->clients, sizeof *list);
    size_t size = 0;
    if (!list)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to close a round");
    for (uint32_t k = 1; k <= self->settings->clients; k++)
        if (self->participants.all[k - 1].answered)
            list[size++] = k;
    if (fmq_coordinator_collects(self))
        fmq_update_log_keep(self->journal, list, size);
    int rc = fmq_update_log_save_list(self->journal, FMQ_UPDATE_LOG_CLOSED, list, size, err);
    free(list);
    return rc;
}

/* Those who did not answer in time need not go on. */
static int call_off(coordinator_t *self, fmq_error_t *err)
{
    for (uint32_t k = 1; k <= self->settings->clients; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (participant->asked && !participant->answered &&
            fmq_coordinator_post_task(self, k, FMQ_TASK_WAIT, err) < 0)
            return -1;
    }
    return 0;
}

/* An update of no example teaches nothing, whatever it weighs. */
static bool has_usable_update(const coordinator_t *self)
{
    if (!fmq_coordinator_collects(self))
        return fmq_participants_count(&self->participants, self->now_ms).answered > 0;
    for (size_t i = 0; i < fmq_update_log_size(self->journal); i++)
        if (fmq_update_log_at(self->journal, i)->samples > 0)
            return true;
    return false;
}

static int give_up(const coordinator_t *self, const char *rounds, fmq_error_t *err)
{
    const char *why = self->left_out_because[0] ? self->left_out_because : "the log says why";
    return fmq_error_set(err, FMQ_ERR_NUMERIC,
                         "%s brought no usable update (%s); against NaN a lower train.optimizer.lr "
                         "or grad.grad_clip helps",
                         rounds, why);
}

/* Counts rounds that brought nothing; too many in a row end the run, and so does
 * the last one when no round before it brought anything either.  It fails before
 * its checkpoint is written: whoever goes on tries this round again. */
static int count_empty(coordinator_t *self, bool empty, fmq_error_t *err)
{
    char rounds[48];
    if (!empty) {
        self->mark.empty_rounds = 0;
        return 0;
    }
    uint32_t size = ++self->mark.empty_rounds;
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "round-empty",
                  "round=%u reason=\"%s\"", self->mark.round, self->left_out_because);
    bool all = size == self->mark.round + 1;
    if (size >= FMQ_EMPTY_ROUNDS_MAX)
        (void)snprintf(rounds, sizeof rounds, "%u rounds in a row", size);
    else if (all && size >= self->settings->rounds)
        (void)snprintf(rounds, sizeof rounds, "all rounds (%u)", size);
    else
        return 0;
    return give_up(self, rounds, err);
}

static void tidy(const coordinator_t *self)
{
    uint32_t keep = self->mark.round > 0 ? self->mark.round - 1 : 0;
    fmq_checkpoint_prune(self->checkpoints, keep);
    for (uint32_t round = keep; round > 0 && !self->settings->save_journal; round--) {
        fmq_update_log_remove(self->journals, round - 1);
        if (keep - round >= 2) /* older ones went with earlier rounds */
            return;
    }
}

static int finish(coordinator_t *self, fmq_error_t *err)
{
    if (self->mark.round > 0 && self->mark.empty_rounds == self->mark.round)
        return give_up(self, "no round", err);
    fmq_participants_end(&self->participants, self->now_ms);
    if (self->stopped && fmq_coordinator_post_state(self, true, err) < 0)
        return -1;
    if (fmq_coordinator_save_final(self, err) < 0)
        return -1;
    if (self->unmeasured && self->mark.round > 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC,
                             "no client could measure the last state (%s); it is saved, but it may "
                             "be of no use: see the log",
                             self->left_out_because);
    fmq_coordinator_begin_end(self);
    return 0;
}

/* The server's own part of an evaluation, while clients are at theirs. */
static int measure(coordinator_t *self, fmq_error_t *err)
{
    fmq_measuring_t measuring = {
        .state = self->state, .progress = fmq_coordinator_progress, .argument = self};
    self->own.size = 0;
    if (!self->options.measure)
        return 0;
    if (fmq_coordinator_bring_state(self, err) < 0)
        return -1;
    fmq_error_t why; /* being told to stop is no error of the run's */
    int rc = self->options.measure(self->options.measure_argument, &measuring, &self->own, &why);
    if (rc == 0 || self->terminated)
        return 0;
    return fmq_error_set(err, why.code, "measuring round %u: %s", self->mark.round, why.text);
}

static int begin_evaluation(coordinator_t *self, const fmq_exchange_t *exchange, fmq_error_t *err)
{
    open_exchange(self, exchange);
    if (ask_all(self, err) < 0)
        return -1;
    fmq_coordinator_put_state_away(self);
    return measure(self, err);
}

/* Opens the exchange that comes next, or ends the run. */
static int go_on(coordinator_t *self, const fmq_exchange_t *closed, fmq_error_t *err)
{
    const fmq_rounds_facts_t standing = {.exchanges = self->exchanges,
                                         .size = self->exchanges_size,
                                         .closed = closed,
                                         .round = self->mark.round,
                                         .rounds = self->settings->rounds,
                                         .eval_freq = self->settings->eval_freq,
                                         .evaluated = self->evaluated,
                                         .stopped = self->stopped};
    const fmq_exchange_t *next = fmq_rounds_next(&standing);
    if (!next)
        return finish(self, err);
    if (next->close == FMQ_CLOSE_MEASURE)
        return begin_evaluation(self, next, err);
    return next == self->exchanges ? begin_round(self, next, err) : continue_round(self, next, err);
}

static int commit_list(coordinator_t *self, fmq_error_t *err)
{
    fmq_collector_close(self->collector);
    return settle_journal(self, err);
}

static int make_state(coordinator_t *self, fmq_error_t *err)
{
    bool usable = has_usable_update(self);
    if (count_empty(self, !usable, err) < 0 ||
        aggregate(self, usable && fmq_coordinator_collects(self), err) < 0)
        return -1;
    fmq_update_log_close(&self->journal);
    return 0;
}

static int save_checkpoint(coordinator_t *self, fmq_error_t *err)
{
    self->mark.round++;
    if (fmq_metrics_log_sync(self->history, err) < 0 ||
        fmq_coordinator_bring_state(self, err) < 0 ||
        fmq_checkpoint_put(self->checkpoints, &self->mark, &self->sections, err) < 0)
        return -1;
    tidy(self);
    return 0;
}

static int announce(coordinator_t *self, fmq_error_t *err)
{
    return fmq_coordinator_post_state(self, self->mark.round >= self->settings->rounds, err);
}

static int sum_up(coordinator_t *self, fmq_error_t *err)
{
    if (fmq_coordinator_note_training(self, err) < 0 ||
        fmq_coordinator_save_periodic(self, err) < 0)
        return -1;
    fmq_coordinator_show(self, FMQ_RUN_AGGREGATED);
    return 0;
}

static int judge(coordinator_t *self, fmq_error_t *err)
{
    fmq_participants_count_t count = fmq_participants_count(&self->participants, self->now_ms);
    self->evaluated = self->mark.round;
    self->unmeasured = count.answered == 0 && count.left_out > 0;
    return fmq_coordinator_note_evaluation(self, err);
}

static int (*const performers[])(coordinator_t *self, fmq_error_t *err) = {
    [FMQ_STEP_COMMIT] = commit_list,   [FMQ_STEP_CALL_OFF] = call_off,
    [FMQ_STEP_AGGREGATE] = make_state, [FMQ_STEP_CHECKPOINT] = save_checkpoint,
    [FMQ_STEP_ANNOUNCE] = announce,    [FMQ_STEP_SUM_UP] = sum_up,
    [FMQ_STEP_JUDGE] = judge};

static void log_closed(const coordinator_t *self)
{
    fmq_participants_count_t count = fmq_participants_count(&self->participants, self->now_ms);
    bool measured = self->participants.exchange->close == FMQ_CLOSE_MEASURE;
    if (!measured)
        fmq_log_write(self->options.log, count.missing ? FMQ_LOG_WARNING : FMQ_LOG_INFO, "server",
                      "round-closed", "round=%u updates=%u rejected=%u missing=%u",
                      self->mark.round, count.answered, count.left_out, count.missing);
    else if (count.missing > 0)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "evaluation-closed",
                      "round=%u measured=%u missing=%u", self->mark.round, count.answered,
                      count.missing);
}

static int close_exchange(coordinator_t *self, fmq_error_t *err)
{
    fmq_round_step_t steps[FMQ_ROUND_STEPS_MAX];
    size_t size = fmq_rounds_closing(self->participants.exchange, steps);
    if (steps[0] != FMQ_STEP_COMMIT) /* else what is said to be closed is so for good */
        log_closed(self);
    for (size_t i = 0; i < size; i++) {
        if (performers[steps[i]](self, err) < 0)
            return -1;
        if (steps[i] == FMQ_STEP_COMMIT)
            log_closed(self);
        if (self->terminated && steps[i] == FMQ_STEP_AGGREGATE)
            return 0; /* the checkpoint before and the journal hold it all */
    }
    return go_on(self, self->participants.exchange, err);
}

static bool anybody_can_train(const coordinator_t *self)
{
    for (uint32_t k = 1; k <= self->settings->training; k++)
        if (self->participants.all[k - 1].alive && self->participants.all[k - 1].ready &&
            !self->participants.all[k - 1].untrained)
            return true;
    return false;
}

/* The first round waits for as many clients as it is told, later ones for
 * anybody who can train. */
static int begin(coordinator_t *self, fmq_error_t *err)
{
    bool first = !self->begun;
    self->begun = true;
    self->participants.limits.min_ready = 1;
    if (fmq_coordinator_tell_fits(self, err) < 0)
        return -1;
    return first || anybody_can_train(self) ? go_on(self, NULL, err) : 0;
}

static int decide(coordinator_t *self, fmq_decision_t decision, fmq_error_t *err)
{
    switch (decision) {
    case FMQ_DECIDE_STAY:
        return 0;
    case FMQ_DECIDE_BEGIN:
        return begin(self, err);
    case FMQ_DECIDE_FULL:
    case FMQ_DECIDE_PARTIAL:
        return close_exchange(self, err);
    case FMQ_DECIDE_ASK_MORE:
        return ask_more(self, err);
    }
    return 0;
}

int fmq_coordinator_advance(coordinator_t *self, fmq_error_t *err)
{
    for (;;) {
        fmq_phase_t phase = self->participants.phase;
        if (phase == FMQ_PHASE_WAITING && fmq_coordinator_check_trainable(self, err) < 0)
            return -1;
        fmq_decision_t decision = fmq_participants_decide(&self->participants, self->now_ms);
        if (decision == FMQ_DECIDE_STAY)
            return 0;
        if (decide(self, decision, err) < 0)
            return -1;
        bool busy = self->busy;
        self->busy = false;
        if (self->terminated || busy) /* what came in meanwhile is taken first */
            return 0;
        if (phase == FMQ_PHASE_WAITING && self->participants.phase == FMQ_PHASE_WAITING)
            return 0; /* nobody here can train */
        if (decision == FMQ_DECIDE_ASK_MORE)
            return 0;
    }
}
