/*
 * scores.cuh - scores of attention that are more than products: within a
 * window, under a soft cap, with slopes (llm_attention_t in fedmq/llm/backend.h).
 * Kernels are compiled with and without, by their template.
 */
#ifndef LLM_BACKEND_CUDA_SCORES_CUH
#define LLM_BACKEND_CUDA_SCORES_CUH

#include "llm/backend/cuda/device.cuh"

constexpr int NO_WINDOW = 1 << 30;

/* Of a head's scores, in units of its maker's. */
struct bend_t {
    int window;
    float scale, cap, inverse, slope; /* cap 0: none; inverse: what tanh takes of a product */
};

template <class S> __host__ __device__ bool is_bent(const S &shape)
{
    return shape.window > 0 || shape.softcap > 0 || shape.slopes;
}

template <class S> DEVICE bend_t bend_of(const S &shape, int h, float unit)
{
    bend_t b = {NO_WINDOW, shape.scale * unit, shape.softcap * unit, 0, 0};
    if (shape.window > 0)
        b.window = (int)smaller((long)shape.window, NO_WINDOW);
    if (shape.softcap > 0)
        b.inverse = shape.scale / shape.softcap;
    if (shape.slopes)
        b.slope = shape.slopes[h] * unit;
    return b;
}

/* Whether a query sees a key that lies apart = key - query from it. */
DEVICE bool sees(const bend_t &b, int apart)
{
    return apart <= 0 && -apart < b.window;
}

/* The first key that a query sees. */
DEVICE int first_seen(const bend_t &b, int query)
{
    return query >= b.window ? query + 1 - b.window : 0;
}

/* The score of a product q.k. */
DEVICE float bent(const bend_t &b, float product, int apart)
{
    const float s = b.cap > 0 ? b.cap * tanhf(product * b.inverse) : product * b.scale;
    return fmaf(b.slope, (float)apart, s);
}

/* A score's derivative by scale q.k, from what tanh gave. */
DEVICE float slope_of(const bend_t &b, float product)
{
    if (!(b.cap > 0))
        return 1.0f;
    const float t = tanhf(product * b.inverse);
    return 1.0f - t * t;
}

/* The same from p = 2^(score - lse), when the product is not there any more. */
DEVICE float slope_of_share(const bend_t &b, float p, float lse, int apart)
{
    if (!(b.cap > 0))
        return 1.0f;
    if (!(p > 0))
        return 0.0f;
    const float t = (log2f(p) + lse - b.slope * (float)apart) / b.cap;
    return 1.0f - t * t;
}

#endif
