/*
 * fake_federation.h - a router, a coordinator and fake clients in one process.
 */
#ifndef FEDMQ_TESTS_FAKE_FEDERATION_H
#define FEDMQ_TESTS_FAKE_FEDERATION_H

#include "actors/server/coordinator.h"
#include "actors_test.h"
#include "fake_client.h"
#include "fake_emulator.h"
#include "fedmq/broker/router.h"

#define FAKE_CLIENTS_MAX 8

typedef struct {
    char folder[64];
    fmq_schema_t *own_schema;   /* owned, may be NULL */
    const fmq_schema_t *schema; /* borrowed: own_schema or a model's */
    uint64_t elements;
    float *initial; /* owned */
    fmq_server_settings_t settings;
    fake_emulator_t emulator; /* its schema NULL: no offsite tuning */
    const char *endpoint;
    fmq_store_t *store;
    fmq_router_t *router;
    fake_client_t *clients[FAKE_CLIENTS_MAX];
    zactor_t *server;
    fmq_coordinator_options_t options;
    int status;
    char reason[1024];
    uint32_t rounds_begun;
    uint64_t bytes_down; /* as it says when a round is aggregated */
} federation_t;

/* Clients 1 .. clients, `rounds` rounds, evaluation off, everybody is asked;
 * change settings before fake_start_server(). */
void fake_open(federation_t *self, uint32_t clients, uint32_t rounds);
/* Uses another schema, borrowed, with an initial vector that it takes over. */
void fake_use(federation_t *self, const fmq_schema_t *schema, float *initial);
void fake_close(federation_t *self);

/* Client k with a behaviour. */
void fake_add(federation_t *self, uint32_t client, fake_behaviour_t behaviour, uint32_t from,
              uint32_t delay_ms);
void fake_start_server(federation_t *self);
/* The same in two steps: fills options, and starts with them. */
void fake_prepare(federation_t *self);
void fake_start_prepared(federation_t *self);
/* Waits for DONE; fails the test after limit_ms.  The exit status. */
int fake_wait(federation_t *self, int limit_ms);
/* $TERM in the middle; waits for the end. */
void fake_interrupt(federation_t *self);
/* The server's actor is gone; its directory stays. */
void fake_end_server(federation_t *self);

/* Plays the rounds by hand: who[t] is a bit set of the clients of round t. */
float *fake_expected(const federation_t *self, const uint32_t *who, uint32_t rounds);
/* The bytes that the run has saved as its adapter. */
float *fake_result(const federation_t *self);
/* Fails unless the saved adapter has these bytes; frees expected. */
void fake_check(const federation_t *self, float *expected);
/* ... a state saved elsewhere in the run's folder. */
void fake_check_in(const federation_t *self, const char *directory, float *expected);

/* Saves a state as <directory>/state.bin: the coordinator's save function;
 * argument points to the number of elements. */
int fake_save(void *argument, const float *state, const char *directory, fmq_error_t *err);
/* The defaults of settings. */
fmq_server_settings_t fake_settings(uint32_t clients, uint32_t rounds);

#endif
