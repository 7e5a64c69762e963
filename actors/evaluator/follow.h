/*
 * follow.h - which states an evaluator measures, and in what order.
 *
 * Notes about states go in; what to fetch and what to measure next comes out.
 * Every state is measured if there is time.  When there is not, some are kept
 * in a short queue: the first that is seen, those whose round is a multiple of
 * eval.freq, and the last; of all others only the newest waits.  When even the
 * queue is too short, the stalest state that is not the last is skipped.  With
 * offsite tuning a state comes with an emulator's vector, which many may have
 * in common; it is fetched once.  No I/O, one thread.
 */
#ifndef FEDMQ_ACTORS_EVALUATOR_FOLLOW_H
#define FEDMQ_ACTORS_EVALUATOR_FOLLOW_H

#include "fedmq/actors/messages.h"
#include "fedmq/actors/receive.h"

#define FMQ_FOLLOW_KEPT_MAX 4 /* states fetched or being fetched at once */
#define FMQ_FOLLOW_RETRY_MS 500

typedef enum {
    FMQ_FOLLOW_EMPTY,
    FMQ_FOLLOW_WANTED, /* to be fetched, not before retry_ms */
    FMQ_FOLLOW_FETCHING,
    FMQ_FOLLOW_READY /* what is measured is complete */
} fmq_follow_stage_t;

typedef struct {
    fmq_follow_stage_t stage;
    fmq_message_state_t state;
    bool kept;
    int64_t retry_ms;
    uint32_t failures;    /* of fetching it */
    fmq_object_t *object; /* owned reference: the state, where it is in this process; NULL: */
    float *vector;        /* owned: NULL or the schema's elements */
    fmq_state_reader_t reader;
    float *emulator; /* owned: with offsite tuning, else NULL */
    fmq_state_reader_t emulator_reader;
} fmq_follow_item_t;

typedef enum {
    FMQ_EMULATOR_KNOWN, /* copied from where it is */
    FMQ_EMULATOR_NEW,   /* nobody has it or fetches it */
    FMQ_EMULATOR_COMING /* another item is fetching it */
} fmq_emulator_source_t;

typedef struct {
    uint32_t freq; /* eval.freq; 0: only the first and the last are kept */
    fmq_follow_item_t items[FMQ_FOLLOW_KEPT_MAX];
    bool measured; /* something was: */
    fmq_message_state_t newest_measured;
    float *emulator;  /* owned: of newest_measured, or NULL */
    bool turned_away; /* a state that was wanted found no room: */
    fmq_message_state_t waiting;
    uint32_t skipped;
    bool has_skipped; /* one was no good: */
    fmq_message_state_t newest_skipped;
} fmq_follow_t;

void fmq_follow_init(fmq_follow_t *self, uint32_t freq);
void fmq_follow_release(fmq_follow_t *self);

/* A note came.  A state of another run than those before forgets those. */
void fmq_follow_note(fmq_follow_t *self, const fmq_message_state_t *note);

/* The next item to fetch, or to measure (the lowest round), or NULL. */
fmq_follow_item_t *fmq_follow_to_fetch(fmq_follow_t *self, int64_t now_ms);
fmq_follow_item_t *fmq_follow_to_measure(fmq_follow_t *self);

/* Where the emulator of an item, of so many elements, is to be had from;
 * item->emulator is room for it. */
fmq_emulator_source_t fmq_follow_find_emulator(const fmq_follow_t *self, fmq_follow_item_t *item,
                                               uint64_t elements);

/* A fetch failed: it is tried again at retry_ms, unless a newer state is known
 * by then.  Or it can never succeed: the item is given up, and a note that names
 * the same state again does not bring it back. */
void fmq_follow_failed(fmq_follow_t *self, fmq_follow_item_t *item, int64_t retry_ms);
void fmq_follow_skip(fmq_follow_t *self, fmq_follow_item_t *item);
/* An item is measured; its place is free, and its emulator is self's until the
 * next one is measured. */
void fmq_follow_measured(fmq_follow_t *self, fmq_follow_item_t *item);

#endif
