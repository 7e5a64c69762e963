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

#define DEAF_MS 2000 /* this thread may compute or wait for a disk meanwhile */

void fmq_coordinator_excuse_if_deaf(coordinator_t *self)
{
    bool deaf = self->now_ms - self->listened_ms > DEAF_MS;
    for (uint32_t k = 1; deaf && k <= self->settings->clients; k++)
        fmq_participants_excuse(&self->participants, k, self->now_ms);
    self->listened_ms = self->now_ms;
}

static void leave_out(coordinator_t *self, uint32_t client, int64_t since_ms)
{
    const progress_t *progress = &self->progress[client - 1];
    char reason[160];
    (void)snprintf(reason, sizeof reason,
                   "it has made no progress for %" PRId64 " s, at step %" PRIu64 " of %" PRIu64
                   " (fedmq.progress_timeout)",
                   since_ms / 1000, progress->step, progress->steps);
    fmq_log_write(self->options.log, FMQ_LOG_WARNING, "server", "client-stalled",
                  "client=%u round=%u reason=\"%s\"", client, self->mark.round, reason);
    fmq_coordinator_leave_out(self, client, reason);
    fmq_collector_give_up(self->collector, client);
    self->participants.all[client - 1].ready = false; /* until it says something */
}

/* What has not been heard yet may be progress. */
void fmq_coordinator_drop_stalled(coordinator_t *self)
{
    uint32_t client;
    int64_t since_ms;
    if (!self->drained || self->participants.phase != FMQ_PHASE_ASKING)
        return;
    while ((client = fmq_participants_stalled(&self->participants, self->now_ms, &since_ms)) > 0) {
        if (fmq_collector_is_queued(self->collector, client))
            fmq_participants_excuse(&self->participants, client, self->now_ms);
        else
            leave_out(self, client, since_ms);
    }
}
