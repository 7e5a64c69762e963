/*
 * quantize.h - weights as small integers with one scale a group.
 */
#ifndef FEDMQ_LLM_OFFSITE_QUANTIZE_H
#define FEDMQ_LLM_OFFSITE_QUANTIZE_H

#include <stdint.h>

#define LLM_QUANTIZATION_GROUP     64 /* where a spec says 0 */
#define LLM_QUANTIZATION_GROUP_MAX 65536

typedef struct {
    uint32_t bits;  /* 8 or 4 */
    uint32_t group; /* a power of two: neighbours along a row that share a scale; the last
                       of a row may be fewer */
} llm_quantization_t;

uint64_t llm_quantization_groups(const llm_quantization_t *how, uint64_t columns);

/* codes [rows][columns] (8 bits) or [rows][columns / 2] (4 bits, columns even,
 * low half first); scales [rows][groups].  A weight is (code - 2^(bits-1)) *
 * scale, off by at most half a scale.  -1 when a value is not finite, or out
 * of memory. */
int llm_quantize(const float *values, uint64_t rows, uint64_t columns,
                 const llm_quantization_t *how, uint8_t *codes, float *scales);

#endif
