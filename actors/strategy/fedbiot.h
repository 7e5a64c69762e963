/*
 * fedbiot.h - offsite tuning at the server: an emulator beside the state.
 *
 * Another method's aggregation (FedAvg's, say) goes on inside it.  What aligns and
 * saves emulators stands on models and is given from outside.
 */
#ifndef FEDMQ_ACTORS_STRATEGY_FEDBIOT_H
#define FEDMQ_ACTORS_STRATEGY_FEDBIOT_H

#include "actors/strategy/strategy.h"

/* One block of alignment: trains the emulator with the state. */
typedef struct {
    uint32_t block; /* from 0: those before round 0, then one for each round */
    bool first;     /* before round 0 */
    const float *state;
    float *emulator;           /* trained in place; as it was when it fails */
    llm_progress_fn *progress; /* other than 0: stop, with FMQ_ERR_STOPPED */
    void *argument;            /* of progress */
} fmq_alignment_t;

typedef struct fmq_fedbiot_options {
    const fmq_schema_t *schema; /* of the emulator's vector */
    const float *initial;
    uint32_t aligned;      /* blocks before round 0 that initial has been through */
    uint32_t first_blocks; /* blocks before round 0 */
    bool every_round;      /* and one after each round */
    bool sent_once;        /* clients keep the emulator of round 0 */
    bool exit_after_align; /* the run ends when the first blocks are done */
    const char *save_to;   /* "" : nowhere */
    /* Trains; says what it measured.  NULL where nothing is to be aligned. */
    int (*align)(void *argument, const fmq_alignment_t *block, fmq_metrics_t *metrics,
                 fmq_error_t *err);
    int (*save)(void *argument, const float *emulator, const char *directory, fmq_error_t *err);
    void *argument;
} fmq_fedbiot_options_t;

/* setup->offsite is there; setup->method goes on inside. */
extern const fmq_strategy_ops_t fmq_fedbiot_ops;

#endif
