/*
 * kernels/functions.h - exp, sigmoid and the normal distribution over vectors,
 * to about 1e-7 relative.  Included by the isa_*.c files only.
 *
 * The polynomials are Chebyshev fits made for this file (40-digit arithmetic,
 * the intervals and errors are named beside them).
 */
#ifndef LLM_BACKEND_CPU_FUNCTIONS_H
#define LLM_BACKEND_CPU_FUNCTIONS_H

#include "llm/backend/cpu/kernels/vector.h"

#define EXP_LOWEST  -87.33f /* e^x below is flushed to 0: no subnormals */
#define EXP_HIGHEST 88.37f  /* e^x above stays at about 2.4e38 */

/* e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2, and e^r = 1 + r + r^2 q(r)
 * with q of degree 4 (error of e^r 8e-9).  n is rounded by adding 1.5 2^23, so
 * that it appears in the low bits of the sum. */
INLINE vf v_exp(vf x)
{
    const float shift = 12582912.0f;
    vf bounded = v_max(v_set(EXP_LOWEST), v_min(v_set(EXP_HIGHEST), x));
    vf shifted = v_fma(bounded, v_set(1.44269504f), v_set(shift));
    vi n = (vi)shifted - (vi)v_set(shift);
    vf whole = shifted - shift;
    vf r = v_fma(whole, v_set(-0.693145752f), bounded);
    r = v_fma(whole, v_set(-1.42860677e-6f), r);
    vf q = v_fma(r, v_set(0.001392621347f), v_set(0.008363202972f));
    q = v_fma(q, r, v_set(0.04166655444f));
    q = v_fma(q, r, v_set(0.1666657685f));
    q = v_fma(q, r, v_set(0.5f));
    vf power = v_fma(q, r * r, r) + 1.0f;
    vf result = power * (vf)((n + 127) << 23);
    return v_select(x < v_set(EXP_LOWEST), v_set(0), result);
}

/* 1 / (1 + e^-x), and its complement by *rest, both without cancellation. */
INLINE vf v_sigmoid(vf x, vf *rest)
{
    vf e = v_exp(-x);
    vf s = 1.0f / (1.0f + e);
    *rest = e * s;
    return s;
}

/* tanh x.  Near 0, where 1 - 2 / (e^2x + 1) would cancel, x + x z q(z) with
 * z = x^2 and q of degree 4 over |x| <= 0.6 (error 1e-8). */
INLINE vf v_tanh(vf x)
{
    vf size = v_max(x, -x);
    vf z = x * x;
    vf q = v_fma(z, v_set(-0.00627638904f), v_set(0.02111621513f));
    q = v_fma(q, z, v_set(-0.05387513851f));
    q = v_fma(q, z, v_set(0.1333292401f));
    q = v_fma(q, z, v_set(-0.3333333043f));
    vf small = v_fma(x * z, q, x);
    vf large = 1.0f - 2.0f / (v_exp(2.0f * size) + 1.0f);
    return v_select(size < v_set(0.6f), small, v_select(x < v_set(0), -large, large));
}

/* Phi(x), the normal distribution.  With z = |x| / sqrt 2 and t = 1 / (1 + 0.4 z):
 * erfc(z) = t Q(t) exp(-z^2), Q of degree 8 over z in [0, 6.5], error 2e-8. */
INLINE vf v_normal(vf x)
{
    vf size = v_max(x, -x);
    vf z = size * 0.707106781f;
    vf t = 1.0f / v_fma(z, v_set(0.4f), v_set(1.0f));
    vf q = v_fma(t, v_set(0.02664981949f), v_set(-0.066549403f));
    q = v_fma(q, t, v_set(-0.07520515107f));
    q = v_fma(q, t, v_set(0.2793109804f));
    q = v_fma(q, t, v_set(-0.06012440226f));
    q = v_fma(q, t, v_set(0.2569769907f));
    q = v_fma(q, t, v_set(0.1843613538f));
    q = v_fma(q, t, v_set(0.2291187037f));
    q = v_fma(q, t, v_set(0.2254611242f));
    vf tail = 0.5f * t * q * v_exp(-0.5f * size * size);
    return v_select(x < v_set(0), tail, 1.0f - tail);
}

#endif
