/*
 * participants.c - the server's state machine, free of sockets, files and clocks.
 */
#include "actors/server/participants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fmq_participants_init(fmq_participants_t *self, uint32_t clients,
                          const fmq_participants_limits_t *limits, fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (clients == 0 || clients > FMQ_PARTICIPANTS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "federate.client_num is %u; it must be from 1 to %d", clients,
                             FMQ_PARTICIPANTS_MAX);
    self->all = calloc(clients, sizeof *self->all);
    if (!self->all)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for %u clients", clients);
    self->clients = clients;
    self->limits = *limits;
    if (self->limits.min_ready == 0)
        self->limits.min_ready = 1;
    if (self->limits.quorum == 0)
        self->limits.quorum = 1;
    self->phase = FMQ_PHASE_WAITING;
    return 0;
}

void fmq_participants_release(fmq_participants_t *self)
{
    free(self->all);
    memset(self, 0, sizeof *self);
}

fmq_participant_t *fmq_participants_find(fmq_participants_t *self, uint32_t client)
{
    return client >= 1 && client <= self->clients ? &self->all[client - 1] : NULL;
}

void fmq_participants_arrived(fmq_participants_t *self, uint32_t client)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant)
        participant->alive = true;
}

void fmq_participants_left(fmq_participants_t *self, uint32_t client, int64_t now_ms)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant && participant->alive) {
        participant->alive = false;
        participant->gone_ms = now_ms;
    }
}

void fmq_participants_is_ready(fmq_participants_t *self, uint32_t client)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant)
        participant->ready = true;
}

void fmq_participants_is_unready(fmq_participants_t *self, uint32_t client)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant)
        participant->ready = false;
}

void fmq_participants_is_untrained(fmq_participants_t *self, uint32_t client, bool untrained)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant)
        participant->untrained = untrained;
}

void fmq_participants_answered(fmq_participants_t *self, uint32_t client)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant && participant->asked) {
        participant->answered = true;
        participant->left_out = false;
    }
}

void fmq_participants_leave_out(fmq_participants_t *self, uint32_t client, const char *reason)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (!participant || !participant->asked || participant->answered)
        return;
    participant->left_out = true;
    (void)snprintf(self->because, sizeof self->because, "client %u: %.200s", client, reason);
}

void fmq_participants_forget_reasons(fmq_participants_t *self)
{
    self->because[0] = '\0';
}

void fmq_participants_any_begins(fmq_participants_t *self)
{
    self->limits.min_ready = 1;
}

static void begin_phase(fmq_participants_t *self, fmq_phase_t phase, int64_t now_ms)
{
    self->phase = phase;
    self->opened_ms = now_ms;
    for (uint32_t i = 0; i < self->clients; i++) {
        self->all[i].asked = self->all[i].answered = self->all[i].left_out = false;
        self->all[i].moved_ms = 0;
    }
}

void fmq_participants_open(fmq_participants_t *self, const fmq_exchange_t *exchange, int64_t now_ms)
{
    if (exchange)
        self->exchange = exchange;
    begin_phase(self, exchange ? FMQ_PHASE_ASKING : FMQ_PHASE_WAITING, now_ms);
}

void fmq_participants_end(fmq_participants_t *self, int64_t now_ms)
{
    begin_phase(self, FMQ_PHASE_ENDING, now_ms);
}

void fmq_participants_ask(fmq_participants_t *self, uint32_t client)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (!participant)
        return;
    participant->asked = true;
    participant->step = participant->steps = 0;
}

static bool is_awaited(const fmq_participant_t *participant)
{
    return participant->asked && !participant->answered && !participant->left_out;
}

/* From when on a client is waited for. */
static int64_t moved_ms(const fmq_participants_t *self, const fmq_participant_t *participant)
{
    return participant->moved_ms > self->opened_ms ? participant->moved_ms : self->opened_ms;
}

void fmq_participants_moved(fmq_participants_t *self, uint32_t client, int64_t now_ms)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (!participant || !is_awaited(participant))
        return;
    int64_t needed = now_ms - moved_ms(self, participant);
    self->slowest_ms = needed > self->slowest_ms ? needed : self->slowest_ms;
    participant->moved_ms = now_ms;
}

void fmq_participants_excuse(fmq_participants_t *self, uint32_t client, int64_t now_ms)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (participant && participant->asked)
        participant->moved_ms = now_ms;
}

void fmq_participants_heard(fmq_participants_t *self, uint32_t client, uint64_t step,
                            uint64_t steps, int64_t now_ms)
{
    fmq_participant_t *participant = fmq_participants_find(self, client);
    if (!participant)
        return;
    bool moved = participant->step != step || participant->steps != steps;
    if (!participant->alive)
        fmq_participants_excuse(self, client, now_ms);
    participant->alive = true;
    if (moved && steps > 0)
        fmq_participants_moved(self, client, now_ms);
    else if (moved)
        fmq_participants_excuse(self, client, now_ms);
    participant->step = step;
    participant->steps = steps;
}

int64_t fmq_participants_stall_limit(const fmq_participants_t *self)
{
    int64_t by_steps = FMQ_PARTICIPANTS_STALL_FACTOR * self->slowest_ms;
    if (self->limits.progress_ms > 0)
        return self->limits.progress_ms;
    if (self->slowest_ms == 0)
        return FMQ_PARTICIPANTS_STALL_FIRST_MS;
    return by_steps > FMQ_PARTICIPANTS_STALL_MIN_MS ? by_steps : FMQ_PARTICIPANTS_STALL_MIN_MS;
}

uint32_t fmq_participants_stalled(const fmq_participants_t *self, int64_t now_ms, int64_t *since_ms)
{
    int64_t limit = fmq_participants_stall_limit(self);
    for (uint32_t i = 0; i < self->clients; i++) {
        const fmq_participant_t *participant = &self->all[i];
        *since_ms = now_ms - moved_ms(self, participant);
        if (participant->alive && is_awaited(participant) && *since_ms >= limit)
            return i + 1;
    }
    return 0;
}

/* When one that is not here counts as gone: one that has never been here is missed from the opening
 * of the phase on. */
static int64_t lost_ms(const fmq_participants_t *self, const fmq_participant_t *participant)
{
    int64_t since = participant->gone_ms > self->opened_ms ? participant->gone_ms : self->opened_ms;
    return since + self->limits.grace_ms;
}

fmq_participants_count_t fmq_participants_count(const fmq_participants_t *self, int64_t now_ms)
{
    fmq_participants_count_t count = {0};
    for (uint32_t i = 0; i < self->clients; i++) {
        const fmq_participant_t *participant = &self->all[i];
        bool here = participant->alive && participant->ready;
        count.ready += here;
        count.useless += !here && participant->untrained;
        if (!participant->asked) {
            count.spare += here && !participant->untrained;
            continue;
        }
        count.asked++;
        count.answered += participant->answered;
        count.left_out += participant->left_out;
        if (is_awaited(participant)) {
            count.missing++;
            count.gone += !participant->alive && now_ms >= lost_ms(self, participant);
        }
    }
    return count;
}

/* An evaluation takes what it gets; a training round needs its quorum, or all
 * that can still be had. */
static bool enough(const fmq_participants_t *self, const fmq_participants_count_t *count)
{
    uint32_t possible = count->asked - count->left_out;
    uint32_t quorum = self->exchange->quorum ? self->exchange->quorum : self->limits.quorum;
    if (self->exchange->close == FMQ_CLOSE_MEASURE)
        return true;
    quorum = quorum < possible ? quorum : possible;
    return count->answered > 0 && count->answered >= quorum;
}

static int64_t deadline_of(const fmq_participants_t *self)
{
    return self->exchange->deadline_ms ? self->exchange->deadline_ms : self->limits.deadline_ms;
}

fmq_decision_t fmq_participants_decide(const fmq_participants_t *self, int64_t now_ms)
{
    if (self->phase == FMQ_PHASE_ENDING)
        return FMQ_DECIDE_STAY;
    fmq_participants_count_t count = fmq_participants_count(self, now_ms);
    if (self->phase == FMQ_PHASE_WAITING)
        return count.ready > 0 && count.ready + count.useless >= self->limits.min_ready
                   ? FMQ_DECIDE_BEGIN
                   : FMQ_DECIDE_STAY;
    if (count.missing == 0)
        return FMQ_DECIDE_FULL;
    bool late = deadline_of(self) > 0 && now_ms - self->opened_ms >= deadline_of(self);
    bool hopeless = count.gone == count.missing;
    if ((late || hopeless) && enough(self, &count))
        return FMQ_DECIDE_PARTIAL;
    if (hopeless && self->exchange->who == FMQ_WHO_SAMPLED && count.spare > 0)
        return FMQ_DECIDE_ASK_MORE;
    /* Some were no good and the others are gone: this round brings nothing.  When
     * all are merely gone it waits, for they may come back. */
    if (hopeless && count.left_out > 0 && count.answered == 0)
        return FMQ_DECIDE_PARTIAL;
    return FMQ_DECIDE_STAY;
}

int fmq_participants_patience(const fmq_participants_t *self, int64_t now_ms, int most)
{
    int64_t patience = most;
    if (self->phase != FMQ_PHASE_ASKING)
        return most;
    int64_t left = self->opened_ms + deadline_of(self) - now_ms;
    if (deadline_of(self) > 0 && left > 0 && left < patience)
        patience = left;
    for (uint32_t i = 0; i < self->clients; i++) {
        const fmq_participant_t *participant = &self->all[i];
        if (!is_awaited(participant) || participant->alive)
            continue;
        left = lost_ms(self, participant) - now_ms;
        if (left > 0 && left < patience)
            patience = left;
    }
    return (int)patience;
}
