/*
 * collective.h - groups of ranks that train one model, and what they do to their
 * vectors in terms of what a group can (llm/backend/collective.h).
 */
#ifndef FEDMQ_LLM_TRAIN_COLLECTIVE_H
#define FEDMQ_LLM_TRAIN_COLLECTIVE_H

#include "llm/backend/collective.h"

/* A group of threads of this process: from device to device where the backends can
 * do that, and else over host memory.  members gets one a rank, to be closed with
 * llm_collective_close().  detour gets why devices of one kind do without the
 * former; its code is FMQ_OK where there is nothing to tell. */
int llm_collective_open(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                        fmq_error_t *detour, fmq_error_t *err);
/* The latter, whatever the backends are. */
int llm_collective_local(llm_backend_t *const *backends, unsigned ranks, llm_collective_t **members,
                         fmq_error_t *err);
/* Nobody may be in a call.  Entries may be NULL. */
void llm_collective_close(llm_collective_t **members, unsigned ranks);

/* n elements in ranges of the same size, to a multiple of 16 elements. */
void llm_collective_share(size_t n, unsigned ranks, size_t *bounds);
/* All of them at one rank. */
void llm_collective_give(size_t n, unsigned ranks, unsigned owner, size_t *bounds);

/* In terms of the two above.  all_reduce: the sum, on every rank; broadcast:
 * root's vector, on every rank. */
int llm_collective_all_reduce(llm_collective_t *self, float *vector, size_t n, fmq_error_t *err);
int llm_collective_broadcast(llm_collective_t *self, float *vector, size_t n, unsigned root,
                             fmq_error_t *err);

#endif
