/*
 * fake_client.h - a client without a model: a thread with a link that answers
 * tasks with updates made of arithmetic, and can misbehave.
 *
 * The update of client k in round t is half the state plus noise named by
 * (k, t), so that a run's bytes depend on who took part in every round.  With
 * an emulator its values are in the update too, so that they depend on which
 * one the client had.
 */
#ifndef FEDMQ_TESTS_FAKE_CLIENT_H
#define FEDMQ_TESTS_FAKE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "fedmq/broker/link.h"
#include "fedmq/broker/state.h"

#define FAKE_RICHES (UINT64_C(1) << 20)

typedef enum {
    FAKE_HONEST,
    FAKE_SILENT,     /* never offers anything from round `from` on */
    FAKE_NOT_FINITE, /* offers NaN from round `from` on */
    FAKE_MALFORMED,  /* offers rubbish from round `from` on */
    FAKE_FAILING,    /* reports FAILED from round `from` on */
    FAKE_GARBLED,    /* reports what does not decode from round `from` on */
    FAKE_WITHOUT,    /* offers the state it got, trained on no example, from round `from` on */
    FAKE_LYING,      /* offers an object that nobody has from round `from` on */
    FAKE_BLIND,      /* cannot measure from round `from` on */
    FAKE_BOASTING,   /* says it has used 2^39 examples from round `from` on */
    FAKE_ENDLESS,    /* ... and has as many ... */
    FAKE_RICH,       /* has 2^20 examples, has used all of them, and measures -5 on as many ... */
    FAKE_STEPPING,   /* makes a step now and then while it trains */
    FAKE_ABSURD,     /* measures NaN and says that it is of 1e300 examples */
    FAKE_LATE,       /* takes its delay once a round: asked for it again, it is done at once */
    FAKE_DYING       /* leaves without a word in round `from` */
} fake_behaviour_t;

typedef struct {
    uint32_t number;
    const char *endpoint;
    fmq_store_t *store; /* may be NULL */
    const fmq_schema_t *schema;
    const fmq_schema_t *emulator_schema; /* NULL: no offsite tuning */
    fake_behaviour_t behaviour;
    uint32_t from;
    uint32_t delay_ms; /* of training */
    uint32_t heartbeat_ms, timeout_ms;
} fake_options_t;

typedef struct fake_client fake_client_t;

fake_client_t *fake_client_start(const fake_options_t *options);
/* Ends the thread, if it has not ended, and frees. */
void fake_client_stop(fake_client_t **self_p);

uint32_t fake_client_trained(fake_client_t *self);  /* updates offered */
uint32_t fake_client_measured(fake_client_t *self); /* evaluations reported */
uint32_t fake_client_fetched(fake_client_t *self);  /* emulators fetched */
/* Has it left, being FAKE_DYING? */
bool fake_client_gone(fake_client_t *self);
/* The reason of the done note, or "" while there was none. */
const char *fake_client_done(fake_client_t *self, char out[512]);

/* update = what client `number` makes of state in `round`. */
void fake_update(const fmq_schema_t *schema, uint32_t number, uint32_t round, const float *state,
                 float *update);
/* ... with an emulator: update += what that adds to element i. */
void fake_add_emulator(const fmq_schema_t *schema, const fmq_schema_t *emulator_schema,
                       const float *emulator, float *update);
/* How many samples it says it has used. */
uint64_t fake_samples(uint32_t number, uint32_t round);

#endif
