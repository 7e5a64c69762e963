/*
 * passes.c - the trainings of a task, one after the other, as the method has them.
 *
 * Crash story: a pass that keeps is durable (own.c) before the next one begins and
 * before anything is reported, together with what it measured.  A client that is
 * started again and gets the same task passes over it, with that outcome, and does
 * the rest: every pass has random streams that depend on the round alone, so the
 * bytes are those of a client that nothing happened to.
 */
#include <string.h>

#include "actors/client/client_private.h"
#include "actors/client/kept_optimizer.h"

static const fmq_schema_t *schema_of(const fmq_client_t *self)
{
    return llm_adapter_schema(self->context.adapter);
}

/* Whether the pass goes on from what it shall not lose: the state in memory is the
 * only copy of this client's own. */
static bool is_only_copy(const fmq_client_t *self, const fmq_pass_t *pass)
{
    return pass->keeps && fmq_client_own_is_here(self);
}

/* The shared state is read again by a later pass, or pulls on this one. */
static bool shared_stays(const fmq_client_t *self, size_t index)
{
    for (size_t i = index; i < self->passes_size; i++)
        if ((i > index && self->passes[i].from == FMQ_FROM_SHARED) || self->passes[i].pull > 0)
            return true;
    return false;
}

/* The first own state is a copy of the shared one, or that itself where nobody
 * reads it afterwards. */
static int begin_own(fmq_client_t *self, size_t index, fmq_error_t *err)
{
    if (self->has_own)
        return 0;
    if (!shared_stays(self, index)) {
        fmq_task_state_release(&self->own_state);
        self->own_state = self->state;
        self->state = (fmq_task_state_t){0};
        return 0;
    }
    if (fmq_task_state_settle(&self->state, schema_of(self), err) < 0 ||
        fmq_task_state_make_room(&self->own_state, schema_of(self), err) < 0)
        return -1;
    size_t size = (size_t)fmq_schema_elements(schema_of(self));
    memcpy(self->own_state.vector, self->state.vector, size * sizeof(float));
    return 0;
}

/* With the optimizer of the client's last training, which is durable before what was
 * trained is: whoever trains this round again begins with the same. */
static int train_on(fmq_client_t *self, fmq_routine_t *how, size_t index,
                    fmq_message_report_t *outcome, fmq_error_t *err)
{
    const fmq_kept_place_t place = {.directory = self->place.directory,
                                    .run = self->course.task.run,
                                    .client = self->number,
                                    .pass = (uint32_t)index,
                                    .log = self->context.log,
                                    .actor = self->name};
    fmq_task_state_t *state = self->passes[index].keeps ? &self->own_state : &self->state;
    uint32_t round = self->course.task.round, from = 0;
    llm_kept_optimizer_t kept = {0};
    int found = fmq_kept_load(&place, round, &kept, &from, err);
    how->train.kept = &kept;
    int rc = found < 0 ? -1 : fmq_routine_train(how, round, state, outcome, err);
    if (rc == 0 && kept.size > 0)
        rc = fmq_kept_save(&place, round, &kept, found > 0 ? &from : NULL, err);
    llm_kept_optimizer_release(&kept);
    return rc;
}

static int train_pass(fmq_client_t *self, const fmq_routine_t *work, size_t index,
                      fmq_message_report_t *outcome, fmq_error_t *err)
{
    const fmq_pass_t *pass = &self->passes[index];
    fmq_routine_t how = *work;
    fmq_task_state_t *state = pass->keeps ? &self->own_state : &self->state;
    if (pass->keeps && begin_own(self, index, err) < 0)
        return -1;
    if (pass->pull > 0) {
        if (fmq_task_state_settle(&self->state, schema_of(self), err) < 0)
            return -1;
        how.train.proximal_mu = pass->pull;
        how.train.proximal_anchor = self->state.vector;
        how.train.proximal_merged = 0;
    }
    if (pass->steps >= 1)
        how.train.steps = (uint64_t)pass->steps;
    if (pass->rate > 0)
        how.train.optimizer.lr = pass->rate;
    how.prefix = pass->prefix;
    how.keeps = is_only_copy(self, pass);
    return self->keeps_optimizer
               ? train_on(self, &how, index, outcome, err)
               : fmq_routine_train(&how, self->course.task.round, state, outcome, err);
}

/* Keeps what a pass has trained.  When keeping fails the vector is nobody's: neither
 * what the disk has nor what may be reported. */
static int keep(fmq_client_t *self, const fmq_pass_t *pass, const fmq_message_report_t *outcome,
                fmq_error_t *err)
{
    if (!pass->keeps || self->terminated)
        return 0;
    if (fmq_client_own_keep(self, outcome, err) < 0) {
        self->has_own = false;
        return -1;
    }
    bool needed = pass->sends || self->keepsake || fmq_client_own_is_here(self);
    if (!needed) /* it is on the disk */
        fmq_task_state_release(&self->own_state);
    return 0;
}

static int add_up(fmq_message_report_t *sum, const fmq_message_report_t *part, bool sends,
                  fmq_error_t *err)
{
    sum->seconds += part->seconds;
    if (sends)
        sum->samples = part->samples;
    for (size_t i = 0; i < part->metrics.size; i++)
        if (fmq_metrics_set(&sum->metrics, part->metrics.items[i].name,
                            part->metrics.items[i].value, err) < 0)
            return -1;
    return 0;
}

int fmq_client_train(fmq_client_t *self, const fmq_routine_t *work, fmq_message_report_t *outcome,
                     fmq_error_t *err)
{
    for (size_t i = 0; i < self->passes_size; i++) {
        const fmq_pass_t *pass = &self->passes[i];
        fmq_message_report_t part = {.phase = FMQ_REPORT_FAILED};
        bool done = pass->keeps && fmq_client_own_trained(self, &part);
        if (!done &&
            (train_pass(self, work, i, &part, err) < 0 || keep(self, pass, &part, err) < 0))
            return -1;
        if (add_up(outcome, &part, pass->sends, err) < 0)
            return -1;
    }
    return 0;
}

fmq_task_state_t *fmq_client_sent(fmq_client_t *self)
{
    for (size_t i = 0; i < self->passes_size; i++)
        if (self->passes[i].sends && self->passes[i].keeps)
            return &self->own_state;
    return &self->state;
}
