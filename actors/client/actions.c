/*
 * actions.c - what a client does when its course asks for it.
 *
 * Training and evaluation run here, in the actor's thread; between two steps
 * it reads what has come, so that a newer task, the run's end or $TERM stops
 * the work at hand.
 */
#include "actors/client/client_private.h"

#include <stdlib.h>

#include "fedmq/broker/state.h"

static uint64_t elements(const fmq_client_t *self)
{
    return fmq_schema_elements(llm_adapter_schema(self->shared.adapter));
}

static int should_stop(void *argument)
{
    fmq_client_t *self = argument;
    fmq_client_pump(self);
    return self->terminated || self->refused.code != FMQ_OK || fmq_course_overtaken(&self->course);
}

static int on_step(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    fmq_client_t *self = argument;
    (void)tokens;
    fmq_link_set_progress(self->link, step, steps);
    return should_stop(self);
}

static fmq_routine_t routine(fmq_client_t *self)
{
    return (fmq_routine_t){.shared = &self->shared,
                           .config = self->config,
                           .examples = &self->examples,
                           .train = self->train,
                           .progress = on_step,
                           .stop = should_stop,
                           .argument = self};
}

static void do_load(fmq_client_t *self)
{
    fmq_error_t err = {0};
    if (!self->own[FMQ_PART_TRAIN] && !self->own[FMQ_PART_VAL] && !self->own[FMQ_PART_TEST]) {
        self->wants_shard = true;
        fmq_client_fetch_shard(self);
        return;
    }
    int result = fmq_examples_make(&self->examples, self->own, self->shared.tokenizer,
                                   fmq_client_tok_len(self), &err);
    fmq_client_loaded(self, result, &err);
}

static void do_drop(fmq_client_t *self)
{
    if (self->state.active)
        fmq_link_cancel(self->link, &self->state.digest, NULL);
    self->state.active = false;
    if (self->has_offered)
        fmq_link_withdraw(self->link, &self->offered, NULL);
    self->has_offered = false;
}

static void do_fetch(fmq_client_t *self)
{
    const fmq_schema_t *schema = llm_adapter_schema(self->shared.adapter);
    const fmq_note_task_t *task = &self->course.task;
    fmq_error_t err = {0};
    if (self->local && self->has_own) {
        fmq_course_fetched(&self->course);
        return;
    }
    if (!self->vector)
        self->vector = malloc((elements(self) ? elements(self) : 1) * sizeof *self->vector);
    if (!self->vector) {
        fmq_error_set(&err, FMQ_ERR_NOMEM, "out of memory for a state of %llu elements",
                      (unsigned long long)elements(self));
        fmq_client_fail(self, &err);
        return;
    }
    fmq_state_reader_begin(&self->state, schema, &task->state, self->vector);
    if (fmq_link_fetch(self->link, self->server, &task->state, 0, fmq_state_bytes_max(schema),
                       &err) < 0) {
        self->state.active = false;
        fmq_client_fail(self, &err);
    }
}

/* Encodes and publishes what was trained, for the server alone. */
static int offer(fmq_client_t *self, fmq_note_report_t *outcome, fmq_error_t *err)
{
    const fmq_note_task_t *task = &self->course.task;
    if (task->codec > FMQ_CODEC_BF16)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "the server asks for codec %u, which is not known here", task->codec);
    fmq_object_t *object = fmq_state_encode(llm_adapter_schema(self->shared.adapter), self->vector,
                                            (fmq_codec_t)task->codec, err);
    if (!object)
        return -1;
    int result = fmq_link_publish(self->link, object, self->server, err);
    if (result == 0) {
        self->offered = *fmq_object_digest(object);
        self->has_offered = true;
        outcome->phase = FMQ_REPORT_OFFER;
        outcome->update = self->offered;
        outcome->update_bytes = fmq_object_bytes(object);
    }
    fmq_object_drop(&object);
    return result;
}

/* A vector is kept only where the next task goes on from it. */
static void put_vector_away(fmq_client_t *self, bool trained)
{
    if (self->local && (trained || self->has_own)) {
        self->has_own = true;
        return;
    }
    free(self->vector);
    self->vector = NULL;
}

static void do_train(fmq_client_t *self)
{
    fmq_note_report_t outcome = {.phase = FMQ_REPORT_FAILED};
    fmq_error_t err = {0};
    fmq_routine_t work = routine(self);
    uint32_t round = self->course.task.round;
    int result = fmq_routine_train(&work, round, self->vector, &outcome, &err);
    bool wanted = !self->terminated && !fmq_course_overtaken(&self->course);
    if (result == 0 && wanted)
        result = fmq_client_keepsake_save(self, &err);
    if (result == 0 && wanted)
        result = offer(self, &outcome, &err);
    fmq_link_set_progress(self->link, 0, 0);
    if (result == 0) {
        fmq_log_write(self->shared.log, FMQ_LOG_INFO, self->name, "trained",
                      "round=%u samples=%llu seconds=%.3f", round,
                      (unsigned long long)outcome.samples, outcome.seconds);
        fmq_course_finish(&self->course, &outcome);
    } else if (err.code == FMQ_ERR_STOPPED) {
        fmq_course_finish(&self->course, &outcome);
    } else {
        fmq_client_fail(self, &err);
    }
    put_vector_away(self, result == 0);
}

static void do_evaluate(fmq_client_t *self)
{
    fmq_note_report_t outcome = {.phase = FMQ_REPORT_MEASURED};
    fmq_error_t err = {0};
    fmq_routine_t work = routine(self);
    int result = fmq_routine_evaluate(&work, self->vector, &outcome, &err);
    fmq_link_set_progress(self->link, 0, 0);
    if (result == 0 || err.code == FMQ_ERR_STOPPED)
        fmq_course_finish(&self->course, &outcome);
    else
        fmq_client_fail(self, &err);
    put_vector_away(self, false);
}

static void do_report(fmq_client_t *self)
{
    uint8_t body[FMQ_NOTE_MAX];
    fmq_error_t err = {0};
    size_t size = fmq_note_report_encode(&self->course.report, body, sizeof body, &err);
    if (size == 0 || fmq_link_note(self->link, self->server, "report", body, size, &err) < 0)
        fmq_log_write(self->shared.log, FMQ_LOG_ERROR, self->name, "report-failed", "reason=\"%s\"",
                      err.text);
}

static void (*const actions[])(fmq_client_t *self) = {
    [FMQ_DO_LOAD] = do_load,   [FMQ_DO_DROP] = do_drop,         [FMQ_DO_FETCH] = do_fetch,
    [FMQ_DO_TRAIN] = do_train, [FMQ_DO_EVALUATE] = do_evaluate, [FMQ_DO_REPORT] = do_report};

void fmq_client_act(fmq_client_t *self, fmq_course_action_t action)
{
    if (action > FMQ_DO_NOTHING && action < FMQ_DO_END)
        actions[action](self);
}
