/*
 * perform.c - the steps, and what follows when one is done.
 */
#include "actors/server/perform.h"

#include <stdio.h>
#include <stdlib.h>

#include "actors/server/coordinator_private.h"
#include "actors/server/request.h"

static int close_exchange(coordinator_t *self, fmq_error_t *err);

/* From now on an exchange is open, in which nobody is asked yet. */
static void open_exchange(coordinator_t *self, const fmq_exchange_t *exchange)
{
    fmq_measurements_forget(self);
    fmq_participants_open(&self->participants, exchange, self->attention.now_ms);
}

/* While others compute, the memory of a large published state is theirs.  With something beside it
 * that is made of it, or without aggregation, every round reads it again. */
static void put_state_away(coordinator_t *self)
{
    const fmq_schema_t *beside;
    if (fmq_coordinator_shares(self) && !fmq_strategy_beside(&self->strategy, &beside))
        fmq_shared_state_put_away(&self->shared);
}

static int open_log(coordinator_t *self, fmq_error_t *err)
{
    fmq_collector_close(self->collector);
    if (fmq_round_log_open(&self->round_log, self->checkpoints.mark.run,
                           self->checkpoints.mark.round, err) < 0)
        return -1;
    fmq_collector_open(self->collector, self->round_log.updates);
    return 0;
}

/* Does the log still hold every update of an earlier process's list? */
static bool is_complete(const coordinator_t *self, const uint32_t *closed, size_t size)
{
    return !fmq_rounds_collects(&self->rounds) ||
           fmq_round_log_has_all(&self->round_log, closed, size);
}

/* An earlier process had closed the round: its list decides, nobody is asked.
 * A round that it had closed without an update is tried again instead: nothing
 * was made of it, and why it failed may be gone. */
static int close_again(coordinator_t *self, const uint32_t *closed, size_t size, fmq_error_t *err)
{
    open_exchange(self, fmq_rounds_aggregating(&self->rounds));
    for (size_t i = 0; i < size; i++) {
        fmq_participants_ask(&self->participants, closed[i]);
        fmq_participants_answered(&self->participants, closed[i]);
    }
    return close_exchange(self, err);
}

static int request(coordinator_t *self, const uint32_t *list, size_t size, fmq_error_t *err)
{
    int64_t now_ms = self->attention.now_ms;
    if (fmq_request_open(self, list, size, err) < 0)
        return -1;
    uint32_t asked = fmq_participants_count(&self->participants, now_ms).asked;
    if (asked == 0) { /* nobody who could train is here */
        fmq_participants_open(&self->participants, NULL, now_ms);
        return 0;
    }
    fmq_log_write(self->options.log, FMQ_LOG_INFO, "server", "round-began",
                  "round=%u clients=%u journaled=%zu", self->checkpoints.mark.round, asked,
                  fmq_round_log_size(&self->round_log));
    fmq_showing_show(self, FMQ_RUN_ROUND);
    put_state_away(self);
    return 0;
}

/* The first exchange of a round: what an earlier process left of it counts. */
static int begin_round(coordinator_t *self, const fmq_exchange_t *exchange, fmq_error_t *err)
{
    uint32_t *list = NULL;
    size_t size = 0;
    int rc = -1;
    fmq_participants_forget_reasons(&self->participants);
    if (open_log(self, err) < 0)
        return -1;
    int closed = fmq_round_log_closed(&self->round_log, &list, &size, err);
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

/* The server measures while clients are at it. */
static int evaluate(coordinator_t *self, const fmq_exchange_t *exchange, fmq_error_t *err)
{
    open_exchange(self, exchange);
    if (fmq_request_open(self, NULL, 0, err) < 0)
        return -1;
    put_state_away(self);
    return fmq_measurements_measure(self, err);
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
    if (fmq_rounds_collects(&self->rounds))
        fmq_round_log_keep(&self->round_log, list, size);
    int rc = fmq_round_log_save_closed(&self->round_log, list, size, err);
    free(list);
    return rc;
}

static int commit_list(coordinator_t *self, fmq_error_t *err)
{
    fmq_collector_close(self->collector);
    return settle_journal(self, err);
}

static int give_up(const coordinator_t *self, const char *rounds, fmq_error_t *err)
{
    const char *why =
        self->participants.because[0] ? self->participants.because : "the log says why";
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
    uint32_t round = self->checkpoints.mark.round;
    uint32_t size = fmq_checkpoints_count_empty(&self->checkpoints, empty);
    if (!empty)
        return 0;
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "round-empty",
                  "round=%u reason=\"%s\"", round, self->participants.because);
    if (size >= FMQ_EMPTY_ROUNDS_MAX)
        (void)snprintf(rounds, sizeof rounds, "%u rounds in a row", size);
    else if (size == round + 1 && size >= self->settings->rounds)
        (void)snprintf(rounds, sizeof rounds, "all rounds (%u)", size);
    else
        return 0;
    return give_up(self, rounds, err);
}

static bool has_usable_update(const coordinator_t *self)
{
    if (fmq_rounds_collects(&self->rounds))
        return fmq_round_log_is_usable(&self->round_log);
    return fmq_participants_count(&self->participants, self->attention.now_ms).answered > 0;
}

/* What the strategy makes of the log, in client order, is the state. */
static int aggregate(coordinator_t *self, bool usable, fmq_error_t *err)
{
    size_t size = usable ? fmq_round_log_size(&self->round_log) : 0;
    uint64_t *samples = calloc(size + 1, sizeof *samples);
    fmq_updates_t updates = {0};
    if (!samples)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to aggregate");
    if (size > 0)
        updates = fmq_round_log_read(&self->round_log, samples, !self->settings->ignore_weight);
    int rc = size > 0 ? fmq_shared_state_reclaim(&self->shared, err)
                      : fmq_shared_state_bring(&self->shared, err);
    if (rc == 0)
        rc = fmq_coordinator_aggregate(self, size > 0 ? &updates : NULL, err);
    free(samples);
    return rc < 0 ? fmq_error_prefix(err, "round %u", self->checkpoints.mark.round) : 0;
}

static int make_state(coordinator_t *self, fmq_error_t *err)
{
    bool usable = has_usable_update(self);
    if (count_empty(self, !usable, err) < 0 ||
        aggregate(self, usable && fmq_rounds_collects(&self->rounds), err) < 0)
        return -1;
    fmq_round_log_close(&self->round_log);
    return 0;
}

static int save_checkpoint(coordinator_t *self, fmq_error_t *err)
{
    if (fmq_measurements_sync(self, err) < 0 || fmq_shared_state_bring(&self->shared, err) < 0 ||
        fmq_checkpoints_complete_round(&self->checkpoints, err) < 0)
        return -1;
    if (!self->settings->save_journal)
        fmq_round_log_tidy(&self->round_log, fmq_checkpoints_keep(&self->checkpoints));
    return 0;
}

static int announce(coordinator_t *self, fmq_error_t *err)
{
    return fmq_announce_state(self, self->checkpoints.mark.round >= self->settings->rounds, err);
}

static int sum_up(coordinator_t *self, fmq_error_t *err)
{
    if (fmq_measurements_sum_up(self, err) < 0 || fmq_coordinator_save_periodic(self, err) < 0)
        return -1;
    fmq_showing_show(self, FMQ_RUN_AGGREGATED);
    return 0;
}

static int judge(coordinator_t *self, fmq_error_t *err)
{
    bool best;
    fmq_participants_count_t count =
        fmq_participants_count(&self->participants, self->attention.now_ms);
    fmq_rounds_measured(&self->rounds, self->checkpoints.mark.round);
    self->perform.unmeasured = count.answered == 0 && count.left_out > 0;
    if (fmq_measurements_judge(self, &best, err) < 0)
        return -1;
    return best ? fmq_coordinator_save_best(self, err) : 0;
}

static int finish(coordinator_t *self, fmq_error_t *err)
{
    if (self->checkpoints.mark.round > 0 &&
        self->checkpoints.mark.empty_rounds == self->checkpoints.mark.round)
        return give_up(self, "no round", err);
    fmq_participants_end(&self->participants, self->attention.now_ms);
    if (self->rounds.stopped && fmq_announce_state(self, true, err) < 0)
        return -1;
    if (fmq_coordinator_save_final(self, err) < 0)
        return -1;
    if (self->perform.unmeasured && self->checkpoints.mark.round > 0)
        return fmq_error_set(err, FMQ_ERR_NUMERIC,
                             "no client could measure the last state (%s); it is saved, but it may "
                             "be of no use: see the log",
                             self->participants.because);
    fmq_watchers_begin_end(self);
    return 0;
}

/* Opens the exchange that comes next, or ends the run. */
static int go_on(coordinator_t *self, const fmq_exchange_t *closed, fmq_error_t *err)
{
    const fmq_exchange_t *next;
    switch (fmq_rounds_next(&self->rounds, closed, self->checkpoints.mark.round, &next)) {
    case FMQ_STEP_BEGIN:
        return begin_round(self, next, err);
    case FMQ_STEP_REQUEST:
        return continue_round(self, next, err);
    case FMQ_STEP_EVALUATE:
        return evaluate(self, next, err);
    default: /* FMQ_STEP_END */
        return finish(self, err);
    }
}

static int (*const performers[])(coordinator_t *self, fmq_error_t *err) = {
    [FMQ_STEP_COMMIT] = commit_list,   [FMQ_STEP_CALL_OFF] = fmq_request_call_off,
    [FMQ_STEP_AGGREGATE] = make_state, [FMQ_STEP_CHECKPOINT] = save_checkpoint,
    [FMQ_STEP_ANNOUNCE] = announce,    [FMQ_STEP_SUM_UP] = sum_up,
    [FMQ_STEP_JUDGE] = judge};

static void log_closed(const coordinator_t *self)
{
    fmq_participants_count_t count =
        fmq_participants_count(&self->participants, self->attention.now_ms);
    bool measured = self->participants.exchange->close == FMQ_CLOSE_MEASURE;
    if (!measured)
        fmq_log_write(self->options.log, count.missing ? FMQ_LOG_WARNING : FMQ_LOG_INFO, "server",
                      "round-closed", "round=%u updates=%u rejected=%u missing=%u",
                      self->checkpoints.mark.round, count.answered, count.left_out, count.missing);
    else if (count.missing > 0)
        fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "evaluation-closed",
                      "round=%u measured=%u missing=%u", self->checkpoints.mark.round,
                      count.answered, count.missing);
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
        if (self->attention.terminated && steps[i] == FMQ_STEP_AGGREGATE)
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
    bool first = !self->perform.begun;
    self->perform.begun = true;
    fmq_participants_any_begins(&self->participants);
    if (fmq_records_tell(self, err) < 0)
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
        return fmq_request_replace(self, err);
    }
    return 0;
}

int fmq_perform_advance(coordinator_t *self, fmq_error_t *err)
{
    for (;;) {
        fmq_phase_t phase = self->participants.phase;
        if (phase == FMQ_PHASE_WAITING && fmq_records_check_trainable(self, err) < 0)
            return -1;
        fmq_decision_t decision =
            fmq_participants_decide(&self->participants, self->attention.now_ms);
        if (decision == FMQ_DECIDE_STAY)
            return 0;
        if (decide(self, decision, err) < 0)
            return -1;
        bool busy = fmq_attention_was_busy(&self->attention);
        if (self->attention.terminated || busy) /* what came in meanwhile is taken first */
            return 0;
        if (phase == FMQ_PHASE_WAITING && self->participants.phase == FMQ_PHASE_WAITING)
            return 0; /* nobody here can train */
        if (decision == FMQ_DECIDE_ASK_MORE)
            return 0;
    }
}
