/*
 * client_stage.h - the embedded model, a router, and a server's and a
 * splitter's links that a test plays by hand.
 */
#ifndef FEDMQ_TESTS_CLIENT_STAGE_H
#define FEDMQ_TESTS_CLIENT_STAGE_H

#include "fedmq/actors/actors.h"
#include "fedmq/broker/router.h"
#include "fedmq/broker/state.h"

#define STAGE_RUN      "0123456789abcdef0123456789abcdef"
#define STAGE_LIMIT_MS 30000 /* a test that waits longer for something fails */

typedef struct {
    fmq_config_t *config;
    llm_backend_t *loader;
    llm_model_t *model;
    llm_tokenizer_t *tokenizer;
    llm_adapter_t *adapter;
    llm_emulator_t *emulator; /* when yaml switches offsite tuning on; clients then hold no model */
    float *emulator_vector;   /* E's ... */
    fmq_digest_t emulator_digest; /* ... as it was published last */
    fmq_devices_t *permits;
    fmq_router_t *router;
    fmq_store_t *store; /* of router, server and clients; NULL: each has its own */
    fmq_context_t context;
    char endpoint[64];
    fmq_link_t *server; /* the test is the server */
    float *state;       /* the initial vector of what travels */
    size_t elements;
    fmq_error_t err;
} stage_t;

/* yaml comes on top of a small configuration of 2 clients. */
void stage_open(stage_t *stage, const char *yaml);
/* The same, with a router that waits only so long for an owner (0: as always). */
void stage_open_impatient(stage_t *stage, const char *yaml, uint32_t timeout_ms);
/* The same with one store, as in a process that hosts everybody. */
void stage_open_as_one(stage_t *stage, const char *yaml);
void stage_close(stage_t *stage);

/* A link as somebody else. */
fmq_link_t *stage_join(stage_t *stage, const char *name, fmq_role_t role);

/* Records number first .. first + size - 1; the caller's. */
llm_records_t *stage_records(int first, int size);

/* The server's notes. */
void stage_say_run(stage_t *stage, const char *run);
/* Asks client-1 to train on an object, which need not be there. */
void stage_say_state(stage_t *stage, uint64_t serial, const fmq_object_t *state);
/* The same for another kind of task. */
void stage_say_kind(stage_t *stage, uint64_t serial, fmq_task_kind_t kind,
                    const fmq_object_t *state);
/* Publishes the state (and E's vector) and asks client-1 for a task on it. */
void stage_say_task(stage_t *stage, uint64_t serial, fmq_task_kind_t kind);
void stage_say_done(stage_t *stage, const char *reason);
void stage_say_failed(stage_t *stage, const char *reason);

/* Waits at the server for client-1's report of that phase (and serial). */
fmq_message_report_t stage_hear(stage_t *stage, fmq_report_phase_t phase, uint64_t serial);
/* Fetches the update of an offer into a vector, the caller's. */
float *stage_fetch(stage_t *stage, const fmq_message_report_t *offer);

/* Waits for an actor to end by itself. */
fmq_error_t stage_end_of(zactor_t *actor);

#endif
