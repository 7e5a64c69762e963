/*
 * instance.h - what every backend instance of this house begins with.
 *
 * A backend's context is a struct whose first member is llm_instance_t, so
 * that backend.c can answer the questions that need no op: the variant's name
 * and the seconds spent in matrix products.  The families of ops fill their
 * own entries of the instance's table; nothing here is shared or global.
 */
#ifndef LLM_BACKEND_INSTANCE_H
#define LLM_BACKEND_INSTANCE_H

#include <string.h>
#include <time.h>

#include "fedmq/llm/backend.h"

/* No single tensor is larger: alloc refuses it as out of memory. */
#define LLM_BACKEND_BYTES_MAX ((size_t)1 << 39)

typedef struct {
    llm_backend_t backend; /* backend.ops points to ops below */
    llm_ops_t ops;
    const char *variant; /* lives as long as the instance */
    unsigned device;     /* its number among the devices of its kind */
    double gemm_seconds;
    fmq_error_t failure; /* the first; code FMQ_OK while there is none */
} llm_instance_t;

/* The instance behind a backend's public face. */
static inline llm_instance_t *llm_instance(const llm_backend_t *be)
{
    return be->context;
}

/* Keeps the first failure of an op, for synchronize(). */
void llm_instance_fail(llm_instance_t *self, fmq_error_code_t code, const char *text);

/* synchronize() of a backend whose ops are done when they return. */
int llm_instance_synchronize(llm_backend_t *be, fmq_error_t *err);

/* Can one compute with what the other placed? */
static inline bool llm_instance_same_device(const llm_backend_t *a, const llm_backend_t *b)
{
    const llm_instance_t *one = llm_instance(a), *other = llm_instance(b);
    return strcmp(a->ops->name, b->ops->name) == 0 && strcmp(one->variant, other->variant) == 0 &&
           a->ops->act == b->ops->act && one->device == other->device;
}

/* Seconds on the monotonic clock, for gemm_seconds. */
static inline double llm_instance_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
