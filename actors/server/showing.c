/*
 * showing.c - what a server shows of its run, and that it gets on with what it
 * computes itself.
 */
#include "actors/runtime/pipe.h"
#include "actors/server/coordinator_private.h"
#include "actors/server/missing.h"
#include "fedmq/base/clock.h"

#define SHOW_MS 150 /* shortest time between two showings of progress */

/* Step of steps of the client that has the farthest way to go. */
static void slowest(const coordinator_t *self, fmq_run_event_t *event)
{
    double least = 2;
    for (uint32_t k = 1; k <= self->participants.clients; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        const progress_t *progress = &self->progress[k - 1];
        if (!participant->asked || participant->answered || progress->steps == 0)
            continue;
        double share = (double)progress->step / (double)progress->steps;
        if (share < least) {
            least = share;
            event->step = progress->step;
            event->steps = progress->steps;
        }
    }
}

void fmq_coordinator_show(coordinator_t *self, fmq_run_event_type_t type)
{
    if (!self->options.on_event)
        return;
    fmq_participants_count_t count = fmq_participants_count(&self->participants, self->now_ms);
    bool waiting = self->participants.phase == FMQ_PHASE_WAITING;
    fmq_run_event_t event = {.type = type,
                             .round = self->mark.round,
                             .rounds = self->settings->rounds,
                             .clients = waiting ? self->settings->clients : count.asked,
                             .clients_done = waiting ? count.ready : count.answered,
                             .evaluating = self->participants.phase == FMQ_PHASE_ASKING &&
                                           self->participants.exchange->close == FMQ_CLOSE_MEASURE,
                             .block = self->block,
                             .blocks = self->blocks,
                             .bytes_up = self->bytes_up,
                             .bytes_down = self->bytes_down,
                             .train_loss =
                                 type == FMQ_RUN_ALIGNING ? self->align_loss : self->train_loss};
    if (type == FMQ_RUN_ALIGNING) {
        event.step = self->own_step.step;
        event.steps = self->own_step.steps;
    } else {
        slowest(self, &event);
    }
    char missing[FMQ_MISSING_TEXT_MAX];
    if (type == FMQ_RUN_WAITING) {
        fmq_missing_say(&self->participants, missing);
        event.reason = *missing ? missing : NULL;
    }
    self->shown_ms = self->now_ms;
    self->options.on_event(self->options.event_argument, &event);
}

void fmq_coordinator_show_now_and_then(coordinator_t *self, fmq_run_event_type_t type)
{
    if (self->now_ms - self->shown_ms >= SHOW_MS)
        fmq_coordinator_show(self, type);
}

int fmq_coordinator_progress(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    coordinator_t *self = argument;
    (void)tokens;
    self->now_ms = fmq_clock_ms();
    self->own_step = (progress_t){step, steps};
    self->busy = true;
    if (self->options.moved)
        self->options.moved(self->options.moved_argument);
    if (!self->terminated)
        self->terminated = fmq_pipe_terminated_because(self->pipe, &self->told);
    if (self->block > 0)
        fmq_coordinator_show_now_and_then(self, FMQ_RUN_ALIGNING);
    fmq_coordinator_tell_status(self);
    return self->terminated ? 1 : 0;
}
