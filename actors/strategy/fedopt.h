/*
 * fedopt.h - the server optimizer's arithmetic, for its strategy and its tests.
 */
#ifndef FEDMQ_ACTORS_STRATEGY_FEDOPT_H
#define FEDMQ_ACTORS_STRATEGY_FEDOPT_H

#include <stdint.h>

#include "fedmq/base/config.h"

typedef enum {
    FMQ_SECOND_NONE,   /* SGD: no second moment */
    FMQ_SECOND_MEAN,   /* v = beta2 v + (1 - beta2) g^2 */
    FMQ_SECOND_SUM,    /* v = v + g^2 */
    FMQ_SECOND_SIGNED, /* v = v - (1 - beta2) g^2 sign(v - g^2) */
} fmq_second_moment_t;

/* A row of fedopt.c with what the configuration says otherwise. */
typedef struct {
    const char *name;
    fmq_second_moment_t second;
    bool first;     /* m = beta1 m + (1 - beta1) g, else m = g */
    bool corrected; /* m and v are divided by 1 - beta^t */
    bool from_eps;  /* v begins at eps^2, as the paper's tau */
    double lr, beta1, beta2, eps, weight_decay, lr_decay, initial;
    double momentum, dampening; /* of SGD */
    bool nesterov;
    bool anneals; /* lr falls by gamma every step_size steps */
    double gamma;
    int64_t step_size;
} fmq_fedopt_t;

/* fedopt.*; NULL: the defaults, SGD.  FMQ_ERR_CONFIG or FMQ_ERR_UNSUPPORTED. */
int fmq_fedopt_read(fmq_fedopt_t *out, const fmq_config_t *config, fmq_error_t *err);

/* Does it keep a vector of first (second) moments? */
bool fmq_fedopt_keeps_first(const fmq_fedopt_t *self);
bool fmq_fedopt_keeps_second(const fmq_fedopt_t *self);

/* Step t (from 1) over some elements: x goes from the state towards mean, or on.
 * m and v are NULL where they are not kept; v begins at fmq_fedopt_second(). */
void fmq_fedopt_step(const fmq_fedopt_t *self, uint64_t t, uint64_t count, const float *mean,
                     float *x, float *m, float *v);
double fmq_fedopt_second(const fmq_fedopt_t *self);

#endif
