/*
 * decode.cu - attention of one new token a sequence against cached keys and
 * values.
 *
 * Bound by memory: every key and value is read once for all query heads that
 * share it.  The keys of a sequence are cut into pieces whose length does not
 * depend on anything; a warp has a piece of a key/value head, four lanes a key
 * at a time.  A second kernel joins the pieces of a head in order.
 */
#include "llm/backend/cuda/device.cuh"
#include "llm/backend/cuda/scores.cuh"

constexpr int WARPS = 4;
constexpr int PIECE_KEYS = 128; /* keys of a warp */
constexpr int HEADS = 4;        /* query heads that a warp serves at a time */
constexpr int SHARE = LLM_CUDA_HEAD_MAX / LANES;

template <class A> struct decode_t {
    const A *q, *k, *v;
    float *partial; /* [sequence][head][piece][2 + D]: largest, sum, sums of values */
    llm_cuda_decode_t shape;
    int pieces;
};

template <class A> DEVICE size_t length_of(const decode_t<A> &how, size_t s)
{
    return how.shape.lengths ? (size_t)how.shape.lengths[s] : how.shape.longest;
}

/* What a warp has made of a head's piece: see decode_t. */
DEVICE void store_piece(float *to, float largest, float sum, const float o[SHARE], int D)
{
    const int lane = threadIdx.x % LANES;
    if (lane == 0) {
        to[0] = largest;
        to[1] = sum;
    }
#pragma unroll
    for (int i = 0; i < SHARE; i++)
        if (i * LANES + lane < D)
            to[2 + i * LANES + lane] = o[i];
}

/* Lanes share the elements of a head; keys pass by one after another, and the
 * softmax is kept online. */
template <class A, bool BENT>
__global__ void __launch_bounds__(WARPS *LANES) decode_pieces(decode_t<A> how)
{
    const llm_cuda_decode_t &shape = how.shape;
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, D = (int)shape.D;
    const size_t s = blockIdx.z, kv = blockIdx.y, length = length_of(how, s);
    const int piece = blockIdx.x * WARPS + warp;
    const size_t first = (size_t)piece * PIECE_KEYS;
    if (first >= length)
        return;
    const size_t last = (size_t)smaller((long)(first + PIECE_KEYS), (long)length);
    const int group = (int)(shape.H / shape.KV);
    const A *k = how.k + s * shape.sequence_stride + kv * D;
    const A *v = how.v + s * shape.sequence_stride + kv * D;
    for (int start = 0; start < group; start += HEADS) {
        float q[HEADS][SHARE], o[HEADS][SHARE] = {}, largest[HEADS], sum[HEADS] = {};
        bend_t bends[HEADS];
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            largest[h] = -INFINITY;
            const size_t head = kv * group + smaller(start + h, group - 1);
            bends[h] = bend_of(shape, (int)head, 1.0f);
#pragma unroll
            for (int i = 0; i < SHARE; i++)
                q[h][i] = i * LANES + lane < D
                              ? wide(how.q[(s * shape.H + head) * D + i * LANES + lane])
                              : 0.0f;
        }
        const size_t seen = BENT ? (size_t)first_seen(bends[0], (int)length - 1) : 0;
        for (size_t key = first > seen ? first : seen; key < last; key++) {
            float x[SHARE], y[SHARE];
#pragma unroll
            for (int i = 0; i < SHARE; i++) {
                const bool there = i * LANES + lane < D;
                x[i] = there ? wide(k[key * shape.stride + i * LANES + lane]) : 0.0f;
                y[i] = there ? wide(v[key * shape.stride + i * LANES + lane]) : 0.0f;
            }
#pragma unroll
            for (int h = 0; h < HEADS; h++) {
                float score = 0;
#pragma unroll
                for (int i = 0; i < SHARE; i++)
                    score = fmaf(q[h][i], x[i], score);
                score = warp_sum(score);
                score = BENT ? bent(bends[h], score, (int)key - (int)(length - 1))
                             : score * shape.scale;
                const float next = fmaxf(largest[h], score);
                const float factor = expf(largest[h] - next), p = expf(score - next);
                largest[h] = next;
                sum[h] = fmaf(sum[h], factor, p);
#pragma unroll
                for (int i = 0; i < SHARE; i++)
                    o[h][i] = fmaf(o[h][i], factor, p * y[i]);
            }
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            if (start + h >= group)
                break;
            const size_t head = s * shape.H + kv * group + start + h;
            store_piece(how.partial + (head * how.pieces + piece) * (2 + shape.D), largest[h],
                        sum[h], o[h], D);
        }
    }
}

/* out[head] from its pieces in order. */
template <class A> __global__ void join_pieces(A *out, decode_t<A> how)
{
    const size_t head = blockIdx.x, s = head / how.shape.H, width = 2 + how.shape.D;
    const int pieces = (int)((length_of(how, s) + PIECE_KEYS - 1) / PIECE_KEYS);
    const float *partial = how.partial + head * how.pieces * width;
    float largest = -INFINITY, sum = 0;
    for (int i = 0; i < pieces; i++)
        largest = fmaxf(largest, partial[i * width]);
    for (int i = 0; i < pieces; i++)
        sum += partial[i * width + 1] * expf(partial[i * width] - largest);
    for (size_t d = threadIdx.x; d < how.shape.D; d += blockDim.x) {
        float o = 0;
        for (int i = 0; i < pieces; i++)
            o += partial[i * width + 2 + d] * expf(partial[i * width] - largest);
        out[head * how.shape.D + d] = narrow<A>(o / sum);
    }
}

static size_t pieces_of(const llm_cuda_decode_t *shape)
{
    return ceil_div(shape->longest, PIECE_KEYS);
}

size_t llm_cuda_decode_scratch(const llm_cuda_decode_t *shape)
{
    return shape->S * shape->H * pieces_of(shape) * (2 + shape->D);
}

void llm_cuda_attention_decode(const llm_cuda_queue_t *queue, void *out, const void *q,
                               const void *k, const void *v, const llm_cuda_decode_t *shape,
                               float *scratch)
{
    const unsigned pieces = (unsigned)pieces_of(shape);
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        const decode_t<A> how = {(const A *)q, (const A *)k, (const A *)v,
                                 scratch,      *shape,       (int)pieces};
        const dim3 blocks(ceil_div(pieces, WARPS), (unsigned)shape->KV, (unsigned)shape->S);
        if (is_bent(*shape))
            launch(queue, blocks, dim3(WARPS * LANES), 0, decode_pieces<A, true>, how);
        else
            launch(queue, blocks, dim3(WARPS * LANES), 0, decode_pieces<A, false>, how);
        launch(queue, dim3((unsigned)(shape->S * shape->H)), dim3(128), 0, join_pieces<A>, (A *)out,
               how);
    });
}
