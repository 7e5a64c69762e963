/*
 * elements.cu - activations element by element: sums, GELU, SwiGLU;
 * and dropout's masks.
 *
 * A thread handles eight elements at a time, 16 bytes of bf16.  The formulas
 * and their derivations are those of backend/reference/activation.c.
 */
#include "llm/backend/cuda/device.cuh"
#include "llm/backend/cuda/random.cuh"

constexpr unsigned THREADS = 256;
constexpr unsigned BLOCKS_MAX = 4096;

constexpr float SQRT_2_OVER_PI = 0.79788456080286535588f;
constexpr float SQRT_HALF = 0.70710678118654752440f;
constexpr float INV_SQRT_2PI = 0.39894228040143267794f;
constexpr float GELU_CUBIC = 0.044715f;

/* what(first, count) for pieces of eight of n elements. */
template <class F> __global__ void each(F what, size_t n)
{
    const size_t step = (size_t)gridDim.x * blockDim.x * PIECE;
    for (size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * PIECE; i < n; i += step)
        what(i, smaller((long)(n - i), PIECE));
}

template <class F> static void run(const llm_cuda_queue_t *queue, F what, size_t n)
{
    const size_t blocks = ceil_div(n, THREADS * PIECE);
    launch(queue, dim3((unsigned)smaller((long)blocks, BLOCKS_MAX)), dim3(THREADS), 0, each<F>,
           what, n);
}

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

template <bool EXACT> DEVICE float gelu(float x)
{
    const float inner =
        EXACT ? erff(x * SQRT_HALF) : tanhf(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
    return 0.5f * x * (1.0f + inner);
}

template <bool EXACT> DEVICE float gelu_slope(float x)
{
    if (EXACT)
        return 0.5f * (1.0f + erff(x * SQRT_HALF)) + x * INV_SQRT_2PI * expf(-0.5f * x * x);
    const float t = tanhf(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
    const float du = SQRT_2_OVER_PI * (1.0f + 3.0f * GELU_CUBIC * x * x);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * du;
}

template <class A, bool EXACT> struct gelu_forward_t {
    A *out;
    const A *x;

    __device__ void operator()(size_t i, long count) const
    {
        float v[PIECE];
        load8(v, x + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            v[j] = gelu<EXACT>(v[j]);
        store8(out + i, v, count);
    }
};

template <class A, bool EXACT> struct gelu_backward_t {
    A *dx;
    const A *dout, *x;

    __device__ void operator()(size_t i, long count) const
    {
        float v[PIECE], d[PIECE];
        load8(v, x + i, count);
        load8(d, dout + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            d[j] *= gelu_slope<EXACT>(v[j]);
        store8(dx + i, d, count);
    }
};

void llm_cuda_gelu_forward(const llm_cuda_queue_t *queue, void *out, const void *x, size_t n,
                           bool exact)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        if (exact)
            run(queue, gelu_forward_t<A, true>{(A *)out, (const A *)x}, n);
        else
            run(queue, gelu_forward_t<A, false>{(A *)out, (const A *)x}, n);
    });
}

void llm_cuda_gelu_backward(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                            const void *x, size_t n, bool exact)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        if (exact)
            run(queue, gelu_backward_t<A, true>{(A *)dx, (const A *)dout, (const A *)x}, n);
        else
            run(queue, gelu_backward_t<A, false>{(A *)dx, (const A *)dout, (const A *)x}, n);
    });
}

template <class A> struct swiglu_forward_t {
    A *out;
    const A *gate, *up;

    __device__ void operator()(size_t i, long count) const
    {
        float g[PIECE], u[PIECE];
        load8(g, gate + i, count);
        load8(u, up + i, count);
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            g[j] = g[j] / (1.0f + expf(-g[j])) * u[j];
        store8(out + i, g, count);
    }
};

/* dgate and dup may be gate and up: a thread has read its piece before it
 * writes it. */
template <class A> struct swiglu_backward_t {
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
            const float sigma = 1.0f / (1.0f + expf(-g[j]));
            const float silu = g[j] * sigma;
            g[j] = d[j] * u[j] * sigma * (1.0f + g[j] * (1.0f - sigma));
            u[j] = d[j] * silu;
        }
        store8(dgate + i, g, count);
        store8(dup + i, u, count);
    }
};

void llm_cuda_swiglu_forward(const llm_cuda_queue_t *queue, void *out, const void *gate,
                             const void *up, size_t n)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue, swiglu_forward_t<A>{(A *)out, (const A *)gate, (const A *)up}, n);
    });
}

void llm_cuda_swiglu_backward(const llm_cuda_queue_t *queue, void *dgate, void *dup,
                              const void *dout, const void *gate, const void *up, size_t n)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        run(queue,
            swiglu_backward_t<A>{(A *)dgate, (A *)dup, (const A *)dout, (const A *)gate,
                                 (const A *)up},
            n);
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
