/*
 * kernels/activations.h - the activation functions, plain and behind a gate.
 * Formulas are derived in reference/activation.c.  Included by the isa_*.c
 * files only.
 *
 * Each loop is compiled once for each kind, which is a constant within it.
 */
#ifndef LLM_BACKEND_CPU_ACTIVATIONS_H
#define LLM_BACKEND_CPU_ACTIVATIONS_H

#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/functions.h"

/* (1 + tanh u) / 2 = sigmoid(2u): the tanh form is x sigmoid(2u), without the
 * cancellation of 1 + tanh for negative x. */
#define GELU_2C 1.59576912f /* 2 sqrt(2 / pi) */
#define GELU_3C 0.134145f   /* 3 * 0.044715 */
#define QUICK   1.702f

INLINE vf value_of(vf x, llm_activation_t kind)
{
    vf rest;
    switch (kind) {
    case LLM_ACTIVATION_GELU:
        return x * v_normal(x);
    case LLM_ACTIVATION_GELU_TANH:
        return x * v_sigmoid(GELU_2C * x * v_fma(x * x, v_set(0.044715f), v_set(1.0f)), &rest);
    case LLM_ACTIVATION_RELU:
        return v_max(v_set(0), x);
    case LLM_ACTIVATION_QUICK_GELU:
        return x * v_sigmoid(QUICK * x, &rest);
    default:
        return x * v_sigmoid(x, &rest);
    }
}

INLINE vf slope_of(vf x, llm_activation_t kind)
{
    vf rest, squared = x * x, s;
    switch (kind) {
    case LLM_ACTIVATION_GELU:
        return v_fma(x * 0.39894228f, v_exp(-0.5f * x * x), v_normal(x));
    case LLM_ACTIVATION_GELU_TANH:
        s = v_sigmoid(GELU_2C * x * v_fma(squared, v_set(0.044715f), v_set(1.0f)), &rest);
        return v_fma(x * s * rest, GELU_2C * v_fma(squared, v_set(GELU_3C), v_set(1.0f)), s);
    case LLM_ACTIVATION_RELU:
        return v_select(x <= v_set(0), v_set(0), v_set(1.0f));
    case LLM_ACTIVATION_QUICK_GELU:
        s = v_sigmoid(QUICK * x, &rest);
        return s * v_fma(QUICK * x, rest, v_set(1.0f));
    default:
        s = v_sigmoid(x, &rest);
        return s * v_fma(x, rest, v_set(1.0f));
    }
}

INLINE void value_range(float *out, const float *x, size_t n, llm_activation_t kind)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        v_store_n(out + i, value_of(v_load_n(x + i, count), kind), count);
    }
}

INLINE void slope_range(float *dx, const float *dout, const float *x, size_t n,
                        llm_activation_t kind)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf slope = slope_of(v_load_n(x + i, count), kind);
        v_store_n(dx + i, v_load_n(dout + i, count) * slope, count);
    }
}

INLINE void gated_range(float *out, const float *gate, const float *up, size_t n,
                        llm_activation_t kind)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        v_store_n(out + i, value_of(v_load_n(gate + i, count), kind) * v_load_n(up + i, count),
                  count);
    }
}

INLINE void gated_dx_range(float *dgate, float *dup, const llm_cpu_glu_t *from, size_t n,
                           llm_activation_t kind)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf g = v_load_n(from->gate + i, count);
        vf u = v_load_n(from->up + i, count);
        vf d = v_load_n(from->dout + i, count);
        v_store_n(dgate + i, d * u * slope_of(g, kind), count);
        v_store_n(dup + i, d * value_of(g, kind), count);
    }
}

/* SwiGLU's needs one sigmoid, and multiplies from left to right. */
static void swiglu_dx(float *dgate, float *dup, const llm_cpu_glu_t *from, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf rest;
        vf g = v_load_n(from->gate + i, count);
        vf u = v_load_n(from->up + i, count);
        vf d = v_load_n(from->dout + i, count);
        vf s = v_sigmoid(g, &rest);
        v_store_n(dgate + i, d * u * s * v_fma(g, rest, v_set(1.0f)), count);
        v_store_n(dup + i, d * g * s, count);
    }
}

static void softcap(float *y, const float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        v_store_n(y + i, v_tanh(v_load_n(x + i, count) / cap) * cap, count);
    }
}

static void softcap_dx(float *dx, const float *y, float cap, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf t = v_load_n(y + i, count) / cap;
        v_store_n(dx + i, v_load_n(dx + i, count) * (1.0f - t * t), count);
    }
}

/* Calls range with the kind as a constant. */
#define BY_KIND(range, kind, ...)                                                                  \
    switch (kind) {                                                                                \
    case LLM_ACTIVATION_GELU:                                                                      \
        range(__VA_ARGS__, LLM_ACTIVATION_GELU);                                                   \
        break;                                                                                     \
    case LLM_ACTIVATION_GELU_TANH:                                                                 \
        range(__VA_ARGS__, LLM_ACTIVATION_GELU_TANH);                                              \
        break;                                                                                     \
    case LLM_ACTIVATION_RELU:                                                                      \
        range(__VA_ARGS__, LLM_ACTIVATION_RELU);                                                   \
        break;                                                                                     \
    case LLM_ACTIVATION_QUICK_GELU:                                                                \
        range(__VA_ARGS__, LLM_ACTIVATION_QUICK_GELU);                                             \
        break;                                                                                     \
    default:                                                                                       \
        range(__VA_ARGS__, LLM_ACTIVATION_SILU);                                                   \
    }

static void activation(float *out, const float *x, size_t n, llm_activation_t kind)
{
    BY_KIND(value_range, kind, out, x, n)
}

static void activation_dx(float *dx, const float *dout, const float *x, size_t n,
                          llm_activation_t kind)
{
    BY_KIND(slope_range, kind, dx, dout, x, n)
}

static void glu(float *out, const float *gate, const float *up, size_t n, llm_activation_t kind)
{
    BY_KIND(gated_range, kind, out, gate, up, n)
}

static void glu_dx(float *dgate, float *dup, const llm_cpu_glu_t *from, size_t n,
                   llm_activation_t kind)
{
    if (kind == LLM_ACTIVATION_SILU)
        swiglu_dx(dgate, dup, from, n);
    else
        BY_KIND(gated_dx_range, kind, dgate, dup, from, n)
}

#endif
