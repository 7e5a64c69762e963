/*
 * computing.h - who computes with something else than the server's settings say:
 * other frozen weights, or another precision.
 *
 * Their updates count like any other.  But they were learnt over another base, and
 * losses are of that, so whoever runs the server must hear of it.
 */
#ifndef FEDMQ_ACTORS_SERVER_COMPUTING_H
#define FEDMQ_ACTORS_SERVER_COMPUTING_H

#include <stdbool.h>
#include <stdint.h>

#include "fedmq/base/log.h"

typedef struct {
    uint32_t clients;
    const char *own; /* what the settings here say, borrowed; "": nothing is compared */
    fmq_log_t *log;  /* borrowed, may be NULL */
    /* Tells people a line; may be NULL. */
    void (*say)(void *argument, const char *line);
    void *argument;
} fmq_computing_options_t;

typedef struct {
    fmq_computing_options_t options;
    uint64_t *known; /* owned, client k at k - 1: what it said last */
    bool told;       /* that somebody computes with something else */
} fmq_computing_t;

int fmq_computing_open(fmq_computing_t *self, const fmq_computing_options_t *options,
                       fmq_error_t *err);
void fmq_computing_release(fmq_computing_t *self);

/* What a member computes with, as it says itself.  The latter: of one that is no client, *known is
 * 0 at first. */
void fmq_computing_hear_client(fmq_computing_t *self, uint32_t client, const char *member,
                               const char *computes);
void fmq_computing_hear(fmq_computing_t *self, const char *member, uint64_t *known,
                        const char *computes);

#endif
