/*
 * kernels/fused.h - a b + c, rounded once, whether or not the machine has an
 * instruction for it.  Included by vector.h only.
 *
 * Without one: the product of two floats is exact in double, and its sum with
 * a third is rounded to double and then to float.  The second rounding goes
 * wrong only where the first has hidden on which side of the middle between two
 * floats the sum lies; such sums are rare, are recognised by their bits, and
 * are computed again with the hidden part.
 */
#ifndef LLM_BACKEND_CPU_FUSED_H
#define LLM_BACKEND_CPU_FUSED_H

#include <stdbool.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__AVX512F__)

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

#elif defined(__AVX2__)

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

#elif defined(__FP_FAST_FMAF)

INLINE vf v_fma(vf a, vf b, vf c)
{
    for (size_t i = 0; i < LANES; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}

#else

typedef float half_vf __attribute__((vector_size(LANES * 2)));
typedef double half_vd __attribute__((vector_size(LANES * 4)));
typedef int64_t half_vl __attribute__((vector_size(LANES * 4)));

INLINE half_vd v_low(vf v)
{
    return __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1), half_vd);
}

INLINE half_vd v_high(vf v)
{
    return __builtin_convertvector(__builtin_shufflevector(v, v, 2, 3), half_vd);
}

INLINE vf v_join(half_vd low, half_vd high)
{
    half_vf a = __builtin_convertvector(low, half_vf);
    half_vf b = __builtin_convertvector(high, half_vf);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3);
}

/* p + c rounded to odd: towards 0, and the last bit set where anything is
 * lost.  Rounded once more to fewer bits, that is p + c rounded once (Boldo and
 * Melquiond, "Emulation of a FMA and correctly rounded sums", 2008). */
INLINE half_vd v_add_to_odd(half_vd p, half_vd c)
{
    half_vd sum = p + c;
    half_vd of_c = sum - p;
    half_vd lost = (p - (sum - of_c)) + (c - of_c); /* exact (Knuth); NaN where sum is infinite */
    half_vl inexact = (half_vl)(lost > 0) | (half_vl)(lost < 0);
    half_vl away = ((half_vl)sum ^ (half_vl)lost) < 0; /* sum is larger than what it stands for */
    return (half_vd)(((half_vl)sum + (inexact & away)) | (inexact & 1));
}

static __attribute__((noinline)) vf fused_in_full(vf a, vf b, vf c)
{
    return v_join(v_add_to_odd(v_low(a) * v_low(b), v_low(c)),
                  v_add_to_odd(v_high(a) * v_high(b), v_high(c)));
}

/* Whether the rounding of a sum in double to a float is in doubt in any lane: the sum
 * lies in the middle of two floats, or among the subnormals, where middles lie
 * elsewhere. */
INLINE bool in_doubt(half_vd low, half_vd high, vf rounded)
{
    vw words = (vw)__builtin_shufflevector((vi)low, (vi)high, 0, 2, 4, 6);
    vi doubt = (words & 0x1fffffff) == 0x10000000;
    doubt |= ((vi)rounded & 0x7f800000) == 0;
#if defined(__SSE2__)
    return _mm_movemask_ps((__m128)doubt) != 0;
#else
    return (doubt[0] | doubt[1] | doubt[2] | doubt[3]) != 0;
#endif
}

INLINE vf v_fma(vf a, vf b, vf c)
{
    half_vd low = v_low(a) * v_low(b) + v_low(c);
    half_vd high = v_high(a) * v_high(b) + v_high(c);
    vf rounded = v_join(low, high);
    if (__builtin_expect(in_doubt(low, high, rounded), 0))
        return fused_in_full(a, b, c);
    return rounded;
}

#endif
#endif
