/*
 * actions.c - what a client does when its course asks for it.
 *
 * Training and evaluation run here, in the actor's thread; between two steps
 * it reads what has come, so that a newer task, the run's end or $TERM stops
 * the work at hand.
 */
#include "actors/client/client_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/lent_state.h"
#include "fedmq/extend/codec.h"

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
    fmq_devices_move(self->context.permits);
    return should_stop(self);
}

/* While it waits for a permit its progress is that of those who have one: a
 * count without an end, which no display takes for steps. */
static int while_waiting(void *argument)
{
    fmq_client_t *self = argument;
    fmq_link_set_progress(self->link, fmq_devices_moves(self->context.permits), 0);
    return should_stop(self);
}

/* Says once what training computes again, whenever that is something else than
 * before; of many clients of a process one tells who looks on. */
static void on_plan(void *argument, llm_recompute_t recompute, size_t spared)
{
    fmq_client_t *self = argument;
    const char *what = llm_recompute_name(recompute);
    char line[160];
    if (recompute == self->recomputes)
        return;
    self->recomputes = recompute;
    fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "recompute",
                  "what=%s spared_mib=%zu", what, spared >> 20);
    snprintf(line, sizeof line,
             "%s computes %s again in backward, which spares %zu MiB (fedmq.recompute)", self->name,
             what, spared >> 20);
    if (self->context.say && self->number == 1 && recompute != LLM_RECOMPUTE_NONE)
        self->context.say(self->context.say_argument, line);
}

static void on_shared(void *argument, const char *carrier, const char *detour)
{
    fmq_client_t *self = argument;
    if (self->carrier_told)
        return;
    self->carrier_told = true;
    if (detour)
        fmq_log_write(self->context.log, FMQ_LOG_WARNING, self->name, "exchange",
                      "carrier=\"%s\" reason=\"%s\"", carrier, detour);
    else
        fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "exchange", "carrier=\"%s\"",
                      carrier);
}

/* What the frozen prefix depends on beside the tokens. */
static fmq_digest_t prefix_tag(const fmq_client_t *self)
{
    fmq_digest_t model = llm_model_digest(fmq_context_client_model(&self->context));
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    fmq_digest_add(&state, model.bytes, sizeof model.bytes);
    if (self->has_emulator)
        fmq_digest_add(&state, self->emulator_digest.bytes, sizeof self->emulator_digest.bytes);
    return fmq_digest_end(&state);
}

static void tag_prefixes(fmq_client_t *self, const fmq_digest_t *tag)
{
    for (int part = 0; part < FMQ_PARTS; part++) {
        if (self->prefixes[part])
            llm_prefix_cache_tag(self->prefixes[part], tag);
    }
}

/* What the next task's emulator makes useless is no room for others to miss. */
static void put_prefixes_away(fmq_client_t *self)
{
    const fmq_digest_t nothing = {{0}};
    if (self->offsite.bilevel && !self->offsite.released)
        tag_prefixes(self, &nothing);
}

static fmq_routine_t routine(fmq_client_t *self)
{
    fmq_digest_t tag = prefix_tag(self);
    tag_prefixes(self, &tag);
    return (fmq_routine_t){.context = &self->context,
                           .config = self->config,
                           .examples = &self->examples,
                           .prefixes = self->prefixes,
                           .emulator = self->has_emulator ? self->emulator : NULL,
                           .train = self->train,
                           .progress = on_step,
                           .stop = while_waiting,
                           .planned = on_plan,
                           .shared = on_shared,
                           .argument = self};
}

static void do_drop(fmq_client_t *self)
{
    fmq_client_fetch_cancel(self);
    fmq_client_put_state_away(self);
    if (self->has_offered)
        fmq_link_withdraw(self->link, &self->offered, NULL);
    self->has_offered = false;
}

/* The vector becomes the update, unless the next task goes on from it. */
static fmq_object_t *update_of(fmq_client_t *self, fmq_codec_t codec, fmq_error_t *err)
{
    const fmq_schema_t *schema = llm_adapter_schema(self->context.adapter);
    fmq_task_state_t *sent = fmq_client_sent(self);
    if (sent == &self->own_state && fmq_client_own_is_here(self))
        return fmq_state_encode(schema, sent->vector, codec, err);
    return fmq_state_give(schema, &sent->vector, codec, err);
}

/* Publishes what was trained, for the server alone. */
static int offer(fmq_client_t *self, fmq_message_report_t *outcome, fmq_error_t *err)
{
    const fmq_message_task_t *task = &self->course.task;
    if (!fmq_state_knows(llm_adapter_schema(self->context.adapter), task->codec))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "the server asks for codec %u, which is not known here%s", task->codec,
                             task->codec < FMQ_CODEC_OWN_FIRST
                                 ? ""
                                 : ": it is an extension's, to be given as --load FILE.so");
    fmq_object_t *object = update_of(self, (fmq_codec_t)task->codec, err);
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

static void log_trained(const fmq_client_t *self, uint32_t round,
                        const fmq_message_report_t *outcome)
{
    char emulator[FMQ_DIGEST_HEX_SIZE] = "none";
    if (self->has_emulator)
        fmq_digest_hex(&self->emulator_digest, emulator);
    fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "trained",
                  "round=%u samples=%llu seconds=%.3f emulator=%.12s", round,
                  (unsigned long long)outcome->samples, outcome->seconds, emulator);
}

static void do_train(fmq_client_t *self)
{
    fmq_message_report_t outcome = {.phase = FMQ_REPORT_FAILED};
    fmq_error_t err = {0};
    uint32_t round = self->course.task.round;
    fmq_routine_t work = routine(self);
    int result = fmq_client_train(self, &work, &outcome, &err);
    bool wanted = !self->terminated && !fmq_course_overtaken(&self->course);
    if (result == 0 && wanted)
        result = fmq_client_keepsake_save(self, &err);
    if (result == 0 && wanted)
        result = offer(self, &outcome, &err);
    fmq_link_set_progress(self->link, 0, 0);
    if (result == 0) {
        log_trained(self, round, &outcome);
        fmq_course_finish(&self->course, &outcome);
    } else if (err.code == FMQ_ERR_STOPPED) {
        fmq_course_finish(&self->course, &outcome);
    } else {
        fmq_client_fail(self, &err);
    }
    fmq_client_put_state_away(self);
    put_prefixes_away(self);
}

static void do_evaluate(fmq_client_t *self)
{
    fmq_message_report_t outcome = {.phase = FMQ_REPORT_MEASURED};
    fmq_error_t err = {0};
    fmq_routine_t work = routine(self);
    bool own = self->method->measures_own && self->has_own;
    fmq_task_state_t *state = own ? &self->own_state : &self->state;
    int result = fmq_routine_evaluate(&work, state, &outcome, &err);
    fmq_link_set_progress(self->link, 0, 0);
    if (result == 0 || err.code == FMQ_ERR_STOPPED)
        fmq_course_finish(&self->course, &outcome);
    else
        fmq_client_fail(self, &err);
    fmq_client_put_state_away(self);
    put_prefixes_away(self);
}

static void do_report(fmq_client_t *self)
{
    uint8_t body[FMQ_NOTE_MAX];
    fmq_error_t err = {0};
    size_t size = fmq_message_report_encode(&self->course.report, body, sizeof body, &err);
    if (size == 0 || fmq_link_note(self->link, self->server, "report", body, size, &err) < 0)
        fmq_log_write(self->context.log, FMQ_LOG_ERROR, self->name, "report-failed",
                      "reason=\"%s\"", err.text);
}

static void (*const actions[])(fmq_client_t *self) = {
    [FMQ_DO_LOAD] = fmq_client_load,        [FMQ_DO_DROP] = do_drop,
    [FMQ_DO_FETCH] = fmq_client_fetch_task, [FMQ_DO_TRAIN] = do_train,
    [FMQ_DO_EVALUATE] = do_evaluate,        [FMQ_DO_REPORT] = do_report};

void fmq_client_act(fmq_client_t *self, fmq_course_action_t action)
{
    if (action > FMQ_DO_NOTHING && action < FMQ_DO_END)
        actions[action](self);
}
