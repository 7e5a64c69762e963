/*
 * tensors.h - tensors of golden files, by name.  Every failure in here fails
 * the running test.
 */
#ifndef FEDMQ_TESTS_OFFSITE_TENSORS_H
#define FEDMQ_TESTS_OFFSITE_TENSORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fedmq/llm/hub.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/offsite/goldens"

/* Opens a file below GOLDENS. */
llm_weights_t *tensors_open(const char *name);

/* A tensor as floats, the caller's.  count may be NULL. */
float *tensors_read(const llm_weights_t *file, const char *name, size_t *count);
/* A tensor with one element. */
double tensors_number(const llm_weights_t *file, const char *name);

/* Largest difference within tolerance times the largest value. */
void tensors_compare(const char *name, const float *ours, const float *theirs, size_t count,
                     double tolerance);

#endif
