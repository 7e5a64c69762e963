/*
 * course.c - what a client does next: its state machine, without any I/O.
 */
#include "actors/client/course.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fedmq/actors/actors.h"

void fmq_course_init(fmq_course_t *self, const fmq_digest_t *model, const fmq_digest_t *schema,
                     const char *meaning)
{
    *self = (fmq_course_t){.phase = FMQ_COURSE_JOINING, .model = *model, .schema = *schema};
    snprintf(self->meaning, sizeof self->meaning, "%s", meaning);
}

/* Fills the report's fields that say whose answer it is. */
static void answer(fmq_course_t *self, fmq_report_phase_t phase)
{
    uint64_t samples = self->report.shard_samples;
    self->report = (fmq_message_report_t){.phase = phase, .shard_samples = samples};
    if (phase == FMQ_REPORT_IDLE || phase == FMQ_REPORT_WORKING)
        self->report.metrics = self->data;
    memcpy(self->report.computes, self->computes, sizeof self->report.computes);
    memcpy(self->report.reason, self->untrained, sizeof self->report.reason);
    memcpy(self->report.run, self->run.run, sizeof self->report.run);
    if (self->has_task) {
        self->report.serial = self->task.serial;
        self->report.round = self->task.round;
    }
    self->report_due = true;
}

static void end(fmq_course_t *self, bool failed, const char *reason)
{
    self->phase = FMQ_COURSE_ENDED;
    self->failed = failed;
    self->code = failed ? FMQ_ERR_MISMATCH : FMQ_OK;
    self->fetch_due = self->work_due = self->load_due = false;
    snprintf(self->reason, sizeof self->reason, "%s", reason);
}

static void refuse_because(fmq_course_t *self, const char *reason)
{
    answer(self, FMQ_REPORT_FAILED);
    snprintf(self->report.reason, sizeof self->report.reason, "%s", reason);
    end(self, true, reason);
}

static void refuse(fmq_course_t *self, const char *what, const fmq_digest_t *theirs,
                   const fmq_digest_t *ours)
{
    char server[FMQ_DIGEST_HEX_SIZE], here[FMQ_DIGEST_HEX_SIZE], reason[FMQ_REASON_MAX];
    fmq_digest_hex(theirs, server);
    fmq_digest_hex(ours, here);
    snprintf(reason, sizeof reason,
             "%s differs: the server's is %.16s, this client's is %.16s; both must use the same "
             "model and the same llm.adapter and llm.offsite_tuning settings",
             what, server, here);
    refuse_because(self, reason);
}

void fmq_course_run(fmq_course_t *self, const fmq_message_run_t *run)
{
    char reason[FMQ_REASON_MAX];
    bool same = self->has_run && memcmp(self->run.run, run->run, sizeof run->run) == 0;
    if (self->phase == FMQ_COURSE_ENDED)
        return;
    self->run = *run;
    if (same)
        return;
    self->drop_due = self->has_task;
    self->has_run = true;
    self->has_task = false;
    self->fetch_due = self->work_due = false;
    if (self->number > run->clients) {
        snprintf(reason, sizeof reason,
                 "client %" PRIu32 " is none of this run's %" PRIu32
                 " (federate.client_num of its server): give --id from 1 to that, or start the "
                 "server with more",
                 self->number, run->clients);
        refuse_because(self, reason);
    } else if (!fmq_digest_equal(&run->model, &self->model)) {
        refuse(self, "the base model", &run->model, &self->model);
    } else if (fmq_meaning_refused(run->meaning, self->meaning, reason)) {
        refuse_because(self, reason);
    } else if (!fmq_digest_equal(&run->schema, &self->schema)) {
        refuse(self, "the set of trained tensors", &run->schema, &self->schema);
    } else if (self->has_data) {
        self->phase = FMQ_COURSE_IDLE;
        answer(self, FMQ_REPORT_IDLE);
    } else if (self->phase == FMQ_COURSE_JOINING) {
        self->phase = FMQ_COURSE_LOADING;
        self->load_due = true;
    }
}

static bool same_task(const fmq_message_task_t *a, const fmq_message_task_t *b)
{
    return strcmp(a->run, b->run) == 0 && a->serial == b->serial && a->round == b->round &&
           a->kind == b->kind && fmq_digest_equal(&a->state, &b->state) &&
           fmq_digest_equal(&a->emulator, &b->emulator);
}

void fmq_course_task(fmq_course_t *self, const fmq_message_task_t *task)
{
    if (self->phase == FMQ_COURSE_ENDED)
        return;
    /* Asked again, a task that failed is done again: why it failed may be gone. */
    bool failed = self->phase == FMQ_COURSE_IDLE && self->report.phase == FMQ_REPORT_FAILED;
    if (self->has_task && same_task(&self->task, task) && !failed) {
        self->has_next = false;
        self->report_due = true;
        return;
    }
    self->next = *task;
    self->has_next = true;
}

void fmq_course_done(fmq_course_t *self, const fmq_message_done_t *done)
{
    bool ours = self->has_run && strcmp(self->run.run, done->run) == 0;
    if (!ours || self->phase == FMQ_COURSE_ENDED)
        return;
    self->rounds = done->rounds;
    self->run_failed = done->failed;
    end(self, false, done->reason);
}

void fmq_course_describe(fmq_course_t *self, const fmq_metrics_t *data, const char *untrained)
{
    self->data = *data;
    snprintf(self->untrained, sizeof self->untrained, "%s", untrained ? untrained : "");
}

void fmq_course_useless(fmq_course_t *self, const fmq_error_t *why)
{
    if (self->phase == FMQ_COURSE_ENDED)
        return;
    self->report.shard_samples = 0;
    answer(self, FMQ_REPORT_IDLE);
    end(self, true, why->text);
    self->code = why->code;
}

void fmq_course_loaded(fmq_course_t *self, uint64_t samples)
{
    self->has_data = true;
    self->report.shard_samples = samples;
    if (self->phase != FMQ_COURSE_LOADING)
        return;
    self->phase = FMQ_COURSE_IDLE;
    answer(self, FMQ_REPORT_IDLE);
}

void fmq_course_fetched(fmq_course_t *self)
{
    if (self->phase != FMQ_COURSE_FETCHING)
        return;
    self->phase = FMQ_COURSE_WORKING;
    self->work_due = true;
}

void fmq_course_finish(fmq_course_t *self, const fmq_message_report_t *outcome)
{
    if (self->phase != FMQ_COURSE_WORKING && self->phase != FMQ_COURSE_FETCHING)
        return;
    self->phase = FMQ_COURSE_IDLE;
    self->fetch_due = self->work_due = false;
    if (fmq_course_overtaken(self))
        return;
    answer(self, outcome->phase);
    self->report.update = outcome->update;
    self->report.update_bytes = outcome->update_bytes;
    self->report.samples = outcome->samples;
    self->report.seconds = outcome->seconds;
    self->report.metrics = outcome->metrics;
    if (*outcome->reason)
        snprintf(self->report.reason, sizeof self->report.reason, "%s", outcome->reason);
}

/* A task that failed leaves the client ready for the next one; without data it
 * can do nothing and ends. */
void fmq_course_fail(fmq_course_t *self, const char *reason)
{
    fmq_message_report_t outcome = {.phase = FMQ_REPORT_FAILED};
    snprintf(outcome.reason, sizeof outcome.reason, "%s", reason);
    if (self->has_data) {
        fmq_course_finish(self, &outcome);
        return;
    }
    answer(self, FMQ_REPORT_FAILED);
    memcpy(self->report.reason, outcome.reason, sizeof outcome.reason);
    end(self, true, reason);
}

static bool next_is_ours(const fmq_course_t *self)
{
    return self->has_next && self->has_run && strcmp(self->next.run, self->run.run) == 0;
}

bool fmq_course_overtaken(const fmq_course_t *self)
{
    return self->phase == FMQ_COURSE_ENDED || !self->has_task || next_is_ours(self);
}

static void begin_next(fmq_course_t *self)
{
    self->drop_due = self->has_task;
    self->task = self->next;
    self->has_task = true;
    self->has_next = false;
    self->fetch_due = self->work_due = false;
    switch (self->task.kind) {
    case FMQ_TASK_WAIT:
        self->phase = FMQ_COURSE_IDLE;
        answer(self, FMQ_REPORT_IDLE);
        return;
    case FMQ_TASK_FINISH:
        self->rounds = self->task.round;
        end(self, false, "finished");
        return;
    case FMQ_TASK_TRAIN:
        if (*self->untrained) {
            self->phase = FMQ_COURSE_IDLE;
            answer(self, FMQ_REPORT_FAILED);
            return;
        }
        /* fall through */
    case FMQ_TASK_EVALUATE:
        self->phase = FMQ_COURSE_FETCHING;
        self->fetch_due = true;
        answer(self, FMQ_REPORT_WORKING);
        return;
    }
}

/* Takes a flag that is given once. */
static bool take(bool *flag)
{
    bool was = *flag;
    *flag = false;
    return was;
}

fmq_course_action_t fmq_course_next(fmq_course_t *self)
{
    if (self->has_data && self->phase != FMQ_COURSE_ENDED && next_is_ours(self))
        begin_next(self);
    if (take(&self->drop_due))
        return FMQ_DO_DROP;
    if (take(&self->report_due))
        return FMQ_DO_REPORT;
    if (self->phase == FMQ_COURSE_ENDED)
        return FMQ_DO_END;
    if (take(&self->load_due))
        return FMQ_DO_LOAD;
    if (take(&self->fetch_due))
        return FMQ_DO_FETCH;
    if (take(&self->work_due))
        return self->task.kind == FMQ_TASK_TRAIN ? FMQ_DO_TRAIN : FMQ_DO_EVALUATE;
    return FMQ_DO_NOTHING;
}
