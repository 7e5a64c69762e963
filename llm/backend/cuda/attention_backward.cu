/*
 * attention_backward.cu - gradients of causal attention over packed sequences.
 *
 * With p = exp(s - lse), dp = dout v and delta = dout . out of a row:
 *   dv += p^T dout,  ds = p (dp - delta),  dq += scale ds k,  dk += scale ds^T q.
 * One kernel owns a block of keys and lets the queries that see it pass by, for
 * every query head of a key/value head; another one owns queries.  The scores
 * are computed in both, and so nothing is added by two blocks.  Heads of more
 * than 128 elements get dv and dk from two runs of the first kernel, which
 * keeps them in registers.
 */
#include "llm/backend/cuda/attention.cuh"

template <class A> struct backward_t {
    A *dq, *dk, *dv;
    const A *dout, *out, *q, *k, *v;
    const float *lse;
    float *delta; /* [T][H] */
    llm_cuda_attention_t shape;
};

constexpr int DELTA_WARPS = 8;

/* delta[t][h] = dout . out, a warp each. */
template <class A>
__global__ void __launch_bounds__(DELTA_WARPS *LANES) row_deltas(backward_t<A> how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const size_t i = (size_t)blockIdx.x * DELTA_WARPS + threadIdx.x / LANES;
    const size_t t = i / shape.H, h = i % shape.H;
    if (t >= shape.T)
        return;
    const size_t at = t * shape.out_stride + h * shape.D;
    float sum = 0;
    for (size_t d = threadIdx.x % LANES; d < shape.D; d += LANES)
        sum = fmaf(wide(how.dout[at + d]), wide(how.out[at + d]), sum);
    sum = warp_sum(sum);
    if (threadIdx.x % LANES == 0)
        how.delta[i] = sum;
}

/* Tiles of the kernel that owns keys: which gradients it makes, warps of 16
 * keys, queries of a tile. */
enum gradients_t { BOTH, VALUES, KEYS };
template <int WIDTH, gradients_t GRADIENTS> struct key_tiles_t {
    static constexpr int D = WIDTH;
    static constexpr gradients_t WHICH = GRADIENTS;
    static constexpr int WARPS = D == 256 ? 4 : 8;
    static constexpr int OWN = WARPS * 16;
    static constexpr int PASSING = D == 256 ? 32 : D == 128 ? 48 : 64; /* as registers allow */
    static constexpr int THREADS = WARPS * LANES;
    static constexpr size_t BYTES = (2 * OWN + 4 * PASSING) * pitch(D) * sizeof(bf16);
};

/* A tile of queries for the 16 keys of a warp.  s and dp are transposed: their
 * rows are keys. */
template <class L, bool BENT>
DEVICE void keys_meet(float (*dk)[4], float (*dv)[4], const bf16 *k, const bf16 *v, const bf16 *q,
                      const bf16 *dout, const float *lse, const float *delta, int warp_row, int key,
                      int query, const bend_t &bend)
{
    const int lane = threadIdx.x % LANES, g = lane / 4, t = lane % 4;
    float s[L::PASSING / 8][4];
    product_rows<L::D, L::PASSING>(s, k, warp_row, q);
#pragma unroll
    for (int n = 0; n < L::PASSING / 8; n++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int column = n * 8 + 2 * t + r % 2;
            const int apart = key + warp_row + g + r / 2 * 8 - (query + column);
            if (BENT)
                s[n][r] = sees(bend, apart) ? exp2f(bent(bend, s[n][r], apart) - lse[column]) : 0.0f;
            else
                s[n][r] = apart <= 0 ? exp2f(fmaf(s[n][r], bend.scale, -lse[column])) : 0.0f;
        }
    if (L::WHICH != KEYS)
        product_columns<L::D, L::PASSING>(dv, s, dout);
    if (L::WHICH == VALUES)
        return;
    float dp[L::PASSING / 8][4];
    product_rows<L::D, L::PASSING>(dp, v, warp_row, dout);
#pragma unroll
    for (int n = 0; n < L::PASSING / 8; n++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int column = n * 8 + 2 * t + r % 2;
            if (BENT)
                dp[n][r] = slope_of_share(bend, s[n][r], lse[column],
                                          key + warp_row + g + r / 2 * 8 - (query + column)) *
                           (dp[n][r] - delta[column]);
            else
                dp[n][r] -= delta[column];
            s[n][r] *= dp[n][r];
        }
    product_columns<L::D, L::PASSING>(dk, s, q);
}

/* lse, as a power of two, and delta of a tile of queries, of which so many are left: who is not
 * there looks at nothing. */
template <class L>
DEVICE void load_numbers(float *lse, float *delta, const backward_t<bf16> &how, size_t at, int left)
{
    for (int j = threadIdx.x; j < L::PASSING; j += L::THREADS) {
        lse[j] = j < left ? how.lse[at + j * how.shape.H] * LOG2_E : INFINITY;
        delta[j] = j < left ? how.delta[at + j * how.shape.H] : 0.0f;
    }
}

template <class L, bool BENT>
__global__ void __launch_bounds__(L::THREADS, 1) key_gradients(backward_t<bf16> how)
{
    SHARED(float, lse, 2 * L::PASSING);
    SHARED(float, delta, 2 * L::PASSING);
    DYNAMIC_SHARED(bf16, k_tile);
    constexpr int TILE = L::PASSING * pitch(L::D);
    bf16 *v_tile = k_tile + L::OWN * pitch(L::D), *q_tiles = v_tile + L::OWN * pitch(L::D);
    bf16 *dout_tiles = q_tiles + 2 * TILE;
    const llm_cuda_attention_t &shape = how.shape;
    const int s = blockIdx.x / (int)shape.KV, kv = blockIdx.x % (int)shape.KV;
    const int first = (int)shape.starts[s], length = (int)shape.starts[s + 1] - first;
    const int key = blockIdx.y * L::OWN;
    if (key >= length)
        return;
    const int width = (int)shape.D, heads = (int)(shape.H / shape.KV);
    bend_t bend = bend_of(shape, kv * heads, LOG2_E);
    const int end = BENT ? (int)smaller(length, (long)key + L::OWN - 1 + bend.window) : length;
    const int first_tile = key / L::PASSING, last_tile = (end + L::PASSING - 1) / L::PASSING;
    const int tiles = last_tile - first_tile;
    const size_t own = (size_t)(first + key);
    const bf16 *k = how.k + own * shape.k_stride + kv * width;
    const bf16 *v = how.v + own * shape.v_stride + kv * width;
    /* The tiles of one head after those of the other. */
    auto load = [&](int i) {
        const int h = kv * heads + i / tiles, query = (first_tile + i % tiles) * L::PASSING;
        const size_t row = (size_t)(first + query);
        const bf16 *q = how.q + row * shape.q_stride + h * width;
        const bf16 *dout = how.dout + row * shape.out_stride + h * width;
        load_rows<L, L::PASSING>(q_tiles + i % 2 * TILE, q, shape.q_stride, length - query, width);
        load_rows<L, L::PASSING>(dout_tiles + i % 2 * TILE, dout, shape.out_stride, length - query,
                                 width);
        load_numbers<L>(lse + i % 2 * L::PASSING, delta + i % 2 * L::PASSING, how,
                        row * shape.H + h, length - query);
        cp_async_commit();
    };
    load_rows<L, L::OWN>(k_tile, k, shape.k_stride, length - key, width);
    load_rows<L, L::OWN>(v_tile, v, shape.v_stride, length - key, width);
    load(0);
    const int warp_row = threadIdx.x / LANES * 16;
    float dk[L::WHICH == VALUES ? 1 : L::D / 8][4] = {};
    float dv[L::WHICH == KEYS ? 1 : L::D / 8][4] = {};
    for (int i = 0; i < heads * tiles; i++) {
        if (i + 1 < heads * tiles) {
            load(i + 1);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        const int query = (first_tile + i % tiles) * L::PASSING, at = i % 2 * L::PASSING;
        if (BENT && shape.slopes)
            bend.slope = shape.slopes[kv * heads + i / tiles] * LOG2_E;
        if (key + warp_row < query + L::PASSING)
            keys_meet<L, BENT>(dk, dv, k_tile, v_tile, q_tiles + i % 2 * TILE,
                               dout_tiles + i % 2 * TILE, lse + at, delta + at, warp_row, key,
                               query, bend);
        __syncthreads();
    }
    const size_t row = own + warp_row;
    const int left = length - key - warp_row;
    if constexpr (L::WHICH != VALUES)
        store_rows<L::D>(how.dk + row * shape.k_stride + kv * width, shape.k_stride, left, width,
                         k_tile, warp_row, dk, shape.scale, shape.scale);
    if constexpr (L::WHICH != KEYS)
        store_rows<L::D>(how.dv + row * shape.v_stride + kv * width, shape.v_stride, left, width,
                         v_tile, warp_row, dv, 1.0f, 1.0f);
}

/* Tiles of the kernel that owns queries. */
template <int WIDTH> struct query_tiles_t {
    static constexpr int D = WIDTH;
    static constexpr int WARPS = D == 256 ? 4 : 8;
    static constexpr int OWN = WARPS * 16;
    static constexpr int PASSING = D == 256 ? 16 : 64; /* as registers allow */
    static constexpr int THREADS = WARPS * LANES;
    static constexpr size_t BYTES = (2 * OWN + 4 * PASSING) * pitch(D) * sizeof(bf16);
};

template <class L, bool BENT>
DEVICE void queries_meet(float (*dq)[4], const bf16 *q, const bf16 *dout, const bf16 *k,
                         const bf16 *v, const float lse[2], const float delta[2], int warp_row,
                         int query, int key, const bend_t &bend)
{
    const int lane = threadIdx.x % LANES, g = lane / 4, t = lane % 4;
    float s[L::PASSING / 8][4], dp[L::PASSING / 8][4];
    product_rows<L::D, L::PASSING>(s, q, warp_row, k);
    product_rows<L::D, L::PASSING>(dp, dout, warp_row, v);
#pragma unroll
    for (int n = 0; n < L::PASSING / 8; n++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int apart = key + n * 8 + 2 * t + r % 2 - (query + warp_row + g + r / 2 * 8);
            if (BENT) {
                const float p =
                    sees(bend, apart) ? exp2f(bent(bend, s[n][r], apart) - lse[r / 2]) : 0.0f;
                s[n][r] = p * slope_of_share(bend, p, lse[r / 2], apart) *
                          (dp[n][r] - delta[r / 2]);
                continue;
            }
            const float p = apart <= 0 ? exp2f(fmaf(s[n][r], bend.scale, -lse[r / 2])) : 0.0f;
            s[n][r] = p * (dp[n][r] - delta[r / 2]);
        }
    product_columns<L::D, L::PASSING>(dq, s, k);
}

template <class L, bool BENT>
__global__ void __launch_bounds__(L::THREADS, 1) query_gradients(backward_t<bf16> how)
{
    DYNAMIC_SHARED(bf16, q_tile);
    constexpr int TILE = L::PASSING * pitch(L::D);
    bf16 *dout_tile = q_tile + L::OWN * pitch(L::D), *k_tiles = dout_tile + L::OWN * pitch(L::D);
    bf16 *v_tiles = k_tiles + 2 * TILE;
    const llm_cuda_attention_t &shape = how.shape;
    const int s = blockIdx.x / (int)shape.H, h = blockIdx.x % (int)shape.H;
    const int first = (int)shape.starts[s], length = (int)shape.starts[s + 1] - first;
    const int query = ((int)gridDim.y - 1 - (int)blockIdx.y) * L::OWN;
    if (query >= length)
        return;
    const int width = (int)shape.D, kv = h / (int)(shape.H / shape.KV);
    const int tiles = ((int)smaller(length, query + L::OWN) + L::PASSING - 1) / L::PASSING;
    const size_t own = (size_t)(first + query);
    const bf16 *q = how.q + own * shape.q_stride + h * width;
    const bf16 *dout = how.dout + own * shape.out_stride + h * width;
    const bf16 *k = how.k + (size_t)first * shape.k_stride + kv * width;
    const bf16 *v = how.v + (size_t)first * shape.v_stride + kv * width;
    const bool k_copies = can_copy(k, shape.k_stride, width);
    const bool v_copies = can_copy(v, shape.v_stride, width);
    auto load = [&](int i) {
        const int key = i * L::PASSING;
        load_tile<L::D, L::PASSING, L::THREADS>(k_tiles + i % 2 * TILE, k + key * shape.k_stride,
                                                shape.k_stride, length - key, width, k_copies);
        load_tile<L::D, L::PASSING, L::THREADS>(v_tiles + i % 2 * TILE, v + key * shape.v_stride,
                                                shape.v_stride, length - key, width, v_copies);
        cp_async_commit();
    };
    load_rows<L, L::OWN>(q_tile, q, shape.q_stride, length - query, width);
    load_rows<L, L::OWN>(dout_tile, dout, shape.out_stride, length - query, width);
    const bend_t bend = bend_of(shape, h, LOG2_E);
    const int begin = BENT ? first_seen(bend, query) / L::PASSING : 0;
    load(begin);
    const int warp_row = threadIdx.x / LANES * 16, left = length - query - warp_row;
    float dq[L::D / 8][4] = {}, lse[2], delta[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int r = threadIdx.x % LANES / 4 + 8 * half;
        const size_t at = (own + warp_row + r) * shape.H + h;
        lse[half] = r < left ? how.lse[at] * LOG2_E : INFINITY;
        delta[half] = r < left ? how.delta[at] : 0.0f;
    }
    for (int i = begin; i < tiles; i++) {
        if (i + 1 < tiles) {
            load(i + 1);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        if (i * L::PASSING < query + warp_row + 16)
            queries_meet<L, BENT>(dq, q_tile, dout_tile, k_tiles + i % 2 * TILE,
                                  v_tiles + i % 2 * TILE, lse, delta, warp_row, query,
                                  i * L::PASSING, bend);
        __syncthreads();
    }
    store_rows<L::D>(how.dq + (own + warp_row) * shape.q_stride + h * width, shape.q_stride, left,
                     width, q_tile, warp_row, dq, shape.scale, shape.scale);
}

constexpr int FLOAT_WARPS = 4;
constexpr int FLOAT_PIECES = LLM_CUDA_HEAD_MAX / LANES;

DEVICE float dot(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum = fmaf(a[i], b[i], sum);
    return sum;
}

/* to[d] += share x[d] for the elements of a lane. */
DEVICE void add_share(float to[FLOAT_PIECES], float share, const float *x, int D)
{
#pragma unroll
    for (int i = 0; i < FLOAT_PIECES; i++)
        if (i * LANES + (int)threadIdx.x % LANES < D)
            to[i] = fmaf(share, x[i * LANES + threadIdx.x % LANES], to[i]);
}

DEVICE void store_share(float *to, const float from[FLOAT_PIECES], float factor, int D)
{
#pragma unroll
    for (int i = 0; i < FLOAT_PIECES; i++)
        if (i * LANES + (int)threadIdx.x % LANES < D)
            to[i * LANES + threadIdx.x % LANES] = from[i] * factor;
}

/* A warp has a query, a lane a key at a time. */
__global__ void query_gradients_float(backward_t<float> how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const int lane = threadIdx.x % LANES, D = (int)shape.D;
    const int s = blockIdx.x / (int)shape.H, h = blockIdx.x % (int)shape.H;
    const int first = (int)shape.starts[s], length = (int)shape.starts[s + 1] - first;
    const int query = blockIdx.y * FLOAT_WARPS + threadIdx.x / LANES;
    if (query >= length)
        return;
    const size_t row = (size_t)(first + query), kv = h / (shape.H / shape.KV) * shape.D;
    const float *q = how.q + row * shape.q_stride + h * D;
    const float *dout = how.dout + row * shape.out_stride + h * D;
    const float *k = how.k + (size_t)first * shape.k_stride + kv;
    const float *v = how.v + (size_t)first * shape.v_stride + kv;
    const float lse = how.lse[row * shape.H + h], delta = how.delta[row * shape.H + h];
    const bend_t bend = bend_of(shape, h, 1.0f);
    const bool bends = is_bent(shape);
    float dq[FLOAT_PIECES] = {};
    for (int key = first_seen(bend, query); key <= query; key += LANES) {
        float ds = 0;
        if (key + lane <= query) {
            const float product = dot(q, k + (key + lane) * shape.k_stride, D);
            const float score =
                bends ? bent(bend, product, key + lane - query) : shape.scale * product;
            ds = expf(score - lse) * (dot(dout, v + (key + lane) * shape.v_stride, D) - delta);
            if (bends)
                ds *= slope_of(bend, product);
        }
        for (int j = 0; j < LANES && key + j <= query; j++)
            add_share(dq, __shfl_sync(ALL_LANES, ds, j), k + (key + j) * shape.k_stride, D);
    }
    store_share(how.dq + row * shape.q_stride + h * D, dq, shape.scale, D);
}

/* A warp has a key, a lane a query at a time. */
__global__ void key_gradients_float(backward_t<float> how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const int lane = threadIdx.x % LANES, D = (int)shape.D;
    const int s = blockIdx.x / (int)shape.KV, kv = blockIdx.x % (int)shape.KV;
    const int first = (int)shape.starts[s], length = (int)shape.starts[s + 1] - first;
    const int key = blockIdx.y * FLOAT_WARPS + threadIdx.x / LANES;
    if (key >= length)
        return;
    const size_t row = (size_t)(first + key), heads = shape.H / shape.KV;
    const float *k = how.k + row * shape.k_stride + kv * D;
    const float *v = how.v + row * shape.v_stride + kv * D;
    float dk[FLOAT_PIECES] = {}, dv[FLOAT_PIECES] = {};
    const bool bends = is_bent(shape);
    for (size_t h = kv * heads; h < (kv + 1) * heads; h++) {
        const bend_t bend = bend_of(shape, (int)h, 1.0f);
        const int end = (int)smaller(length, (long)key + bend.window);
        for (int query = key; query < end; query += LANES) {
            const float *q = how.q + (size_t)(first + query) * shape.q_stride + h * D;
            const float *dout = how.dout + (size_t)(first + query) * shape.out_stride + h * D;
            float p = 0, ds = 0;
            if (query + lane < end) {
                const size_t at = (size_t)(first + query + lane) * shape.H + h;
                const float product = dot(q + lane * shape.q_stride, k, D);
                p = expf((bends ? bent(bend, product, key - (query + lane)) :
                                  shape.scale * product) - how.lse[at]);
                ds = p * (dot(dout + lane * shape.out_stride, v, D) - how.delta[at]);
                if (bends)
                    ds *= slope_of(bend, product);
            }
            for (int j = 0; j < LANES && query + j < end; j++) {
                add_share(dv, __shfl_sync(ALL_LANES, p, j), dout + j * shape.out_stride, D);
                add_share(dk, __shfl_sync(ALL_LANES, ds, j), q + j * shape.q_stride, D);
            }
        }
    }
    store_share(how.dk + row * shape.k_stride + kv * D, dk, shape.scale, D);
    store_share(how.dv + row * shape.v_stride + kv * D, dv, 1.0f, D);
}

size_t llm_cuda_attention_scratch(const llm_cuda_attention_t *shape)
{
    return shape->T * shape->H;
}

template <class A>
static backward_t<A> typed(const llm_cuda_attention_backward_t *t,
                           const llm_cuda_attention_t *shape, float *scratch)
{
    return {(A *)t->dq,
            (A *)t->dk,
            (A *)t->dv,
            (const A *)t->dout,
            (const A *)t->out,
            (const A *)t->q,
            (const A *)t->k,
            (const A *)t->v,
            t->lse,
            scratch,
            *shape};
}

template <class L> static void run_keys(const llm_cuda_queue_t *queue, const backward_t<bf16> &how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const dim3 blocks((unsigned)(shape.S * shape.KV), ceil_div(shape.longest, L::OWN));
    if (is_bent(shape))
        launch(queue, blocks, dim3(L::THREADS), L::BYTES, key_gradients<L, true>, how);
    else
        launch(queue, blocks, dim3(L::THREADS), L::BYTES, key_gradients<L, false>, how);
}

template <class L>
static void run_queries(const llm_cuda_queue_t *queue, const backward_t<bf16> &how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const dim3 blocks((unsigned)(shape.S * shape.H), ceil_div(shape.longest, L::OWN));
    if (is_bent(shape))
        launch(queue, blocks, dim3(L::THREADS), L::BYTES, query_gradients<L, true>, how);
    else
        launch(queue, blocks, dim3(L::THREADS), L::BYTES, query_gradients<L, false>, how);
}

static void backward_float(const llm_cuda_queue_t *queue, const backward_t<float> &how)
{
    const llm_cuda_attention_t &shape = how.shape;
    const unsigned rows = ceil_div(shape.longest, FLOAT_WARPS);
    launch(queue, dim3((unsigned)(shape.S * shape.H), rows), dim3(FLOAT_WARPS * LANES), 0,
           query_gradients_float, how);
    launch(queue, dim3((unsigned)(shape.S * shape.KV), rows), dim3(FLOAT_WARPS * LANES), 0,
           key_gradients_float, how);
}

void llm_cuda_attention_backward(const llm_cuda_queue_t *queue,
                                 const llm_cuda_attention_backward_t *tensors,
                                 const llm_cuda_attention_t *shape, float *scratch)
{
    const dim3 blocks(ceil_div(shape->T * shape->H, DELTA_WARPS)), threads(DELTA_WARPS * LANES);
    if (!queue->bf16) {
        const backward_t<float> how = typed<float>(tensors, shape, scratch);
        launch(queue, blocks, threads, 0, row_deltas<float>, how);
        backward_float(queue, how);
        return;
    }
    const backward_t<bf16> how = typed<bf16>(tensors, shape, scratch);
    launch(queue, blocks, threads, 0, row_deltas<bf16>, how);
    for_width(shape->D, [&](auto width) {
        constexpr int D = decltype(width)::value;
        run_queries<query_tiles_t<D>>(queue, how);
        if constexpr (D > 128) {
            run_keys<key_tiles_t<D, VALUES>>(queue, how);
            run_keys<key_tiles_t<D, KEYS>>(queue, how);
        } else {
            run_keys<key_tiles_t<D, BOTH>>(queue, how);
        }
    });
}
