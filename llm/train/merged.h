/*
 * merged.h - FedBiOT's regulariser (KDD'24): a pull of the merged updates
 * towards those that a routine started from, eps ||M - M_start||^2.
 *
 * M is s B A of every product of low rank, and every other tensor as it is.
 * Only matrices of rank x rank are formed beside the vector, never an M.
 */
#ifndef FEDMQ_LLM_TRAIN_MERGED_H
#define FEDMQ_LLM_TRAIN_MERGED_H

#include "fedmq/llm/adapter.h"

/* A[rank][in] and B[out][rank] within the vector; s is what B A is multiplied by. */
typedef struct {
    size_t out, in, rank, a, b;
    double scaling;
} llm_merged_module_t;

/* Elements of the vector that are compared as they are. */
typedef struct {
    size_t first, count;
} llm_merged_range_t;

typedef struct {
    llm_backend_t *be; /* borrowed */
    size_t n;
    size_t rank;                  /* the largest of a module; 0: there is none */
    size_t size;                  /* modules */
    llm_merged_module_t *modules; /* owned */
    size_t ranges;                /* of what is not of low rank */
    llm_merged_range_t *plain;    /* owned */
    float *minus_start;           /* owned, the backend's memory: the start, negated */
    float *away;                  /* owned, as that: the parameters minus the start */
    float *grams;                 /* owned, as that: of one module */
    float *host;                  /* owned: the same on the host */
} llm_merged_t;

/* Remembers params, the vector of adapter in the backend's memory.  Release
 * after failure too. */
int llm_merged_init(llm_merged_t *self, const llm_adapter_t *adapter, llm_backend_t *be,
                    const float *params, fmq_error_t *err);
void llm_merged_release(llm_merged_t *self);

/* Returns eps ||M - M_start||^2 and adds its gradient; grads NULL: the value
 * alone. */
double llm_merged_add(llm_merged_t *self, double eps, const float *params, float *grads);

#endif
