/*
 * rows.cu - rows by index, strided copies, biases, rotary positions: what moves
 * or turns rows without mixing tokens.
 */
#include "llm/backend/cuda/device.cuh"

constexpr unsigned THREADS_MAX = 256;

/* One block a row: threads for C channels, eight each. */
static dim3 threads_of(size_t C)
{
    const unsigned threads = ceil_div(ceil_div(C, PIECE), LANES) * LANES;
    return dim3(threads < THREADS_MAX ? threads : THREADS_MAX);
}

/* to[i] = (or +=) from[i], rows of C elements, by which rows each finds. */
template <bool ADD, class To, class From> DEVICE void move_row(To *to, const From *from, size_t C)
{
    for (size_t c = threadIdx.x * PIECE; c < C; c += blockDim.x * PIECE) {
        const long count = smaller((long)(C - c), PIECE);
        float v[PIECE];
        load8(v, from + c, count);
        if (ADD) {
            float old[PIECE];
            load8(old, to + c, count);
#pragma unroll
            for (int j = 0; j < PIECE; j++)
                v[j] = old[j] + v[j];
        }
        store8(to + c, v, count);
    }
}

template <class To, class From>
__global__ void gather(To *out, const From *table, const int32_t *rows, size_t C)
{
    move_row<false>(out + blockIdx.x * C, table + (size_t)rows[blockIdx.x] * C, C);
}

template <class A> __global__ void scatter(A *dx, const A *dout, const int32_t *rows, size_t C)
{
    move_row<true>(dx + (size_t)rows[blockIdx.x] * C, dout + blockIdx.x * C, C);
}

template <class A>
__global__ void copy(A *to, size_t to_stride, const A *from, size_t from_stride, size_t C)
{
    move_row<false>(to + blockIdx.x * to_stride, from + blockIdx.x * from_stride, C);
}

template <class A>
__global__ void gather_column(A *out, const A *x, size_t x_stride, const int32_t *ids, size_t C)
{
    const A *column = x + ids[blockIdx.x];
    for (size_t c = threadIdx.x; c < C; c += blockDim.x)
        out[blockIdx.x * C + c] = column[c * x_stride];
}

template <class A> __global__ void add_bias(A *y, const float *bias, size_t N)
{
    move_row<true>(y + blockIdx.x * N, bias, N);
}

void llm_cuda_embed_forward(const llm_cuda_queue_t *queue, void *out, const float *table,
                            const int32_t *ids, size_t T, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), threads_of(C), 0, gather<A, float>, (A *)out, table, ids,
               C);
    });
}

void llm_cuda_embed_forward_bf16(const llm_cuda_queue_t *queue, void *out, const void *table,
                                 const int32_t *ids, size_t T, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), threads_of(C), 0, gather<A, bf16>, (A *)out,
               (const bf16 *)table, ids, C);
    });
}

void llm_cuda_gather_rows(const llm_cuda_queue_t *queue, void *out, const void *x,
                          const int32_t *rows, size_t n, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)n), threads_of(C), 0, gather<A, A>, (A *)out, (const A *)x,
               rows, C);
    });
}

void llm_cuda_scatter_rows(const llm_cuda_queue_t *queue, void *dx, const void *dout,
                           const int32_t *rows, size_t n, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)n), threads_of(C), 0, scatter<A>, (A *)dx, (const A *)dout,
               rows, C);
    });
}

void llm_cuda_copy_rows(const llm_cuda_queue_t *queue, void *to, size_t to_stride, const void *from,
                        size_t from_stride, size_t n, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)n), threads_of(C), 0, copy<A>, (A *)to, to_stride,
               (const A *)from, from_stride, C);
    });
}

void llm_cuda_gather_columns(const llm_cuda_queue_t *queue, void *out, const void *x,
                             size_t x_stride, const int32_t *ids, size_t T, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), dim3(THREADS_MAX), 0, gather_column<A>, (A *)out,
               (const A *)x, x_stride, ids, C);
    });
}

void llm_cuda_bias_forward(const llm_cuda_queue_t *queue, void *y, const float *bias, size_t M,
                           size_t N)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)M), threads_of(N), 0, add_bias<A>, (A *)y, bias, N);
    });
}

/* The first i of first .. last with ids[i] == id, or last; for the block. */
DEVICE size_t next_of(const int32_t *ids, size_t first, size_t last, int32_t id, int *part)
{
    const int warps = blockDim.x / LANES;
    for (; first < last; first += blockDim.x) {
        const size_t i = first + threadIdx.x;
        const unsigned equal = __ballot_sync(ALL_LANES, i < last && ids[i] == id);
        if (threadIdx.x % LANES == 0)
            part[threadIdx.x / LANES] = equal ? __ffs((int)equal) - 1 : LANES;
        __syncthreads();
        int found = -1;
        for (int warp = warps - 1; warp >= 0; warp--)
            if (part[warp] < LANES)
                found = warp * LANES + part[warp];
        __syncthreads();
        if (found >= 0)
            return first + found;
    }
    return last;
}

/* Equal ids are one block's work, that of their first token: each row of the
 * table has one writer, which adds in the order of the tokens. */
template <class A>
__global__ void embed_backward(float *dtable, const A *dout, const int32_t *ids, size_t T, size_t C)
{
    SHARED(int, part, LANES);
    const size_t own = blockIdx.x;
    const int32_t id = ids[own];
    if (next_of(ids, 0, own, id, part) < own)
        return;
    for (size_t t = own; t < T; t = next_of(ids, t + 1, T, id, part))
        move_row<true>(dtable + (size_t)id * C, dout + t * C, C);
}

__global__ void lookup(float *h, const float *a, const int32_t *ids, size_t rank, size_t V)
{
    for (size_t r = threadIdx.x; r < rank; r += blockDim.x)
        h[blockIdx.x * rank + r] = a[r * V + (size_t)ids[blockIdx.x]];
}

void llm_cuda_lookup_forward(const llm_cuda_queue_t *queue, float *h, const float *a,
                             const int32_t *ids, size_t T, size_t rank, size_t V)
{
    launch(queue, dim3((unsigned)T), dim3(LANES), 0, lookup, h, a, ids, rank, V);
}

/* As embed_backward. */
__global__ void lookup_backward(float *da, const float *dh, const int32_t *ids, size_t T,
                                size_t rank, size_t V)
{
    SHARED(int, part, LANES);
    const size_t own = blockIdx.x;
    const int32_t id = ids[own];
    if (next_of(ids, 0, own, id, part) < own)
        return;
    for (size_t t = own; t < T; t = next_of(ids, t + 1, T, id, part))
        for (size_t r = threadIdx.x; r < rank; r += blockDim.x)
            da[r * V + (size_t)id] += dh[t * rank + r];
}

void llm_cuda_lookup_backward(const llm_cuda_queue_t *queue, float *da, const float *dh,
                              const int32_t *ids, size_t T, size_t rank, size_t V)
{
    launch(queue, dim3((unsigned)T), dim3(THREADS_MAX), 0, lookup_backward, da, dh, ids, T, rank,
           V);
}

void llm_cuda_embed_backward(const llm_cuda_queue_t *queue, float *dtable, const void *dout,
                             const int32_t *ids, size_t T, size_t C)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), threads_of(C), 0, embed_backward<A>, dtable,
               (const A *)dout, ids, T, C);
    });
}

/* So many pairs of elements that lie apart, or side by side. */
template <class A>
DEVICE void load_pairs(float *a, float *b, const A *head, size_t half, size_t j, long count)
{
    load8(a, head + j, count);
    load8(b, head + half + j, count);
}

template <class A>
DEVICE void store_pairs(A *head, const float *a, const float *b, size_t half, size_t j, long count)
{
    store8(head + j, a, count);
    store8(head + half + j, b, count);
}

template <class A> DEVICE void load_neighbours(float *a, float *b, const A *head, long count)
{
    float x[2 * PIECE] = {};
    load8(x, head, smaller(2 * count, PIECE));
    if (2 * count > PIECE)
        load8(x + PIECE, head + PIECE, 2 * count - PIECE);
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        a[i] = x[2 * i];
        b[i] = x[2 * i + 1];
    }
}

template <class A> DEVICE void store_neighbours(A *head, const float *a, const float *b, long count)
{
    float x[2 * PIECE];
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        x[2 * i] = a[i];
        x[2 * i + 1] = b[i];
    }
    store8(head, x, smaller(2 * count, PIECE));
    if (2 * count > PIECE)
        store8(head + PIECE, x + PIECE, 2 * count - PIECE);
}

/* A pair (a, b) becomes (a cos - b sin, b cos + a sin). */
template <class A>
DEVICE void turn(A *head, const float *cosine, const llm_cuda_rope_t &how, size_t j, bool inverse)
{
    const size_t half = how.rotary / 2;
    const long count = smaller((long)(half - j), PIECE);
    float a[PIECE], b[PIECE], c[PIECE], s[PIECE];
    if (how.interleaved)
        load_neighbours(a, b, head + 2 * j, count);
    else
        load_pairs(a, b, head, half, j, count);
    load8(c, cosine + j, count);
    load8(s, cosine + half + j, count);
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        const float sine = inverse ? -s[i] : s[i];
        const float turned = a[i] * c[i] - b[i] * sine;
        b[i] = b[i] * c[i] + a[i] * sine;
        a[i] = turned;
    }
    if (how.interleaved)
        store_neighbours(head + 2 * j, a, b, count);
    else
        store_pairs(head, a, b, half, j, count);
}

/* One block a token; its threads share the pieces of all heads. */
template <class A>
__global__ void rope(llm_cuda_rope_t heads, const int32_t *positions, const float *table,
                     bool inverse)
{
    const size_t t = blockIdx.x;
    const size_t pieces = (heads.rotary / 2 + PIECE - 1) / PIECE;
    const float *cosine = table + (size_t)positions[t] * heads.rotary;
    for (size_t i = threadIdx.x; i < (heads.H + heads.KV) * pieces; i += blockDim.x) {
        const size_t h = i / pieces, j = i % pieces * PIECE;
        A *head = h < heads.H ? (A *)heads.q + t * heads.q_stride + h * heads.D
                              : (A *)heads.k + t * heads.k_stride + (h - heads.H) * heads.D;
        turn(head, cosine, heads, j, inverse);
    }
}

void llm_cuda_rope(const llm_cuda_queue_t *queue, const llm_cuda_rope_t *heads,
                   const int32_t *positions, const float *table, size_t T, bool inverse)
{
    llm_cuda_rope_t which = *heads;
    if (!which.k)
        which.KV = 0;
    const size_t pieces = (which.H + which.KV) * ceil_div(which.rotary / 2, PIECE);
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        launch(queue, dim3((unsigned)T), threads_of(pieces * PIECE), 0, rope<A>, which, positions,
               table, inverse);
    });
}
