/*
 * context.h - what the actors of one process share: models, tokenizer, devices,
 * store, log; read-only once built.
 */
#ifndef FEDMQ_ACTORS_CONTEXT_H
#define FEDMQ_ACTORS_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "fedmq/actors/devices.h"
#include "fedmq/actors/messages.h"
#include "fedmq/base/api.h"
#include "fedmq/base/config.h"
#include "fedmq/base/log.h"
#include "fedmq/broker/hub.h"
#include "fedmq/broker/store.h"
#include "fedmq/llm/adapter.h"
#include "fedmq/llm/model.h"
#include "fedmq/llm/offsite.h"
#include "fedmq/llm/prefix_cache.h"
#include "fedmq/llm/tokenizer.h"

FMQ_API_BEGIN

/* What the actors of one process share, read-only once built. */
typedef struct {
    const fmq_config_t *config;
    const llm_model_t *model;     /* the full model; NULL where it is not needed (splitter) or, with
                                     offsite tuning, not held */
    const llm_adapter_t *adapter; /* what travels: over the full model's shape */
    /* Offsite tuning: clients, and evaluators for `emulator.`, compute with
     * this instead of the full model.  NULL: without. */
    const llm_offsite_t *offsite;
    llm_prefix_budget_t *prefixes; /* for prefix caches; NULL: nothing is kept */
    const llm_tokenizer_t *tokenizer;
    fmq_devices_t *permits;
    fmq_store_t *store; /* may be NULL */
    fmq_hub_t *hub;     /* of its links; may be NULL */
    fmq_log_t *log;
    const char *endpoint; /* of the router */
    bool leads;           /* the run's server is in this process: nobody waits for it */
    /* Where the versions of notes begin, of every actor here (see link.h); 0:
     * a server asks its directory, the others the clock. */
    uint64_t first_version;
    /* Shows a line to whoever looks at the run; NULL: nobody does. */
    void (*say)(void *argument, const char *line);
    void *say_argument;
    /* With offsite tuning: the client's model is published, and this counts
     * who reads it.  NULL: nobody of another process can join the run. */
    struct fmq_pins *pins;
} fmq_context_t;

/* The model that clients compute with: the offsite student, or the model. */
const llm_model_t *fmq_context_client_model(const fmq_context_t *self);
/* Its stack: with offsite tuning the adapter trains over the student and E's
 * vector is fixed. */
llm_stack_t fmq_context_client_stack(const fmq_context_t *self);

/* What server, clients and evaluators of a run must have in common beside the
 * model's and the schema's digests, so that the same numbers mean the same:
 * "eos_token_id=2 tokenizer=5f2e9b5d3c8a1704 " and llm_adapter_meaning(). */
void fmq_context_meaning(const fmq_context_t *self, char out[FMQ_REASON_MAX]);
/* What the numbers of a process are computed with, which others need not share:
 * "train.is_enable_half=True fedmq.weights=bf16". */
void fmq_context_computes(const fmq_context_t *self, char out[FMQ_REASON_MAX]);
/* The first difference between the server's text and one's own, in words that
 * name the key and both values; false when there is none. */
bool fmq_meaning_refused(const char *server, const char *here, char out[FMQ_REASON_MAX]);

FMQ_API_END

#endif
