/*
 * pool.h - a team of threads that share out the items of a job.
 *
 * The caller is thread 0 and works along.  Items are claimed one by one, so a
 * slow core takes fewer; what an item computes must not depend on who claims
 * it.  A pool serves one caller at a time and allocates nothing after new.
 */
#ifndef LLM_BACKEND_CPU_POOL_H
#define LLM_BACKEND_CPU_POOL_H

#include <stddef.h>

#include "fedmq/base/error.h"

#define LLM_POOL_THREADS_MAX 1024

typedef struct llm_pool llm_pool_t;

/* Does item number item of a job, on thread number thread. */
typedef void (*llm_pool_item_t)(void *job, size_t item, size_t thread);

/* threads >= 1 with the caller among them.  NULL with err when the system
 * gives no memory or no thread. */
llm_pool_t *llm_pool_new(size_t threads, fmq_error_t *err);
void llm_pool_destroy(llm_pool_t **self_p);

size_t llm_pool_threads(const llm_pool_t *self);

/* Does items 0 .. count - 1 of job and returns when all are done; count is
 * below 2^32.  What the items wrote is visible to the caller afterwards. */
void llm_pool_run(llm_pool_t *self, size_t count, llm_pool_item_t item, void *job);

#endif
