/*
 * half.c - runs of the two half formats of model files.  The conversions
 * themselves are base's.
 */
#include "llm/hub/half.h"

#include <stdint.h>
#include <string.h>

#include "base/half.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "model files are little-endian and are read in place");

static uint16_t half_at(const void *in, size_t index)
{
    uint16_t half;
    memcpy(&half, (const unsigned char *)in + 2 * index, sizeof half);
    return half;
}

void llm_half_from_f16(const void *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = fmq_float_of_f16(half_at(in, i));
}

void llm_half_from_bf16(const void *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = fmq_float_of_bf16(half_at(in, i));
}

void llm_half_to_f16(const float *in, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half = fmq_f16_of_float(in[i]);
        memcpy((unsigned char *)out + 2 * i, &half, sizeof half);
    }
}

void llm_half_to_bf16(const float *in, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half = fmq_bf16_of_float(in[i]);
        memcpy((unsigned char *)out + 2 * i, &half, sizeof half);
    }
}
