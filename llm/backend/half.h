/*
 * half.h - widening of 16-bit floats as they are stored in model files.
 *
 * Bits in, float out; exact for every value, subnormal, infinity and NaN.
 * There is no arithmetic on 16-bit floats and no narrowing here.
 */
#ifndef LLM_BACKEND_HALF_H
#define LLM_BACKEND_HALF_H

#include <stddef.h>
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

/* The fraction and exponent, read as a float, are 2^-112 of the value, for
 * subnormals too; only infinity and NaN need their exponent set. */
static inline float llm_float_of_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t size = (uint32_t)(bits & 0x7fffu) << 13;
    float scaled = llm_float_of_bits(size) * 0x1p112f;
    uint32_t value;
    memcpy(&value, &scaled, sizeof value);
    uint32_t special = size >= 0x0f800000u ? 0x7f800000u : 0;
    return llm_float_of_bits(value | special | sign);
}

/* Element index of host memory of dtype F32, F16 or BF16, aligned or not. */
static inline float llm_float_at(const void *data, fmq_dtype_t dtype, size_t index)
{
    if (dtype == FMQ_F32) {
        float value;
        memcpy(&value, (const char *)data + index * sizeof value, sizeof value);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, (const char *)data + index * sizeof bits, sizeof bits);
    return dtype == FMQ_BF16 ? llm_float_of_bf16(bits) : llm_float_of_f16(bits);
}

/* Elements index .. index + count of it. */
static inline void llm_floats_at(float *to, const void *data, fmq_dtype_t dtype, size_t index,
                                 size_t count)
{
    if (dtype == FMQ_F32)
        memcpy(to, (const char *)data + index * sizeof *to, count * sizeof *to);
    else if (dtype == FMQ_BF16)
        for (size_t i = 0; i < count; i++)
            to[i] = llm_float_at(data, FMQ_BF16, index + i);
    else
        for (size_t i = 0; i < count; i++)
            to[i] = llm_float_at(data, FMQ_F16, index + i);
}

#endif
