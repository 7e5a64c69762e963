/*
 * joining.h - what a process computes with that joins a run with offsite
 * tuning: it fetches the client's model, and holds no other.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_JOINING_H
#define FEDMQ_ACTORS_LAUNCHER_JOINING_H

#include "actors/launcher/engine.h"

typedef struct {
    const fmq_config_t *config; /* with llm.offsite_tuning.use */
    const char *endpoint;       /* of the run's router */
    bool evaluator;             /* else a client */
    fmq_log_t *log;
    int (*stop)(void *argument); /* looked at while it waits */
    void *argument;
} fmq_joining_t;

/* Waits for the run, fetches what fedmq.layer_cache lacks and puts the
 * client's model together.  An evaluator with eval_type full also opens
 * model.type, if it is on this machine and is the run's. */
int fmq_joining_open(const fmq_joining_t *self, fmq_engine_t *engine, fmq_error_t *err);

#endif
