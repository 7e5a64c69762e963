/*
 * fill.h - one number in all of some floats of a backend's memory.
 */
#ifndef LLM_BACKEND_FILL_H
#define LLM_BACKEND_FILL_H

#include "fedmq/llm/backend.h"

/* A piece of host memory at a time, so that nothing has to be allocated: for what is
 * filled once. */
void llm_backend_fill(llm_backend_t *be, float *to, size_t n, float value);

#endif
