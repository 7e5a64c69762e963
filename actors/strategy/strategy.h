/*
 * strategy.h - the methods by name, and the calls of their tables
 * (fedmq/extend/strategy.h), with what holds where a table says NULL.
 */
#ifndef FEDMQ_ACTORS_STRATEGY_STRATEGY_H
#define FEDMQ_ACTORS_STRATEGY_STRATEGY_H

#include "actors/storage/checkpoint.h"
#include "fedmq/extend/strategy.h"

/* By federate.method's name in any case, fedopt.use or not; NULL with
 * FMQ_ERR_UNSUPPORTED naming those that exist. */
const fmq_strategy_ops_t *fmq_strategy_find(const char *name, fmq_error_t *err);
/* The one that a configuration asks for, also of an extension. */
const fmq_strategy_ops_t *fmq_strategy_of(const fmq_config_t *config, fmq_error_t *err);
/* The name of each, and what it is; NULL behind the last. */
const char *fmq_strategy_at(size_t index, const char **help);

/* A server half at work. */
typedef struct {
    const fmq_strategy_ops_t *ops;
    void *self; /* owned */
} fmq_strategy_t;

/* With offsite tuning the method is put inside FedBiOT's. */
int fmq_strategy_open(fmq_strategy_t *self, const fmq_strategy_setup_t *setup, fmq_error_t *err);
/* Of this table, whatever setup asks for; its method and rule are there.  FMQ_ERR_INTERNAL when
 * what it says of a round or of checkpoints is not what a server can do. */
int fmq_strategy_make(fmq_strategy_t *self, const fmq_strategy_ops_t *ops,
                      const fmq_strategy_setup_t *setup, fmq_error_t *err);
void fmq_strategy_close(fmq_strategy_t *self);
/* The same calls, with what holds where the table says NULL. */
size_t fmq_strategy_exchanges(const fmq_strategy_t *self, fmq_exchange_t out[FMQ_EXCHANGES_MAX]);
int fmq_strategy_accept(const fmq_strategy_t *self, size_t exchange, uint32_t client,
                        const fmq_message_report_t *report, fmq_error_t *why);
uint32_t fmq_strategy_prepared(const fmq_strategy_t *self);
fmq_step_t fmq_strategy_prepare(const fmq_strategy_t *self, const fmq_strategy_host_t *host,
                                const float *state, fmq_error_t *err);
fmq_step_t fmq_strategy_aggregate(const fmq_strategy_t *self, const fmq_strategy_host_t *host,
                                  const fmq_updates_t *updates, float *state, fmq_error_t *err);
void fmq_strategy_sections(const fmq_strategy_t *self, fmq_sections_t *out);
const float *fmq_strategy_beside(const fmq_strategy_t *self, const fmq_schema_t **schema);
int fmq_strategy_export(const fmq_strategy_t *self, const fmq_strategy_host_t *host,
                        fmq_error_t *err);
size_t fmq_strategy_passes(const fmq_strategy_ops_t *ops, const fmq_config_t *config,
                           fmq_pass_t out[FMQ_PASSES_MAX]);
/* FMQ_ERR_INTERNAL when what the table says of trainings is not what a client can do. */
int fmq_strategy_check_passes(const fmq_strategy_ops_t *ops, const fmq_config_t *config,
                              fmq_error_t *err);
/* Is there a state of the run, or does every client keep its own? */
bool fmq_strategy_shares(const fmq_strategy_ops_t *ops);

#endif
