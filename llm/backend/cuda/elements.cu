/*
 * elements.cu - sums and conversions of activations, and dropout's masks.
 */
#include "llm/backend/cuda/each.cuh"
#include "llm/backend/cuda/random.cuh"

template <class A> struct add_t {
    A *y;
    const A *x;

    __device__ void operator()(size_t i, long count) const
    {
        float a[PIECE], b[PIECE];
        load8(a, y + i, count);
        load8(b, x + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            a[j] += b[j];
        store8(y + i, a, count);
    }
};

void llm_cuda_add(const llm_cuda_queue_t *queue, void *y, const void *x, size_t n)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, add_t<A>{(A *)y, (const A *)x}, n);
    });
}

template <class A> struct scale_act_t {
    A *y;
    const A *x;
    float factor;

    __device__ void operator()(size_t i, long count) const
    {
        float a[PIECE];
        load8(a, x + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            a[j] *= factor;
        store8(y + i, a, count);
    }
};

void llm_cuda_scale_act(const llm_cuda_queue_t *queue, void *y, const void *x, float factor,
                        size_t n)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, scale_act_t<A>{(A *)y, (const A *)x, factor}, n);
    });
}

/* A row's mask is a whole number of bytes; element i of the stream counts over
 * rows without gaps. */
struct mask_t {
    uint8_t *mask;
    size_t in, bytes;
    llm_cuda_dropout_t stream;

    __device__ void operator()(size_t first, long count) const
    {
        for (size_t byte = first; byte < first + (size_t)count; byte++) {
            const size_t row = byte / bytes, c = byte % bytes * 8;
            const uint32_t inside = in - c < 8 ? (1u << (in - c)) - 1u : 0xffu;
            mask[byte] = (uint8_t)(kept8(stream, row * in + c) & inside);
        }
    }
};

void llm_cuda_dropout_mask(const llm_cuda_queue_t *queue, uint8_t *mask, size_t M, size_t in,
                           const llm_cuda_dropout_t *stream)
{
    const size_t bytes = (in + 7) / 8;
    run(queue, mask_t{mask, in, bytes, *stream}, M * bytes);
}

template <class To, class From> struct convert_t {
    To *to;
    const From *from;
    bool add;

    __device__ void operator()(size_t i, long count) const
    {
        float v[PIECE], sum[PIECE] = {};
        load8(v, from + i, count);
        if (add)
            load8(sum, to + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            v[j] = add ? sum[j] + v[j] : v[j];
        store8(to + i, v, count);
    }
};

void llm_cuda_widen(const llm_cuda_queue_t *queue, float *out, const void *x, size_t n, bool add)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, convert_t<float, A>{out, (const A *)x, add}, n);
    });
}

void llm_cuda_narrow(const llm_cuda_queue_t *queue, void *out, const float *x, size_t n, bool add)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, convert_t<A, float>{(A *)out, x, add}, n);
    });
}
