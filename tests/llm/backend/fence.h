/*
 * fence.h - a backend behind a fence: its memory lies at addresses that nobody
 * may touch, as a device's does, while its ops work on a second mapping of the
 * same pages.
 *
 * A host that dereferences backend memory ends by SIGSEGV.  An op that is given
 * host memory, host memory that is the backend's, a matrix that is none, or
 * memory behind whose end something was written, end the process by abort(),
 * with a line on standard error that names the op and the argument.  Memory is
 * full of NaN when it is given and when it is released, so that what is read
 * before it is written, or after, is NaN.
 *
 * A program that is linked with --wrap=llm_backend_open and fence_open.c
 * computes behind a fence wherever it opens a device by its name.
 */
#ifndef FEDMQ_TESTS_LLM_BACKEND_FENCE_H
#define FEDMQ_TESTS_LLM_BACKEND_FENCE_H

#include "llm/backend/instance.h"

/* Takes *inner_p, and nulls it on success only. */
llm_backend_t *fence_new(llm_backend_t **inner_p, fmq_error_t *err);

/* For the ops: where they work on memory of the backend; NULL stays NULL.
 * Aborts when it is not the backend's. */
void *fence_inside(const void *memory, const char *op, const char *argument);
#define INSIDE(memory) fence_inside(memory, __func__, #memory)
/* Aborts when host memory is the backend's. */
void fence_outside(const void *memory, const char *op, const char *argument);

/* The instance that computes. */
llm_backend_t *fence_inner(const llm_backend_t *be);
/* The matrix that a handle stands for. */
llm_matrix_t *fence_matrix(const llm_matrix_t *handle, const char *op);

/* Fills a table's ops but for memory and matrices. */
void fence_fill_ops(llm_ops_t *ops);
/* Of them, those over vectors of floats. */
void fence_fill_vectors(llm_ops_t *ops);

#endif
