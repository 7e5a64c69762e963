/*
 * attach.h - asks a run that is going on for its configuration.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_ATTACH_H
#define FEDMQ_ACTORS_LAUNCHER_ATTACH_H

#include "actors/launcher/command.h"
#include "fedmq/base/config.h"

#define FMQ_ATTACH_TIMEOUT_MS   15000  /* without an answer the run is not there */
#define FMQ_ATTACH_PREPARING_MS 600000 /* but where a router answers, it may be being prepared */
#define FMQ_ATTACH_QUIET_MS     5000   /* then it is said that one waits for it */
#define FMQ_ATTACH_TICK_MS      200

typedef struct {
    const char *endpoint;
    uint32_t connect_ms;               /* for a router to answer; 0: for ever */
    uint32_t limit_ms;                 /* for a run to be there, in all; 0: for ever */
    fmq_log_t *log;                    /* borrowed; may be NULL */
    const fmq_config_offers_t *offers; /* of the configuration; borrowed, may be NULL */
} fmq_attach_t;

/* Joins the router at an endpoint as an observer, waits for the run's note and
 * fetches the configuration it names.  Not yet checked; the caller's.  NULL
 * with FMQ_ERR_TIMEOUT when no run is heard of in time. */
fmq_config_t *fmq_attach_config(const fmq_attach_t *how, fmq_error_t *err);

/* The configuration of who joins a run: --cfg, or else the run's own, for
 * which fedmq.connect_timeout among the pairs sets both limits; with the pairs
 * and --model on top, checked. */
fmq_config_t *fmq_attach_open(const fmq_arguments_t *arguments, const fmq_words_t *words,
                              const char *endpoint, fmq_error_t *err);

#endif
