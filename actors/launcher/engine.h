/*
 * engine.h - what a process computes with: a model, or with offsite tuning
 * what takes its place, its tokenizer and what is trained.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_ENGINE_H
#define FEDMQ_ACTORS_LAUNCHER_ENGINE_H

#include "fedmq/actors/actors.h"

/* All owned but adapter. */
typedef struct {
    llm_backend_t *loader; /* what tools, and the making of emulators, compute with; NULL: none */
    llm_model_t *model;    /* the full model; NULL where it is not held */
    llm_tokenizer_t *tokenizer;
    llm_adapter_t *own;
    llm_emulator_t *emulator;     /* NULL without offsite tuning */
    const llm_adapter_t *adapter; /* what travels: own, or the emulator's */
} fmq_engine_t;

/* How an emulator is built: where layers of its own are kept, and who is told
 * of progress and may stop it.  All may be NULL where nothing is built. */
typedef struct {
    const char *directory;
    fmq_log_t *log;
    /* Asked about the model that clients have, once it is there: -1 with err
     * refuses it.  NULL: any is right. */
    int (*accept)(void *argument, const fmq_digest_t *model, fmq_error_t *err);
    int (*stop)(void *argument);
    void *argument;
} fmq_engine_building_t;

/* model.type, llm.cache.model, llm.adapter.* of config, and the emulator of
 * llm.offsite_tuning.* over that model. */
int fmq_engine_open(fmq_engine_t *self, const fmq_config_t *config,
                    const fmq_engine_building_t *how, fmq_error_t *err);
/* A model, what trains in it, and where it is computed with. */
typedef struct {
    const char *model, *cache; /* as llm_hub_resolve() takes them; cache may be NULL */
    const llm_adapter_spec_t *spec;
    const char *device; /* of the loader (llm_backend_open()) */
    llm_form_choice_t weights;
    unsigned threads; /* of the loader; 0: there is none */
} fmq_engine_model_t;

/* Without a tokenizer. */
int fmq_engine_open_model(fmq_engine_t *self, const fmq_engine_model_t *how, fmq_error_t *err);
/* The tokenizer in the model's directory. */
int fmq_engine_open_tokenizer(fmq_engine_t *self, fmq_error_t *err);

/* FMQ_ERR_CONFIG when llm.tok_len of config is more tokens than the model
 * computes at once: its context, or its sliding window. */
int fmq_engine_check_length(const fmq_engine_t *self, const fmq_config_t *config, fmq_error_t *err);

/* True when no text of this model can end: its tokenizer has no end-of-text
 * token, or one that the model does not know.  why then says so, and what to
 * do, in one line. */
#define FMQ_ENDLESS_MAX 512
bool fmq_engine_is_endless(const fmq_engine_t *self, char why[FMQ_ENDLESS_MAX]);
/* Places the frozen weights that clients and evaluators compute with on every
 * device of the permits, none of which is taken: so that what does not fit is
 * said before the run begins.  Other models are placed when they are needed. */
int fmq_engine_place(const fmq_engine_t *self, fmq_devices_t *permits, fmq_error_t *err);

void fmq_engine_close(fmq_engine_t *self);

/* NULL without offsite tuning. */
const llm_offsite_t *fmq_engine_offsite(const fmq_engine_t *self);

#endif
