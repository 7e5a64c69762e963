/*
 * magnitude.h - which of a row of numbers are the smallest.
 */
#ifndef FEDMQ_LLM_OFFSITE_MAGNITUDE_H
#define FEDMQ_LLM_OFFSITE_MAGNITUDE_H

#include <stdint.h>

#include "fedmq/base/error.h"

#define LLM_MAGNITUDE_BUCKETS 65536

/* Bit i of mask (low bit first, (count + 7) / 8 bytes) becomes 0 for the drop
 * smallest |values[i]| and 1 for the others; of equal ones the first are
 * dropped.  drop <= count.  Time is linear. */
int llm_magnitude_mask(const float *values, uint64_t count, uint64_t drop, uint8_t *mask,
                       fmq_error_t *err);

#endif
