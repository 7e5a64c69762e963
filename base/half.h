/*
 * half.h - the two 16-bit floats, F16 (IEEE 754 binary16) and BF16 (the upper
 * half of binary32), as bits: widening is exact, narrowing rounds to nearest,
 * ties to even, overflows to infinity and keeps a NaN a NaN.
 *
 * Scalar and branch-light, so that loops around them become vectors.  There is
 * no arithmetic on 16-bit floats.
 */
#ifndef FEDMQ_BASE_HALF_H
#define FEDMQ_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float fmq_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t fmq_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float fmq_float_of_bf16(uint16_t half)
{
    return fmq_float_of_bits((uint32_t)half << 16);
}

static inline uint16_t fmq_bf16_of_float(float value)
{
    uint32_t bits = fmq_bits_of_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* The fraction and exponent, read as a float, are 2^-112 of the value, for
 * subnormals too; only infinity and NaN need their exponent set. */
static inline float fmq_float_of_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t size = (uint32_t)(half & 0x7fffu) << 13;
    uint32_t value = fmq_bits_of_float(fmq_float_of_bits(size) * 0x1p112f);
    uint32_t special = size >= 0x0f800000u ? 0x7f800000u : 0;
    return fmq_float_of_bits(value | special | sign);
}

/* Rounding by the adder: for normal halves, adding half of the last kept bit
 * (minus one, plus that bit: ties to even) carries into the exponent as it
 * should; for subnormal ones, adding 0.5f aligns the fraction to 2^-24. */
static inline uint16_t fmq_f16_of_float(float value)
{
    uint32_t bits = fmq_bits_of_float(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t size = bits & 0x7fffffffu;
    uint32_t half;
    if (size > 0x7f800000u) /* NaN: quiet, with what fits of its payload */
        half = 0x7e00u | (size >> 13 & 0x3ffu);
    else if (size >= 0x47800000u) /* 65536 and up, infinity */
        half = 0x7c00u;
    else if (size < 0x38800000u) /* below 2^-14 */
        half = fmq_bits_of_float(fmq_float_of_bits(size) + 0.5f) - 0x3f000000u;
    else
        half = (size - 0x38000000u + 0x0fffu + (size >> 13 & 1u)) >> 13;
    return (uint16_t)(sign | half);
}

#endif
