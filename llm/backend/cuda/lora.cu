/*
 * lora.cu - the products of low-rank adapters with dropout on the way into
 * them: one side is long (tokens, channels), the other a rank of a few.
 *
 * They are bound by memory, so each reads the long matrices once, 16 bytes a
 * thread: the order of the summed index is chosen so that what a thread has
 * loaded is its fragment.  The thin matrices are floats, rounded to bf16 on
 * the way into the tensor cores.  Dropout is a mask of bits; what is kept is
 * scaled behind the sum.  Sums over tokens are cut into slices whose number
 * depends on the shape alone.  In float, which exists to be compared with,
 * plain loops do the same.
 */
#include "llm/backend/cuda/tensor.cuh"

constexpr int WARPS = 8;
constexpr int TILE = 8; /* ranks of an mma */

/* Element (n, k) of a thin matrix: rows of it are the k of the product, or its
 * columns. */
struct thin_t {
    const float *at;
    size_t n_stride, k_stride;
    int n, k;

    __device__ float operator()(int row, int column) const
    {
        return row < n && column < k ? at[row * n_stride + column * k_stride] : 0.0f;
    }

    /* Elements column .. column + 7 of a row. */
    __device__ void eight(float w[PIECE], int row, int column) const
    {
        if (k_stride == 1) {
            load8(w, at + row * n_stride + column, row < n ? k - column : 0);
            return;
        }
#pragma unroll
        for (int i = 0; i < PIECE; i++)
            w[i] = (*this)(row, column + i);
    }
};

/* Bits of eight elements from column c on of a row; all where nothing drops. */
DEVICE uint32_t mask8(const uint8_t *mask, size_t mask_stride, size_t row, size_t c)
{
    return mask ? mask[row * mask_stride + c / 8] : 0xffu;
}

/* What pair i of eight elements keeps, given the bits of all eight. */
DEVICE uint32_t kept_pair(uint32_t kept, int i)
{
    return (kept >> 2 * i & 1u ? 0xffffu : 0u) | (kept >> (2 * i + 1) & 1u ? 0xffff0000u : 0u);
}

/* Eight elements as four pairs of bf16, those that the mask drops as 0. */
DEVICE void masked_pairs(uint32_t pairs[4], const bf16 *from, long count, uint32_t kept)
{
    if (count >= PIECE && is_aligned(from)) {
        const uint4 words = load16(from);
        pairs[0] = words.x;
        pairs[1] = words.y;
        pairs[2] = words.z;
        pairs[3] = words.w;
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t low = 2 * i < count ? from[2 * i].bits : 0;
            const uint32_t high = 2 * i + 1 < count ? from[2 * i + 1].bits : 0;
            pairs[i] = low | high << 16;
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        pairs[i] &= kept_pair(kept, i);
}

/* to[M][n] = factor x[M][k] W^T for thin matrices that share x: tile j of all
 * their ranks belongs to matrix number tile_of[j]. */
constexpr int TILES_A_BLOCK = 4;
constexpr int DOWN_ROWS = 32;
template <class A> struct down_t {
    const A *x;
    size_t x_stride, M;
    int in, modules;
    struct {
        thin_t w;
        float *to;
        const uint8_t *mask; /* NULL: nothing is dropped */
        float factor;
        int tiles;
    } module[LLM_CUDA_LORA_MAX];
};

/* Which matrix has tile number tile, and which of its tiles that is. */
template <class A> DEVICE int module_of(const down_t<A> &how, int &tile)
{
    int m = 0;
    while (m < how.modules && tile >= how.module[m].tiles)
        tile -= how.module[m++].tiles;
    return m;
}

constexpr int DOWN_SUMS = DOWN_ROWS * TILES_A_BLOCK * TILE; /* of a warp, and of a block */

/* Adds up what the warps of a block have, in their order, and writes it. */
DEVICE void store_down(const down_t<bf16> &how, const float *part, size_t first)
{
    for (int i = threadIdx.x; i < DOWN_SUMS; i += WARPS * LANES) {
        const size_t row = first + i / (TILES_A_BLOCK * TILE);
        int which = blockIdx.y * TILES_A_BLOCK + i % (TILES_A_BLOCK * TILE) / TILE;
        const int m = module_of(how, which), n = which * TILE + i % TILE;
        if (m >= how.modules || row >= how.M || n >= how.module[m].w.n)
            continue;
        float sum = 0;
        for (int w = 0; w < WARPS; w++)
            sum += part[w * DOWN_SUMS + i];
        how.module[m].to[row * how.module[m].w.n + n] = sum * how.module[m].factor;
    }
}

/* One block has 32 rows and up to four tiles of eight ranks; its warps take
 * pieces of 32 of the summed index in turn. */
__global__ void __launch_bounds__(WARPS *LANES) down_tiles(down_t<bf16> how)
{
    SHARED(float, part, WARPS *DOWN_SUMS);
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, g = lane / 4, t = lane % 4;
    const size_t first = (size_t)blockIdx.x * DOWN_ROWS, mask_stride = ((size_t)how.in + 7) / 8;
    int module[TILES_A_BLOCK], tile[TILES_A_BLOCK];
#pragma unroll
    for (int j = 0; j < TILES_A_BLOCK; j++) {
        tile[j] = blockIdx.y * TILES_A_BLOCK + j;
        module[j] = module_of(how, tile[j]);
    }
    float c[2][TILES_A_BLOCK][4] = {};
    for (int k = warp * 32; k < how.in; k += WARPS * 32) {
        const int own = k + t * PIECE; /* the eight columns of this lane */
        uint32_t x[2][2][4];
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const size_t row = first + m * 16 + half * 8 + g;
                masked_pairs(x[m][half], how.x + row * how.x_stride + own,
                             row < how.M ? how.in - own : 0, 0xffu);
            }
#pragma unroll
        for (int j = 0; j < TILES_A_BLOCK; j++) {
            if (module[j] >= how.modules)
                break;
            const auto &with = how.module[module[j]];
            float w[PIECE];
            with.w.eight(w, tile[j] * TILE + g, own);
            const uint32_t b[4] = {pack(w[0], w[1]), pack(w[2], w[3]), pack(w[4], w[5]),
                                   pack(w[6], w[7])};
#pragma unroll
            for (int m = 0; m < 2; m++) {
                uint32_t kept[2][4];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const size_t row = first + m * 16 + half * 8 + g;
                    const uint32_t bits =
                        row < how.M && own < how.in ? mask8(with.mask, mask_stride, row, own) : 0u;
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        kept[half][i] = x[m][half][i] & kept_pair(bits, i);
                }
                const uint32_t low[4] = {kept[0][0], kept[1][0], kept[0][1], kept[1][1]};
                const uint32_t high[4] = {kept[0][2], kept[1][2], kept[0][3], kept[1][3]};
                mma(c[m][j], low, b);
                mma(c[m][j], high, b + 2);
            }
        }
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int j = 0; j < TILES_A_BLOCK; j++)
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const int row = m * 16 + g + r / 2 * 8, column = j * TILE + 2 * t + r % 2;
                part[(warp * DOWN_ROWS + row) * TILES_A_BLOCK * TILE + column] = c[m][j][r];
            }
    __syncthreads();
    store_down(how, part, first);
}

/* A warp a row and rank. */
__global__ void down_float(down_t<float> how)
{
    const size_t row = blockIdx.x;
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const size_t mask_stride = ((size_t)how.in + 7) / 8;
    const auto &with = how.module[blockIdx.y];
    for (int n = warp; n < with.w.n; n += WARPS) {
        float sum = 0;
        for (int k = lane; k < how.in; k += LANES)
            if (mask8(with.mask, mask_stride, row, k) >> k % 8 & 1u)
                sum = fmaf(how.x[row * how.x_stride + k], with.w(n, k), sum);
        sum = warp_sum(sum);
        if (lane == 0)
            with.to[row * with.w.n + n] = sum * with.factor;
    }
}

template <class A> static void down(const llm_cuda_queue_t *queue, const down_t<A> &how)
{
    int tiles = 0;
    for (int m = 0; m < how.modules; m++)
        tiles += how.module[m].tiles;
    if constexpr (sizeof(A) == sizeof(float))
        launch(queue, dim3((unsigned)how.M, (unsigned)how.modules), dim3(WARPS * LANES), 0,
               down_float, how);
    else
        launch(queue, dim3(ceil_div(how.M, DOWN_ROWS), ceil_div(tiles, TILES_A_BLOCK)),
               dim3(WARPS * LANES), 0, down_tiles, how);
}

/* y[M][n] += factor h[M][k] W^T where the mask keeps: W is [n][k]. */
template <class A> struct up_t {
    A *y;
    size_t y_stride, M;
    const float *h;
    thin_t w;
    const uint8_t *mask;
    float factor;
};

constexpr int UP_ROWS = 16 * WARPS; /* of a block, sixteen a warp */
constexpr int UP_COLUMNS = 32;      /* of a warp at a time: eight of a lane */
constexpr int UP_PASSES = 4;

/* Columns are dealt so that a lane's results are eight neighbours: number 2 t +
 * e of tile j is column 8 t + 2 j + e. */
__global__ void __launch_bounds__(WARPS *LANES) up_tiles(up_t<bf16> how)
{
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, g = lane / 4, t = lane % 4;
    const size_t first = (size_t)blockIdx.x * UP_ROWS + warp * 16;
    const size_t mask_stride = ((size_t)how.w.n + 7) / 8;
    for (int pass = 0; pass < UP_PASSES; pass++) {
        const int column = (blockIdx.y * UP_PASSES + pass) * UP_COLUMNS;
        if (column >= how.w.n)
            break;
        float c[4][4] = {};
        for (int k = 0; k < how.w.k; k += 16) {
            uint32_t a[4];
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const size_t row = first + g + r % 2 * 8;
                const int at = k + 2 * t + r / 2 * 8;
                const float *h = how.h + row * how.w.k + at;
                a[r] = pack(row < how.M && at < how.w.k ? h[0] : 0.0f,
                            row < how.M && at + 1 < how.w.k ? h[1] : 0.0f);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int n = column + g / 2 * 8 + 2 * j + g % 2, at = k + 2 * t;
                const uint32_t b[2] = {pack(how.w(n, at), how.w(n, at + 1)),
                                       pack(how.w(n, at + 8), how.w(n, at + 9))};
                mma(c[j], a, b);
            }
        }
        const int own = column + t * PIECE;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const size_t row = first + g + half * 8;
            if (row >= how.M || own >= how.w.n)
                continue;
            const uint32_t kept = mask8(how.mask, mask_stride, row, own);
            bf16 *to = how.y + row * how.y_stride + own;
            float y[PIECE];
            load8(y, to, how.w.n - own);
#pragma unroll
            for (int i = 0; i < PIECE; i++)
                if (kept >> i & 1u)
                    y[i] += how.factor * c[i / 2][2 * half + i % 2];
            store8(to, y, how.w.n - own);
        }
    }
}

__global__ void up_float(up_t<float> how)
{
    const size_t row = blockIdx.x, mask_stride = ((size_t)how.w.n + 7) / 8;
    for (int n = threadIdx.x; n < how.w.n; n += WARPS * LANES) {
        float sum = 0;
        for (int k = 0; k < how.w.k; k++)
            sum = fmaf(how.h[row * how.w.k + k], how.w(n, k), sum);
        if (mask8(how.mask, mask_stride, row, n) >> n % 8 & 1u)
            how.y[row * how.y_stride + n] += how.factor * sum;
    }
}

template <class A> static void up(const llm_cuda_queue_t *queue, const up_t<A> &how)
{
    if constexpr (sizeof(A) == sizeof(float))
        launch(queue, dim3((unsigned)how.M), dim3(WARPS * LANES), 0, up_float, how);
    else
        launch(queue, dim3(ceil_div(how.M, UP_ROWS), ceil_div(how.w.n, UP_COLUMNS * UP_PASSES)),
               dim3(WARPS * LANES), 0, up_tiles, how);
}

/* gradient[r][c] of slice s = the sum over its tokens of h[m][r] x[m][c] where
 * the mask keeps: partial[slice][rank][columns]. */
template <class A> struct thin_gradient_t {
    float *partial;
    const float *h;
    const A *x;
    size_t x_stride, M;
    int rank, columns;
    const uint8_t *mask;
};

constexpr int GRADIENT_COLUMNS = 64;
constexpr int GRADIENT_ROWS = 32; /* tokens at a time */
constexpr int GRADIENT_WARPS = 4; /* of a block, sixteen columns each */

/* Ranks are the rows of the product, sixteen a block; tokens are summed. */
__global__ void __launch_bounds__(GRADIENT_WARPS *LANES) gradient_tiles(thin_gradient_t<bf16> how)
{
    constexpr int PITCH = GRADIENT_COLUMNS + 8;
    SHARED(bf16, tile, GRADIENT_ROWS * PITCH);
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, g = lane / 4, t = lane % 4;
    const int column = blockIdx.x * GRADIENT_COLUMNS, rank = blockIdx.y * 16;
    const size_t first = how.M * blockIdx.z / gridDim.z,
                 last = how.M * (blockIdx.z + 1) / gridDim.z;
    const size_t mask_stride = ((size_t)how.columns + 7) / 8;
    float c[2][4] = {};
    for (size_t m = first; m < last; m += GRADIENT_ROWS) {
        for (int i = threadIdx.x; i < GRADIENT_ROWS * (GRADIENT_COLUMNS / PIECE);
             i += GRADIENT_WARPS * LANES) {
            const int r = i / (GRADIENT_COLUMNS / PIECE),
                      at = i % (GRADIENT_COLUMNS / PIECE) * PIECE;
            const bool there = m + r < last && column + at < how.columns;
            uint32_t pairs[4];
            masked_pairs(pairs, how.x + (m + r) * how.x_stride + column + at,
                         there ? how.columns - column - at : 0,
                         there ? mask8(how.mask, mask_stride, m + r, column + at) : 0u);
            store16(tile + r * PITCH + at, uint4{pairs[0], pairs[1], pairs[2], pairs[3]});
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < GRADIENT_ROWS; k += 16) {
            uint32_t a[4], b[4];
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const int row = rank + g + r % 2 * 8;
                const size_t token = m + k + 2 * t + r / 2 * 8;
                const float *h = how.h + token * how.rank + row;
                a[r] = pack(row < how.rank && token < last ? h[0] : 0.0f,
                            row < how.rank && token + 1 < last ? h[how.rank] : 0.0f);
            }
            ldmatrix_transposed(b, tile + (k + lane / 8 % 2 * 8 + lane % 8) * PITCH + warp * 16 +
                                       lane / 16 * 8);
            mma(c[0], a, b);
            mma(c[1], a, b + 2);
        }
        __syncthreads();
    }
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int row = rank + g + r / 2 * 8, at = column + warp * 16 + j * 8 + 2 * t + r % 2;
            if (row < how.rank && at < how.columns)
                how.partial[((size_t)blockIdx.z * how.rank + row) * how.columns + at] = c[j][r];
        }
}

__global__ void gradient_float(thin_gradient_t<float> how)
{
    const int column = blockIdx.x * GRADIENT_WARPS * LANES + threadIdx.x, rank = blockIdx.y;
    const size_t first = how.M * blockIdx.z / gridDim.z,
                 last = how.M * (blockIdx.z + 1) / gridDim.z;
    if (column >= how.columns)
        return;
    float sum = 0;
    for (size_t m = first; m < last; m++)
        if (mask8(how.mask, ((size_t)how.columns + 7) / 8, m, column) >> column % 8 & 1u)
            sum = fmaf(how.h[m * how.rank + rank], how.x[m * how.x_stride + column], sum);
    how.partial[((size_t)blockIdx.z * how.rank + rank) * how.columns + column] = sum;
}

/* to[rank][columns], strided both ways, += factor times the slices in order. */
__global__ void add_gradient(float *to, size_t rank_stride, size_t column_stride,
                             const float *partial, int slices, int rank, int columns, float factor)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    if (column >= columns)
        return;
    double sum = 0;
    for (int s = 0; s < slices; s++)
        sum += (double)partial[((size_t)s * rank + r) * columns + column];
    float *at = to + r * rank_stride + column * column_stride;
    *at = (float)((double)*at + sum * (double)factor);
}

static unsigned slices_of(size_t M)
{
    const unsigned slices = ceil_div(M, 256);
    return slices < 32 ? (slices ? slices : 1) : 32;
}

template <class A>
static void gradient(const llm_cuda_queue_t *queue, const thin_gradient_t<A> &how, float *to,
                     size_t rank_stride, size_t column_stride, float factor)
{
    const unsigned slices = slices_of(how.M), threads = GRADIENT_WARPS * LANES;
    if constexpr (sizeof(A) == sizeof(float))
        launch(queue, dim3(ceil_div(how.columns, threads), (unsigned)how.rank, slices),
               dim3(threads), 0, gradient_float, how);
    else
        launch(queue, dim3(ceil_div(how.columns, GRADIENT_COLUMNS), ceil_div(how.rank, 16), slices),
               dim3(threads), 0, gradient_tiles, how);
    launch(queue, dim3(ceil_div(how.columns, threads), (unsigned)how.rank), dim3(threads), 0,
           add_gradient, to, rank_stride, column_stride, how.partial, (int)slices, how.rank,
           how.columns, factor);
}

static int tiles_of(size_t rank)
{
    return (int)ceil_div(rank, TILE);
}

void llm_cuda_lora_down(const llm_cuda_queue_t *queue, const void *x, const llm_cuda_lora_t *loras,
                        const llm_cuda_lora_rows_t *rows, size_t count)
{
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        down_t<A> how = {};
        how.x = (const A *)x;
        how.x_stride = loras[0].in;
        how.M = loras[0].M;
        how.in = (int)loras[0].in;
        how.modules = (int)count;
        for (size_t m = 0; m < count; m++) {
            const llm_cuda_lora_t &lora = loras[m];
            how.module[m].w = {lora.a, lora.a_stride, 1, (int)lora.rank, (int)lora.in};
            how.module[m].to = rows[m].h;
            how.module[m].mask = rows[m].mask;
            how.module[m].factor = rows[m].mask ? lora.keep : 1.0f;
            how.module[m].tiles = tiles_of(lora.rank);
        }
        down(queue, how);
    });
}

void llm_cuda_lora_up(const llm_cuda_queue_t *queue, void *y, size_t y_stride, const float *h,
                      const llm_cuda_lora_t *lora)
{
    const thin_t b = {lora->b, lora->rank, 1, (int)lora->out, (int)lora->rank};
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        up(queue, up_t<A>{(A *)y, y_stride, lora->M, h, b, nullptr, lora->scaling});
    });
}

void llm_cuda_lora_input_gradient(const llm_cuda_queue_t *queue, void *dx, const float *dh,
                                  const uint8_t *mask, const llm_cuda_lora_t *lora)
{
    const thin_t w = {lora->a, 1, lora->a_stride, (int)lora->in, (int)lora->rank};
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        up(queue, up_t<A>{(A *)dx, lora->in, lora->M, dh, w, mask, mask ? lora->keep : 1.0f});
    });
}

size_t llm_cuda_lora_scratch(const llm_cuda_lora_t *lora)
{
    const size_t columns = lora->in > lora->out ? lora->in : lora->out;
    return slices_of(lora->M) * lora->rank * columns;
}

void llm_cuda_lora_gradients(const llm_cuda_queue_t *queue, float *dh, float *da, float *db,
                             const void *dy, size_t dy_stride, const void *x,
                             const llm_cuda_lora_rows_t *rows, const llm_cuda_lora_t *lora,
                             float *scratch)
{
    const int rank = (int)lora->rank, in = (int)lora->in, out = (int)lora->out;
    for_activations(queue, [&](auto a) {
        using A = decltype(a);
        down_t<A> how = {};
        how.x = (const A *)dy;
        how.x_stride = dy_stride;
        how.M = lora->M;
        how.in = out;
        how.modules = 1;
        how.module[0].w = {lora->b, 1, lora->rank, rank, out};
        how.module[0].to = dh;
        how.module[0].factor = lora->scaling;
        how.module[0].tiles = tiles_of(lora->rank);
        down(queue, how);
        if (db)
            gradient(queue,
                     thin_gradient_t<A>{scratch, rows->h, (const A *)dy, dy_stride, lora->M, rank,
                                        out, nullptr},
                     db, 1, lora->rank, lora->scaling);
        if (da)
            gradient(queue,
                     thin_gradient_t<A>{scratch, dh, (const A *)x, lora->in, lora->M, rank, in,
                                        rows->mask},
                     da, lora->a_stride, 1, rows->mask ? lora->keep : 1.0f);
    });
}
