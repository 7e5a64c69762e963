/*
 * half.h - widening of 16-bit floats as they are stored in model files.
 *
 * Bits in, float out; exact for every value, subnormal, infinity and NaN.
 * There is no arithmetic on 16-bit floats and no narrowing here.
 */
#ifndef LLM_BACKEND_HALF_H
#define LLM_BACKEND_HALF_H

#include <stdint.h>
#include <string.h>

#include "fedmq/base/schema.h"

static inline float llm_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float llm_float_of_bf16(uint16_t bits)
{
    return llm_float_of_bits((uint32_t)bits << 16);
}

static inline float llm_float_of_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1fu;
    uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0x1f) /* infinity and NaN */
        return llm_float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24 */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    return llm_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Element index of host memory of dtype F32, F16 or BF16. */
static inline float llm_float_at(const void *data, fmq_dtype_t dtype, size_t index)
{
    if (dtype == FMQ_F32)
        return ((const float *)data)[index];
    uint16_t bits = ((const uint16_t *)data)[index];
    return dtype == FMQ_BF16 ? llm_float_of_bf16(bits) : llm_float_of_f16(bits);
}

#endif
