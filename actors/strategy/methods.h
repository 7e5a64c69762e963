/*
 * methods.h - the tables of the built-in methods, one a file; registry.c lists
 * them.
 */
#ifndef FEDMQ_ACTORS_STRATEGY_METHODS_H
#define FEDMQ_ACTORS_STRATEGY_METHODS_H

#include "actors/strategy/strategy.h"

extern const fmq_strategy_ops_t fmq_average_ops; /* average.c */
extern const fmq_strategy_ops_t fmq_global_ops;
extern const fmq_strategy_ops_t fmq_local_ops;  /* local.c */
extern const fmq_strategy_ops_t fmq_fedopt_ops; /* fedopt.c */
extern const fmq_strategy_ops_t fmq_ditto_ops;  /* ditto.c */

/* average.c's server half, for methods that aggregate as it does; free() destroys it. */
int fmq_average_new(const fmq_strategy_setup_t *setup, void **out, fmq_error_t *err);
fmq_step_t fmq_average_aggregate(void *self, const fmq_strategy_host_t *host,
                                 const fmq_updates_t *updates, float *state, fmq_error_t *err);

#endif
