/*
 * half.c - the two half formats of model files, by bit arithmetic.  The
 * fast conversions of kernels are the backend's.
 */
#include "llm/hub/half.h"

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "model files are little-endian and are read in place");

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float widen_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (uint32_t)(half >> 10) & 31;
    uint32_t mantissa = (uint32_t)half & 0x3ff;
    if (exponent == 31)
        return float_of(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) /* zero or subnormal: mantissa * 2^-24 */
        return float_of(sign | bits_of((float)mantissa * 0x1p-24f));
    return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

static uint16_t narrow_f16(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
    if (bits >= 0x47800000) /* 65536 and more */
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) /* below 2^-14: adding 1/2 rounds at 2^-24 */
        return (uint16_t)(sign | (bits_of(float_of(bits) + 0.5f) - bits_of(0.5f)));
    /* Rounding up may carry into the exponent, up to infinity, as it should. */
    uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | ((rounded >> 13) - (112 << 10)));
}

static uint16_t narrow_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t half_at(const void *in, size_t index)
{
    uint16_t half;
    memcpy(&half, (const unsigned char *)in + 2 * index, sizeof half);
    return half;
}

void llm_half_from_f16(const void *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = widen_f16(half_at(in, i));
}

void llm_half_from_bf16(const void *in, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = float_of((uint32_t)half_at(in, i) << 16);
}

void llm_half_to_f16(const float *in, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half = narrow_f16(in[i]);
        memcpy((unsigned char *)out + 2 * i, &half, sizeof half);
    }
}

void llm_half_to_bf16(const float *in, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half = narrow_bf16(in[i]);
        memcpy((unsigned char *)out + 2 * i, &half, sizeof half);
    }
}
