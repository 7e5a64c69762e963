/*
 * proximal.h - FedProx (Li et al. 2018): a pull towards the parameters that a
 * routine started from; or towards others, as Ditto's (Li et al. 2021).
 */
#ifndef FEDMQ_LLM_TRAIN_PROXIMAL_H
#define FEDMQ_LLM_TRAIN_PROXIMAL_H

#include "fedmq/llm/backend.h"

typedef struct {
    llm_backend_t *be; /* borrowed */
    size_t n;
    float *minus_start; /* owned, the backend's memory: what is pulled to, negated */
    float *scratch;     /* owned */
} llm_proximal_t;

/* Remembers params (n floats of the backend's memory), or anchor (n floats of the
 * caller's) where that is not NULL.  Release after failure too. */
int llm_proximal_init(llm_proximal_t *self, llm_backend_t *be, const float *params,
                      const float *anchor, size_t n, fmq_error_t *err);
void llm_proximal_release(llm_proximal_t *self);

/* grads += d/dw mu/2 ||w - w_start||^2 = mu (w - w_start). */
void llm_proximal_add(llm_proximal_t *self, double mu, const float *params, float *grads);

#endif
