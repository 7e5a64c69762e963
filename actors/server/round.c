/*
 * round.c - the server's state machine, free of sockets, files and clocks.
 */
#include "actors/server/round.h"

#include <stdlib.h>
#include <string.h>

int fmq_round_init(fmq_round_t *self, uint32_t clients, const fmq_round_limits_t *limits,
                   fmq_error_t *err)
{
    memset(self, 0, sizeof *self);
    if (clients == 0 || clients > FMQ_ROUND_CLIENTS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "federate.client_num is %u; it must be from 1 to %d", clients,
                             FMQ_ROUND_CLIENTS_MAX);
    self->seats = calloc(clients, sizeof *self->seats);
    if (!self->seats)
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

void fmq_round_release(fmq_round_t *self)
{
    free(self->seats);
    memset(self, 0, sizeof *self);
}

fmq_seat_t *fmq_round_seat(fmq_round_t *self, uint32_t client)
{
    return client >= 1 && client <= self->clients ? &self->seats[client - 1] : NULL;
}

void fmq_round_arrived(fmq_round_t *self, uint32_t client)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat)
        seat->alive = true;
}

void fmq_round_left(fmq_round_t *self, uint32_t client, int64_t now_ms)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat && seat->alive) {
        seat->alive = false;
        seat->gone_ms = now_ms;
    }
}

void fmq_round_is_ready(fmq_round_t *self, uint32_t client)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat)
        seat->ready = true;
}

void fmq_round_is_untrained(fmq_round_t *self, uint32_t client, bool untrained)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat)
        seat->untrained = untrained;
}

void fmq_round_answered(fmq_round_t *self, uint32_t client)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat && seat->asked) {
        seat->answered = true;
        seat->left_out = false;
    }
}

void fmq_round_leave_out(fmq_round_t *self, uint32_t client)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat && seat->asked && !seat->answered)
        seat->left_out = true;
}

static void begin_phase(fmq_round_t *self, fmq_phase_t phase, int64_t now_ms)
{
    self->phase = phase;
    self->opened_ms = now_ms;
    for (uint32_t i = 0; i < self->clients; i++) {
        self->seats[i].asked = self->seats[i].answered = self->seats[i].left_out = false;
        self->seats[i].moved_ms = 0;
    }
}

void fmq_round_open(fmq_round_t *self, const fmq_exchange_t *exchange, int64_t now_ms)
{
    if (exchange)
        self->exchange = exchange;
    begin_phase(self, exchange ? FMQ_PHASE_ASKING : FMQ_PHASE_WAITING, now_ms);
}

void fmq_round_end(fmq_round_t *self, int64_t now_ms)
{
    begin_phase(self, FMQ_PHASE_ENDING, now_ms);
}

void fmq_round_ask(fmq_round_t *self, uint32_t client)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat)
        seat->asked = true;
}

static bool is_awaited(const fmq_seat_t *seat)
{
    return seat->asked && !seat->answered && !seat->left_out;
}

/* From when on a client is waited for. */
static int64_t moved_ms(const fmq_round_t *self, const fmq_seat_t *seat)
{
    return seat->moved_ms > self->opened_ms ? seat->moved_ms : self->opened_ms;
}

void fmq_round_moved(fmq_round_t *self, uint32_t client, int64_t now_ms)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (!seat || !is_awaited(seat))
        return;
    int64_t needed = now_ms - moved_ms(self, seat);
    self->slowest_ms = needed > self->slowest_ms ? needed : self->slowest_ms;
    seat->moved_ms = now_ms;
}

void fmq_round_excuse(fmq_round_t *self, uint32_t client, int64_t now_ms)
{
    fmq_seat_t *seat = fmq_round_seat(self, client);
    if (seat && seat->asked)
        seat->moved_ms = now_ms;
}

int64_t fmq_round_stall_limit(const fmq_round_t *self)
{
    int64_t by_steps = FMQ_ROUND_STALL_FACTOR * self->slowest_ms;
    if (self->limits.progress_ms > 0)
        return self->limits.progress_ms;
    if (self->slowest_ms == 0)
        return FMQ_ROUND_STALL_FIRST_MS;
    return by_steps > FMQ_ROUND_STALL_MIN_MS ? by_steps : FMQ_ROUND_STALL_MIN_MS;
}

uint32_t fmq_round_stalled(const fmq_round_t *self, int64_t now_ms, int64_t *since_ms)
{
    int64_t limit = fmq_round_stall_limit(self);
    for (uint32_t i = 0; i < self->clients; i++) {
        const fmq_seat_t *seat = &self->seats[i];
        *since_ms = now_ms - moved_ms(self, seat);
        if (seat->alive && is_awaited(seat) && *since_ms >= limit)
            return i + 1;
    }
    return 0;
}

/* A seat that was never taken counts from the opening of the phase. */
static bool is_gone(const fmq_round_t *self, const fmq_seat_t *seat, int64_t now_ms)
{
    int64_t since = seat->gone_ms > self->opened_ms ? seat->gone_ms : self->opened_ms;
    return !seat->alive && now_ms - since >= self->limits.grace_ms;
}

fmq_round_count_t fmq_round_count(const fmq_round_t *self, int64_t now_ms)
{
    fmq_round_count_t count = {0};
    for (uint32_t i = 0; i < self->clients; i++) {
        const fmq_seat_t *seat = &self->seats[i];
        bool here = seat->alive && seat->ready;
        count.ready += here;
        count.useless += !here && seat->untrained;
        if (!seat->asked) {
            count.spare += here && !seat->untrained;
            continue;
        }
        count.asked++;
        count.answered += seat->answered;
        count.left_out += seat->left_out;
        if (!seat->answered && !seat->left_out) {
            count.missing++;
            count.gone += is_gone(self, seat, now_ms);
        }
    }
    return count;
}

/* An evaluation takes what it gets; a training round needs its quorum, or all
 * that can still be had. */
static bool enough(const fmq_round_t *self, const fmq_round_count_t *count)
{
    uint32_t possible = count->asked - count->left_out;
    uint32_t quorum = self->exchange->quorum ? self->exchange->quorum : self->limits.quorum;
    if (self->exchange->close == FMQ_CLOSE_MEASURE)
        return true;
    quorum = quorum < possible ? quorum : possible;
    return count->answered > 0 && count->answered >= quorum;
}

static int64_t deadline_of(const fmq_round_t *self)
{
    return self->exchange->deadline_ms ? self->exchange->deadline_ms : self->limits.deadline_ms;
}

fmq_decision_t fmq_round_decide(const fmq_round_t *self, int64_t now_ms)
{
    if (self->phase == FMQ_PHASE_ENDING)
        return FMQ_DECIDE_STAY;
    fmq_round_count_t count = fmq_round_count(self, now_ms);
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

int fmq_round_patience(const fmq_round_t *self, int64_t now_ms, int most)
{
    int64_t patience = most;
    if (self->phase != FMQ_PHASE_ASKING)
        return most;
    int64_t left = self->opened_ms + deadline_of(self) - now_ms;
    if (deadline_of(self) > 0 && left > 0 && left < patience)
        patience = left;
    for (uint32_t i = 0; i < self->clients; i++) {
        const fmq_seat_t *seat = &self->seats[i];
        if (!seat->asked || seat->answered || seat->left_out || seat->alive)
            continue;
        int64_t since = seat->gone_ms > self->opened_ms ? seat->gone_ms : self->opened_ms;
        left = since + self->limits.grace_ms - now_ms;
        if (left > 0 && left < patience)
            patience = left;
    }
    return (int)patience;
}
