/*
 * showing.c - what a server shows of its run, and that it gets on with what it
 * computes itself.
 */
#include <math.h>

#include "actors/server/coordinator_private.h"
#include "actors/server/missing.h"

#define SHOW_MS        150    /* shortest time between two showings of progress */
#define MISSING_MS     10000  /* until it is said again who is missing, doubled up to ... */
#define MISSING_MAX_MS 300000 /* ... this */

/* Step of steps of the client that has the farthest way to go. */
static void slowest(const coordinator_t *self, fmq_run_event_t *event)
{
    double least = 2;
    for (uint32_t k = 1; k <= self->participants.clients; k++) {
        const fmq_participant_t *participant = &self->participants.all[k - 1];
        if (!participant->asked || participant->answered || participant->steps == 0)
            continue;
        double share = (double)participant->step / (double)participant->steps;
        if (share < least) {
            least = share;
            event->step = participant->step;
            event->steps = participant->steps;
        }
    }
}

void fmq_showing_show(coordinator_t *self, fmq_run_event_type_t type)
{
    if (!self->options.on_event)
        return;
    fmq_participants_count_t count =
        fmq_participants_count(&self->participants, self->attention.now_ms);
    bool waiting = self->participants.phase == FMQ_PHASE_WAITING;
    fmq_run_event_t event = {.type = type,
                             .round = self->checkpoints.mark.round,
                             .rounds = self->settings->rounds,
                             .clients = waiting ? self->settings->clients : count.asked,
                             .clients_done = waiting ? count.ready : count.answered,
                             .evaluating = self->participants.phase == FMQ_PHASE_ASKING &&
                                           self->participants.exchange->close == FMQ_CLOSE_MEASURE,
                             .block = self->showing.block,
                             .blocks = self->showing.blocks,
                             .bytes_up = fmq_collector_received(self->collector),
                             .bytes_down = self->announce.bytes_down,
                             .train_loss = type == FMQ_RUN_ALIGNING
                                               ? self->showing.block_loss
                                               : self->measurements.train_loss};
    if (type == FMQ_RUN_ALIGNING) {
        event.step = self->attention.step;
        event.steps = self->attention.steps;
    } else {
        slowest(self, &event);
    }
    char missing[FMQ_MISSING_TEXT_MAX];
    if (type == FMQ_RUN_WAITING) {
        fmq_missing_say(&self->participants, missing);
        event.reason = *missing ? missing : NULL;
    }
    self->showing.shown_ms = self->attention.now_ms;
    self->options.on_event(self->options.event_argument, &event);
}

void fmq_showing_show_now_and_then(coordinator_t *self, fmq_run_event_type_t type)
{
    if (self->attention.now_ms - self->showing.shown_ms >= SHOW_MS)
        fmq_showing_show(self, type);
}

void fmq_showing_init(coordinator_t *self)
{
    self->showing.block_loss = NAN;
}

void fmq_showing_show_waiting(coordinator_t *self)
{
    fmq_showing_t *showing = &self->showing;
    int64_t now_ms = self->attention.now_ms;
    uint32_t ready = fmq_participants_count(&self->participants, now_ms).ready;
    if (self->participants.phase != FMQ_PHASE_WAITING)
        return;
    if (ready == showing->ready && now_ms < showing->missing_ms)
        return;
    bool again = ready == showing->ready;
    showing->missing_pause_ms = again ? 2 * showing->missing_pause_ms : MISSING_MS;
    if (showing->missing_pause_ms > MISSING_MAX_MS)
        showing->missing_pause_ms = MISSING_MAX_MS;
    showing->missing_ms = now_ms + showing->missing_pause_ms;
    showing->ready = ready;
    fmq_showing_show(self, FMQ_RUN_WAITING);
}

void fmq_showing_begin_block(coordinator_t *self, uint32_t block, uint32_t blocks)
{
    self->showing.block = block;
    self->showing.blocks = blocks;
    fmq_showing_show(self, FMQ_RUN_ALIGNING);
}

void fmq_showing_block_loss(coordinator_t *self, double loss)
{
    self->showing.block_loss = loss;
}

void fmq_showing_end_block(coordinator_t *self)
{
    self->showing.block = 0;
}

int fmq_showing_progress(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    coordinator_t *self = argument;
    (void)tokens;
    if (self->options.moved)
        self->options.moved(self->options.moved_argument);
    bool stops = fmq_attention_step(&self->attention, step, steps);
    if (self->showing.block > 0)
        fmq_showing_show_now_and_then(self, FMQ_RUN_ALIGNING);
    fmq_run_status_tell(self);
    return stops ? 1 : 0;
}
