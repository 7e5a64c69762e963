/*
 * half.h - elements of host memory of dtype F32, F16 or BF16 as floats.
 *
 * Reading only, at any alignment.  The conversions themselves are base's.
 */
#ifndef LLM_BACKEND_HALF_H
#define LLM_BACKEND_HALF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"
#include "fedmq/base/schema.h"

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
    return dtype == FMQ_BF16 ? fmq_float_of_bf16(bits) : fmq_float_of_f16(bits);
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
