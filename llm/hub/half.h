/*
 * half.h - F16 and BF16 against F32, on buffers of any alignment.
 *
 * Private to the engine.  Widening is exact; narrowing rounds to nearest, ties
 * to even, overflows to infinity and keeps NaN a NaN.
 */
#ifndef FEDMQ_LLM_HUB_HALF_H
#define FEDMQ_LLM_HUB_HALF_H

#include <stddef.h>

void llm_half_from_f16(const void *in, size_t count, float *out);
void llm_half_from_bf16(const void *in, size_t count, float *out);
void llm_half_to_f16(const float *in, size_t count, void *out);
void llm_half_to_bf16(const float *in, size_t count, void *out);

#endif
