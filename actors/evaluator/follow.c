/*
 * follow.c - keeps at most a handful of states and forgets the stalest.
 */
#include "actors/evaluator/follow.h"

#include <stdlib.h>
#include <string.h>

void fmq_follow_init(fmq_follow_t *self, uint32_t freq)
{
    memset(self, 0, sizeof *self);
    self->freq = freq;
}

static void drop(fmq_follow_item_t *item)
{
    fmq_object_drop(&item->object);
    free(item->vector);
    free(item->emulator);
    memset(item, 0, sizeof *item);
}

void fmq_follow_release(fmq_follow_t *self)
{
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++)
        drop(&self->items[i]);
    free(self->emulator);
    self->emulator = NULL;
}

static bool same_state(const fmq_message_state_t *a, const fmq_message_state_t *b)
{
    return a->round == b->round && fmq_digest_equal(&a->state, &b->state);
}

static fmq_follow_item_t *find(fmq_follow_t *self, const fmq_message_state_t *note)
{
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++)
        if (self->items[i].stage != FMQ_FOLLOW_EMPTY && same_state(&self->items[i].state, note))
            return &self->items[i];
    return NULL;
}

static bool nothing_is_known(const fmq_follow_t *self)
{
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++)
        if (self->items[i].stage != FMQ_FOLLOW_EMPTY)
            return false;
    return !self->measured;
}

static bool is_wanted(const fmq_follow_t *self, const fmq_message_state_t *note)
{
    if (self->has_skipped && same_state(&self->newest_skipped, note))
        return false;
    if (!self->measured)
        return true;
    if (same_state(&self->newest_measured, note))
        return false;
    return note->last || note->round > self->newest_measured.round;
}

static bool is_kept(const fmq_follow_t *self, const fmq_message_state_t *note)
{
    return note->last || nothing_is_known(self) ||
           (self->freq > 0 && note->round % self->freq == 0);
}

static void skip(fmq_follow_t *self, fmq_follow_item_t *item)
{
    drop(item);
    self->skipped++;
}

/* Of the states that are not kept only one waits. */
static void skip_passing(fmq_follow_t *self)
{
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++) {
        fmq_follow_item_t *item = &self->items[i];
        bool waits = item->stage == FMQ_FOLLOW_WANTED || item->stage == FMQ_FOLLOW_READY;
        if (waits && !item->kept)
            skip(self, item);
    }
}

/* A free place, or that of the stalest state that is not the last one. */
static fmq_follow_item_t *make_room(fmq_follow_t *self)
{
    fmq_follow_item_t *stalest = NULL;
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++) {
        fmq_follow_item_t *item = &self->items[i];
        if (item->stage == FMQ_FOLLOW_EMPTY)
            return item;
        bool usable = item->stage != FMQ_FOLLOW_FETCHING && !item->state.last;
        if (usable && (!stalest || item->state.round < stalest->state.round))
            stalest = item;
    }
    if (stalest)
        skip(self, stalest);
    return stalest;
}

static void forget_other_runs(fmq_follow_t *self, const char *run)
{
    if (self->measured && strcmp(self->newest_measured.run, run) != 0)
        self->measured = false;
    if (self->has_skipped && strcmp(self->newest_skipped.run, run) != 0)
        self->has_skipped = false;
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++)
        if (self->items[i].stage != FMQ_FOLLOW_EMPTY && strcmp(self->items[i].state.run, run) != 0)
            drop(&self->items[i]);
}

void fmq_follow_note(fmq_follow_t *self, const fmq_message_state_t *note)
{
    forget_other_runs(self, note->run);
    fmq_follow_item_t *known = find(self, note);
    if (known) {
        known->state.last = known->state.last || note->last;
        known->kept = known->kept || note->last;
        return;
    }
    if (!is_wanted(self, note))
        return;
    bool kept = is_kept(self, note);
    skip_passing(self);
    fmq_follow_item_t *item = make_room(self);
    self->turned_away = !item;
    self->waiting = *note;
    if (item)
        *item = (fmq_follow_item_t){.stage = FMQ_FOLLOW_WANTED, .kept = kept, .state = *note};
}

fmq_follow_item_t *fmq_follow_to_fetch(fmq_follow_t *self, int64_t now_ms)
{
    if (self->turned_away) {
        fmq_message_state_t note = self->waiting;
        fmq_follow_note(self, &note);
    }
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++)
        if (self->items[i].stage == FMQ_FOLLOW_WANTED && self->items[i].retry_ms <= now_ms)
            return &self->items[i];
    return NULL;
}

fmq_emulator_source_t fmq_follow_find_emulator(const fmq_follow_t *self, fmq_follow_item_t *item,
                                               uint64_t elements)
{
    const fmq_digest_t *wanted = &item->state.emulator;
    const float *known = NULL;
    bool coming = false;
    if (self->emulator && fmq_digest_equal(&self->newest_measured.emulator, wanted))
        known = self->emulator;
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++) {
        const fmq_follow_item_t *other = &self->items[i];
        if (other == item || !other->emulator || !fmq_digest_equal(&other->state.emulator, wanted))
            continue;
        if (other->stage == FMQ_FOLLOW_READY)
            known = other->emulator;
        coming = coming || other->stage == FMQ_FOLLOW_FETCHING;
    }
    if (!known)
        return coming ? FMQ_EMULATOR_COMING : FMQ_EMULATOR_NEW;
    memcpy(item->emulator, known, (size_t)elements * sizeof *known);
    return FMQ_EMULATOR_KNOWN;
}

fmq_follow_item_t *fmq_follow_to_measure(fmq_follow_t *self)
{
    fmq_follow_item_t *next = NULL;
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++) {
        fmq_follow_item_t *item = &self->items[i];
        if (item->stage == FMQ_FOLLOW_READY && (!next || item->state.round < next->state.round))
            next = item;
    }
    return next;
}

void fmq_follow_failed(fmq_follow_t *self, fmq_follow_item_t *item, int64_t retry_ms)
{
    for (size_t i = 0; i < FMQ_FOLLOW_KEPT_MAX; i++) {
        if (self->items[i].stage != FMQ_FOLLOW_EMPTY &&
            self->items[i].state.round > item->state.round) {
            skip(self, item);
            return;
        }
    }
    item->stage = FMQ_FOLLOW_WANTED;
    item->retry_ms = retry_ms;
}

void fmq_follow_skip(fmq_follow_t *self, fmq_follow_item_t *item)
{
    self->newest_skipped = item->state;
    self->has_skipped = true;
    skip(self, item);
}

void fmq_follow_measured(fmq_follow_t *self, fmq_follow_item_t *item)
{
    self->newest_measured = item->state;
    self->measured = true;
    free(self->emulator);
    self->emulator = item->emulator;
    item->emulator = NULL;
    drop(item);
}
