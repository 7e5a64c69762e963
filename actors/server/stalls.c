/*
 * stalls.c - clients whose link is alive but whose work does not get on.
 *
 * A link has a thread of its own, so a training that hangs is not silent: it is
 * noticed by its steps, which heartbeats carry.  participants.c says for how long is
 * too long; here its facts come from, and what follows: the client is left out
 * of the phase as if it were gone, and not asked again before it speaks.
 */
#include <inttypes.h>
#include <stdio.h>

#include "actors/server/coordinator_private.h"

void fmq_coordinator_excuse_if_deaf(coordinator_t *self)
{
    bool deaf = fmq_attention_was_deaf(&self->attention);
    for (uint32_t k = 1; deaf && k <= self->settings->clients; k++)
        fmq_participants_excuse(&self->participants, k, self->attention.now_ms);
}

static void leave_out(coordinator_t *self, uint32_t client, int64_t since_ms)
{
    const fmq_participant_t *participant = &self->participants.all[client - 1];
    char reason[160];
    (void)snprintf(reason, sizeof reason,
                   "it has made no progress for %" PRId64 " s, at step %" PRIu64 " of %" PRIu64
                   " (fedmq.progress_timeout)",
                   since_ms / 1000, participant->step, participant->steps);
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-stalled",
                  "client=%u round=%u reason=\"%s\"", client, self->checkpoints.mark.round, reason);
    fmq_participants_leave_out(&self->participants, client, reason);
    fmq_collector_give_up(self->collector, client);
    fmq_participants_is_unready(&self->participants, client); /* until it says something */
}

/* What has not been heard yet may be progress. */
void fmq_coordinator_drop_stalled(coordinator_t *self)
{
    uint32_t client;
    int64_t since_ms;
    if (!self->attention.drained || self->participants.phase != FMQ_PHASE_ASKING)
        return;
    while ((client = fmq_participants_stalled(&self->participants, self->attention.now_ms,
                                              &since_ms)) > 0) {
        if (fmq_collector_is_queued(self->collector, client))
            fmq_participants_excuse(&self->participants, client, self->attention.now_ms);
        else
            leave_out(self, client, since_ms);
    }
}
