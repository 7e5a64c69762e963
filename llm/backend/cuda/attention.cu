/*
 * attention.cu - causal attention over packed sequences, forward: online
 * softmax over tiles of keys, the scores never stored (Dao et al. 2022).
 *
 * In bf16 a block has a head's queries of a piece of a sequence in shared
 * memory and lets the keys and values pass by, two tiles in flight.  Blocks
 * with the most keys are started first.  In float, which exists to be compared
 * with, a warp has one query.
 */
#include <type_traits>

#include "llm/backend/cuda/attention.cuh"

template <class A> struct forward_t {
    A *out;
    float *lse;
    const A *q, *k, *v;
    llm_cuda_attention_t shape;
};

/* Tiles by head width: warps, 16-row tiles of a warp, keys of a tile.  Bent scores
 * take a few registers more: one block at a time may have them all. */
template <int WIDTH, bool BENDS> struct tiles_t {
    static constexpr int D = WIDTH;
    static constexpr bool BENT = BENDS;
    static constexpr bool WIDE = D >= (BENT ? 128 : 256);
    static constexpr int WARPS = WIDE ? 8 : 4;
    static constexpr int MT = WIDE ? 1 : 2;
    static constexpr int KEYS = D >= 96 ? 32 : 64; /* as registers allow */
    static constexpr int QUERIES = WARPS * MT * 16;
    static constexpr int THREADS = WARPS * LANES;
    static constexpr size_t BYTES = (QUERIES + 4 * KEYS) * pitch(D) * sizeof(bf16);
};

/* Scores of 16 queries from query on against keys from key on: of keys behind
 * a query nothing. */
template <int KEYS> DEVICE void mask_causal(float (*s)[4], int query, int key)
{
    const int lane = threadIdx.x % LANES, g = lane / 4, t = lane % 4;
    if (key + KEYS - 1 <= query)
        return;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int r = 0; r < 4; r++)
            if (key + n * 8 + 2 * t + r % 2 > query + g + r / 2 * 8)
                s[n][r] = -INFINITY;
}

/* The same with scores that are bent, as powers of two. */
template <int KEYS> DEVICE void bend_scores(float (*s)[4], int query, int key, const bend_t &bend)
{
    const int lane = threadIdx.x % LANES, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int apart = key + n * 8 + 2 * t + r % 2 - (query + g + r / 2 * 8);
            s[n][r] = sees(bend, apart) ? bent(bend, s[n][r], apart) : -INFINITY;
        }
}

/* What is known of a row so far: the largest score in powers of two, and this
 * lane's share of the sum of 2^(score - largest). */
struct softmax_t {
    float largest, sum;
};

/* Scores become probabilities of the larger largest; what was summed before is
 * worth the factor that is returned. */
template <int KEYS, bool BENT>
DEVICE float softmax_rows(softmax_t &row, float (*s)[4], int half, float scale)
{
    float largest = -INFINITY;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
        largest = fmaxf(largest, fmaxf(s[n][half], s[n][half + 1]));
    largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
    largest = fmaxf(row.largest, largest * scale);
    /* A window may leave a row none of a tile's keys, and none so far. */
    const float from = BENT && largest == -INFINITY ? 0.0f : largest;
    const float factor = exp2f(row.largest - from);
    row.largest = largest;
    row.sum *= factor;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            s[n][half + e] = exp2f(fmaf(s[n][half + e], scale, -from));
            row.sum += s[n][half + e];
        }
    return factor;
}

/* One tile of keys for the rows of a warp. */
template <class L>
DEVICE void attend(float (*o)[L::D / 8][4], softmax_t (*rows)[2], const bf16 *q, const bf16 *k,
                   const bf16 *v, int warp_row, int query, int key, const bend_t &bend)
{
    float s[L::MT][L::KEYS / 8][4] = {};
#pragma unroll 2
    for (int d = 0; d < L::D; d += 16) { /* unrolled further, fragments would spill */
        uint32_t a[L::MT][4];
#pragma unroll
        for (int m = 0; m < L::MT; m++)
            load_a<L::D>(a[m], q, warp_row + 16 * m, d);
#pragma unroll
        for (int n = 0; n < L::KEYS; n += 16) {
            uint32_t b[4];
            load_b_rows<L::D>(b, k, n, d);
#pragma unroll
            for (int m = 0; m < L::MT; m++) {
                mma(s[m][n / 8], a[m], b);
                mma(s[m][n / 8 + 1], a[m], b + 2);
            }
        }
    }
#pragma unroll
    for (int m = 0; m < L::MT; m++) {
        if (L::BENT)
            bend_scores<L::KEYS>(s[m], query + warp_row + 16 * m, key, bend);
        else
            mask_causal<L::KEYS>(s[m], query + warp_row + 16 * m, key);
        const float scale = L::BENT ? 1.0f : bend.scale;
        const float low = softmax_rows<L::KEYS, L::BENT>(rows[m][0], s[m], 0, scale);
        const float high = softmax_rows<L::KEYS, L::BENT>(rows[m][1], s[m], 2, scale);
#pragma unroll
        for (int n = 0; n < L::D / 8; n++) {
            o[m][n][0] *= low;
            o[m][n][1] *= low;
            o[m][n][2] *= high;
            o[m][n][3] *= high;
        }
    }
#pragma unroll
    for (int n = 0; n < L::KEYS; n += 16) {
        uint32_t a[L::MT][4];
#pragma unroll
        for (int m = 0; m < L::MT; m++)
            as_a(a[m], s[m], n / 16);
#pragma unroll
        for (int d = 0; d < L::D; d += 16) {
            uint32_t b[4];
            load_b_columns<L::D>(b, v, n, d);
#pragma unroll
            for (int m = 0; m < L::MT; m++) {
                mma(o[m][d / 8], a[m], b);
                mma(o[m][d / 8 + 1], a[m], b + 2);
            }
        }
    }
}

template <class L>
__global__ void __launch_bounds__(L::THREADS, L::BENT) attention_forward(forward_t<bf16> how)
{
    DYNAMIC_SHARED(bf16, q_tile);
    bf16 *k_tiles = q_tile + L::QUERIES * pitch(L::D),
         *v_tiles = k_tiles + 2 * L::KEYS * pitch(L::D);
    const llm_cuda_attention_t &shape = how.shape;
    const int s = blockIdx.x / (int)shape.H, h = blockIdx.x % (int)shape.H;
    const int first = (int)shape.starts[s], length = (int)shape.starts[s + 1] - first;
    const int query = ((int)gridDim.y - 1 - (int)blockIdx.y) * L::QUERIES;
    if (query >= length)
        return;
    const int width = (int)shape.D, kv = h / (int)(shape.H / shape.KV);
    const int end = (int)smaller(length, query + L::QUERIES); /* of the keys that are seen */
    const bf16 *q = how.q + (size_t)(first + query) * shape.q_stride + h * width;
    const bf16 *k = how.k + (size_t)first * shape.k_stride + kv * width;
    const bf16 *v = how.v + (size_t)first * shape.v_stride + kv * width;
    const bool copies = can_copy(k, shape.k_stride, width) && can_copy(v, shape.v_stride, width);
    auto load = [&](int key) {
        const int at = key / L::KEYS % 2 * L::KEYS * pitch(L::D);
        load_tile<L::D, L::KEYS, L::THREADS>(k_tiles + at, k + key * shape.k_stride, shape.k_stride,
                                             length - key, width, copies);
        load_tile<L::D, L::KEYS, L::THREADS>(v_tiles + at, v + key * shape.v_stride, shape.v_stride,
                                             length - key, width, copies);
        cp_async_commit();
    };
    load_rows<L, L::QUERIES>(q_tile, q, shape.q_stride, length - query, width);
    const bend_t bend = bend_of(shape, h, LOG2_E);
    const int begin = L::BENT ? first_seen(bend, query) / L::KEYS * L::KEYS : 0;
    load(begin);
    const int warp_row = threadIdx.x / LANES * L::MT * 16;
    float o[L::MT][L::D / 8][4] = {};
    softmax_t rows[L::MT][2];
#pragma unroll
    for (int m = 0; m < L::MT; m++)
        rows[m][0] = rows[m][1] = {-INFINITY, 0};
    for (int key = begin; key < end; key += L::KEYS) {
        if (key + L::KEYS < end) {
            load(key + L::KEYS);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        const int at = key / L::KEYS % 2 * L::KEYS * pitch(L::D);
        const bool near = !L::BENT || query + warp_row - (key + L::KEYS - 1) < bend.window;
        if (near && key < query + warp_row + L::MT * 16)
            attend<L>(o, rows, q_tile, k_tiles + at, v_tiles + at, warp_row, query, key, bend);
        __syncthreads();
    }
    const int lane = threadIdx.x % LANES;
#pragma unroll
    for (int m = 0; m < L::MT; m++) {
        const int row = warp_row + 16 * m, left = length - query - row;
        float shares[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = rows[m][half].sum;
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            shares[half] = 1.0f / sum;
            const int r = lane / 4 + 8 * half;
            if (lane % 4 == 0 && r < left)
                how.lse[(size_t)(first + query + row + r) * shape.H + h] =
                    rows[m][half].largest * LN_2 + logf(sum);
        }
        store_rows<L::D>(how.out + (size_t)(first + query + row) * shape.out_stride + h * width,
                         shape.out_stride, left, width, q_tile, row, o[m], shares[0], shares[1]);
    }
}

constexpr int FLOAT_WARPS = 4;
constexpr int FLOAT_PIECES = LLM_CUDA_HEAD_MAX / LANES; /* elements of a head that a lane has */

/* A warp has a query, a lane a key at a time; then lanes have elements of v. */
__global__ void attention_forward_float(forward_t<float> how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const int lane = threadIdx.x % LANES, D = (int)shape.D;
    const int s = blockIdx.x / (int)shape.H, h = blockIdx.x % (int)shape.H;
    const int first = (int)shape.starts[s], length = (int)shape.starts[s + 1] - first;
    const int query = blockIdx.y * FLOAT_WARPS + threadIdx.x / LANES;
    if (query >= length)
        return;
    const size_t kv = h / (shape.H / shape.KV) * shape.D;
    const float *q = how.q + (size_t)(first + query) * shape.q_stride + h * D;
    const float *k = how.k + (size_t)first * shape.k_stride + kv;
    const float *v = how.v + (size_t)first * shape.v_stride + kv;
    const bend_t bend = bend_of(shape, h, 1.0f);
    const bool bends = is_bent(shape);
    float o[FLOAT_PIECES] = {}, largest = -INFINITY, sum = 0;
    for (int key = first_seen(bend, query); key <= query; key += LANES) {
        float score = -INFINITY;
        if (key + lane <= query) {
            score = 0;
            for (int d = 0; d < D; d++)
                score = fmaf(q[d], k[(key + lane) * shape.k_stride + d], score);
            score = bends ? bent(bend, score, key + lane - query) : score * shape.scale;
        }
        const float next = fmaxf(largest, warp_largest(score));
        const float factor = expf(largest - next), p = expf(score - next);
        largest = next;
        sum = sum * factor + warp_sum(p);
#pragma unroll
        for (int i = 0; i < FLOAT_PIECES; i++)
            o[i] *= factor;
        for (int j = 0; j < LANES && key + j <= query; j++) {
            const float share = __shfl_sync(ALL_LANES, p, j);
#pragma unroll
            for (int i = 0; i < FLOAT_PIECES; i++)
                if (i * LANES + lane < D)
                    o[i] = fmaf(share, v[(key + j) * shape.v_stride + i * LANES + lane], o[i]);
        }
    }
    float *out = how.out + (size_t)(first + query) * shape.out_stride + h * D;
#pragma unroll
    for (int i = 0; i < FLOAT_PIECES; i++)
        if (i * LANES + lane < D)
            out[i * LANES + lane] = o[i] / sum;
    if (lane == 0)
        how.lse[(size_t)(first + query) * shape.H + h] = largest + logf(sum);
}

template <class L>
static void run_forward(const llm_cuda_queue_t *queue, const forward_t<bf16> &how)
{
    const llm_cuda_attention_t &shape = how.shape;
    launch(queue, dim3((unsigned)(shape.S * shape.H), ceil_div(shape.longest, L::QUERIES)),
           dim3(L::THREADS), L::BYTES, attention_forward<L>, how);
}

void llm_cuda_attention_forward(const llm_cuda_queue_t *queue, void *out, float *lse, const void *q,
                                const void *k, const void *v, const llm_cuda_attention_t *shape)
{
    const unsigned heads = (unsigned)(shape->S * shape->H);
    if (!queue->bf16) {
        launch(queue, dim3(heads, ceil_div(shape->longest, FLOAT_WARPS)), dim3(FLOAT_WARPS * LANES),
               0, attention_forward_float,
               forward_t<float>{(float *)out, lse, (const float *)q, (const float *)k,
                                (const float *)v, *shape});
        return;
    }
    const forward_t<bf16> how = {(bf16 *)out,     lse,   (const bf16 *)q, (const bf16 *)k,
                                 (const bf16 *)v, *shape};
    for_width(shape->D, [&](auto width) {
        constexpr int D = decltype(width)::value;
        if (is_bent(*shape))
            run_forward<tiles_t<D, true>>(queue, how);
        else
            run_forward<tiles_t<D, false>>(queue, how);
    });
}
