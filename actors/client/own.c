/*
 * own.c - a state of the client's own (local, Ditto): it goes on from that, in this
 * process and in the next one.
 *
 * Which state a task goes on from follows from the task alone: training in round
 * r, from what was trained before r; measuring at r, too.  So a server that
 * asks again, or that fell back by a checkpoint, gets what it got before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/client/client_private.h"
#include "actors/storage/file.h"

int fmq_client_own_open(fmq_client_t *self, const char *directory, fmq_error_t *err)
{
    self->place = (fmq_personal_place_t){.schema = llm_adapter_schema(self->context.adapter),
                                         .client = self->number,
                                         .log = self->context.log,
                                         .actor = self->name};
    self->keeps_optimizer = fmq_config_bool(self->config, "fedmq.keep_optimizer");
    if (self->keeps_optimizer && !directory)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "fedmq.keep_optimizer: this client has no folder to keep it in");
    if ((!self->keeps && !self->keeps_optimizer) || !directory)
        return 0;
    self->place.directory = fmq_file_path(err, "%s/personal/%s", directory, self->name);
    return self->place.directory ? 0 : -1;
}

void fmq_client_own_close(fmq_client_t *self)
{
    free((char *)(uintptr_t)self->place.directory);
    self->place.directory = NULL;
}

bool fmq_client_own_is_here(const fmq_client_t *self)
{
    return self->keeps && !self->place.directory;
}

/* The last round whose training the task may build upon; false: none.  A task
 * of the very round in which the state was trained is answered from it. */
static bool last_round(const fmq_message_task_t *task, uint32_t *round)
{
    *round = task->kind == FMQ_TASK_TRAIN ? task->round : task->round - 1;
    return task->kind == FMQ_TASK_TRAIN || task->round > 0;
}

/* Loads the newest state up to a round; last: no older one than what was trained
 * last, which has been put away and must still be there. */
static int load(fmq_client_t *self, uint32_t most, bool last, fmq_error_t *err)
{
    const fmq_message_task_t *task = &self->course.task;
    uint32_t round = self->trained.round;
    fmq_task_state_release(&self->own_state);
    if (fmq_task_state_make_room(&self->own_state, self->place.schema, err) < 0)
        return -1;
    int found = fmq_personal_load(&self->place, task->run, most, &self->trained,
                                  self->own_state.vector, err);
    if (found >= 0 && last && (found == 0 || self->trained.round < round))
        found = fmq_error_set(err, FMQ_ERR_IO,
                              "the state that was trained in round %u is not in '%s' any more",
                              round, self->place.directory);
    self->has_own = found > 0;
    if (found <= 0)
        fmq_task_state_release(&self->own_state);
    return found;
}

/* Of two rounds that it was trained in, the newer one counts, until a server that
 * fell back asks for something of the older one.  What is on a disk is in memory
 * only while a task is at it. */
int fmq_client_own_recall(fmq_client_t *self, fmq_error_t *err)
{
    const fmq_message_task_t *task = &self->course.task;
    uint32_t most;
    if (!self->keeps)
        return 0;
    bool same_run = self->has_own && strcmp(self->trained.run, task->run) == 0;
    bool any = last_round(task, &most);
    bool last = same_run && any && self->trained.round <= most && !self->behind;
    if (last && self->own_state.vector)
        return 0;
    self->behind = same_run && !last;
    self->has_own = false;
    if (!any)
        return 0;
    int found = load(self, most, last, err);
    if (found > 0)
        fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "own-state",
                      "trained-in-round=%u task-round=%u", self->trained.round, task->round);
    return found < 0 ? -1 : 0;
}

bool fmq_client_own_trained(const fmq_client_t *self, fmq_message_report_t *outcome)
{
    if (!self->has_own || self->course.task.round != self->trained.round)
        return false;
    *outcome = self->trained.outcome;
    return true;
}

bool fmq_client_needs_shared(const fmq_client_t *self)
{
    bool train = self->course.task.kind == FMQ_TASK_TRAIN;
    if (!self->has_own)
        return true;
    for (size_t i = 0; train && i < self->passes_size; i++)
        if (self->passes[i].from == FMQ_FROM_SHARED || self->passes[i].pull > 0)
            return true;
    return !train && !self->method->measures_own;
}

int fmq_client_own_keep(fmq_client_t *self, const fmq_message_report_t *outcome, fmq_error_t *err)
{
    const fmq_message_task_t *task = &self->course.task;
    fmq_personal_mark_t mark = {.round = task->round, .outcome = *outcome};
    memcpy(mark.run, task->run, sizeof mark.run);
    memcpy(mark.outcome.run, task->run, sizeof mark.outcome.run);
    mark.outcome.round = task->round;
    if (fmq_personal_save(&self->place, &mark, self->own_state.vector,
                          self->has_own ? &self->trained.round : NULL, err) < 0)
        return -1;
    self->trained = mark;
    self->has_own = true;
    self->behind = false;
    return 0;
}
