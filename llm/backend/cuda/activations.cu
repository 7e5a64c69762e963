/*
 * activations.cu - the activation functions, plain and behind a gate.
 *
 * The formulas and their derivations are those of
 * backend/reference/activation.c.
 */
#include "fedmq/llm/activation.h"
#include "llm/backend/cuda/each.cuh"

constexpr float SQRT_2_OVER_PI = 0.79788456080286535588f;
constexpr float SQRT_HALF = 0.70710678118654752440f;
constexpr float INV_SQRT_2PI = 0.39894228040143267794f;
constexpr float GELU_CUBIC = 0.044715f;
constexpr float QUICK = 1.702f;

template <llm_activation_t KIND> DEVICE float value_of(float x)
{
    if (KIND == LLM_ACTIVATION_GELU)
        return 0.5f * x * (1.0f + erff(x * SQRT_HALF));
    if (KIND == LLM_ACTIVATION_GELU_TANH)
        return 0.5f * x * (1.0f + tanhf(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)));
    if (KIND == LLM_ACTIVATION_RELU)
        return x <= 0.0f ? 0.0f : x;
    if (KIND == LLM_ACTIVATION_QUICK_GELU)
        return x / (1.0f + expf(-QUICK * x));
    return x / (1.0f + expf(-x));
}

template <llm_activation_t KIND> DEVICE float slope_of(float x)
{
    if (KIND == LLM_ACTIVATION_GELU)
        return 0.5f * (1.0f + erff(x * SQRT_HALF)) + x * INV_SQRT_2PI * expf(-0.5f * x * x);
    if (KIND == LLM_ACTIVATION_GELU_TANH) {
        const float t = tanhf(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
        const float du = SQRT_2_OVER_PI * (1.0f + 3.0f * GELU_CUBIC * x * x);
        return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * du;
    }
    if (KIND == LLM_ACTIVATION_RELU)
        return x <= 0.0f ? 0.0f : 1.0f;
    const float k = KIND == LLM_ACTIVATION_QUICK_GELU ? QUICK : 1.0f;
    const float sigma = 1.0f / (1.0f + expf(-k * x));
    return sigma * (1.0f + k * x * (1.0f - sigma));
}

/* body(kind), kind being a type that holds it as a constant. */
template <llm_activation_t KIND> struct kind_t {
    static constexpr llm_activation_t kind = KIND;
};

template <class F> static void for_kind(llm_activation_t kind, F body)
{
    switch (kind) {
    case LLM_ACTIVATION_GELU:
        return body(kind_t<LLM_ACTIVATION_GELU>());
    case LLM_ACTIVATION_GELU_TANH:
        return body(kind_t<LLM_ACTIVATION_GELU_TANH>());
    case LLM_ACTIVATION_RELU:
        return body(kind_t<LLM_ACTIVATION_RELU>());
    case LLM_ACTIVATION_QUICK_GELU:
        return body(kind_t<LLM_ACTIVATION_QUICK_GELU>());
    default:
        return body(kind_t<LLM_ACTIVATION_SILU>());
    }
}

template <class A, llm_activation_t KIND> struct forward_t {
    A *out;
    const A *x;

    __device__ void operator()(size_t i, long count) const
    {
        float v[PIECE];
        load8(v, x + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            v[j] = value_of<KIND>(v[j]);
        store8(out + i, v, count);
    }
};

template <class A, llm_activation_t KIND> struct backward_t {
    A *dx;
    const A *dout, *x;

    __device__ void operator()(size_t i, long count) const
    {
        float v[PIECE], d[PIECE];
        load8(v, x + i, count);
        load8(d, dout + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            d[j] *= slope_of<KIND>(v[j]);
        store8(dx + i, d, count);
    }
};

void llm_cuda_activation_forward(const llm_cuda_queue_t *queue, void *out, const void *x, size_t n,
                                 llm_activation_t kind)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        for_kind(kind, [&](auto k) {
            run(queue, forward_t<A, decltype(k)::kind>{(A *)out, (const A *)x}, n);
        });
    });
}

void llm_cuda_activation_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                                  const void *x, size_t n, llm_activation_t kind)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        for_kind(kind, [&](auto k) {
            run(queue,
                backward_t<A, decltype(k)::kind>{(A *)dx, (const A *)dout, (const A *)x}, n);
        });
    });
}

template <class A, llm_activation_t KIND> struct glu_forward_t {
    A *out;
    const A *gate, *up;

    __device__ void operator()(size_t i, long count) const
    {
        float g[PIECE], u[PIECE];
        load8(g, gate + i, count);
        load8(u, up + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            g[j] = value_of<KIND>(g[j]) * u[j];
        store8(out + i, g, count);
    }
};

/* dgate and dup may be gate and up: a thread has read its piece before it
 * writes it. */
template <class A, llm_activation_t KIND> struct glu_backward_t {
    A *dgate, *dup;
    const A *dout, *gate, *up;

    __device__ void operator()(size_t i, long count) const
    {
        float g[PIECE], u[PIECE], d[PIECE];
        load8(g, gate + i, count);
        load8(u, up + i, count);
        load8(d, dout + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
            if (KIND == LLM_ACTIVATION_SILU) { /* one exponential for both */
                const float sigma = 1.0f / (1.0f + expf(-g[j]));
                const float silu = g[j] * sigma;
                g[j] = d[j] * u[j] * sigma * (1.0f + g[j] * (1.0f - sigma));
                u[j] = d[j] * silu;
                continue;
            }
            const float value = value_of<KIND>(g[j]);
            g[j] = d[j] * u[j] * slope_of<KIND>(g[j]);
            u[j] = d[j] * value;
        }
        store8(dgate + i, g, count);
        store8(dup + i, u, count);
    }
};

void llm_cuda_glu_forward(const llm_cuda_queue_t *queue, void *out, const void *gate,
                          const void *up, size_t n, llm_activation_t kind)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        for_kind(kind, [&](auto k) {
            run(queue,
                glu_forward_t<A, decltype(k)::kind>{(A *)out, (const A *)gate, (const A *)up}, n);
        });
    });
}

void llm_cuda_glu_backward(const llm_cuda_queue_t *queue, void *dgate, void *dup, const void *dout,
                           const void *gate, const void *up, size_t n, llm_activation_t kind)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        for_kind(kind, [&](auto k) {
            run(queue,
                glu_backward_t<A, decltype(k)::kind>{(A *)dgate, (A *)dup, (const A *)dout,
                                                     (const A *)gate, (const A *)up},
                n);
        });
    });
}

/* y = cap tanh(x / cap); backward multiplies its first by the slope that the
 * second, y, tells. */
template <class A, bool BACK> struct softcap_t {
    A *to;
    const A *from;
    float cap;

    __device__ void operator()(size_t i, long count) const
    {
        float x[PIECE], d[PIECE];
        load8(x, from + i, count);
        if (BACK)
            load8(d, to + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
            const float t = x[j] / cap;
            x[j] = BACK ? d[j] * (1.0f - t * t) : cap * tanhf(t);
        }
        store8(to + i, x, count);
    }
};

void llm_cuda_softcap_forward(const llm_cuda_queue_t *queue, void *y, const void *x, float cap,
                              size_t n)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, softcap_t<A, false>{(A *)y, (const A *)x, cap}, n);
    });
}

void llm_cuda_softcap_backward(const llm_cuda_queue_t *queue, void *dx, const void *y, float cap,
                               size_t n)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, softcap_t<A, true>{(A *)dx, (const A *)y, cap}, n);
    });
}
