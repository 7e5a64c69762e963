/*
 * few.cu - a few rows, as decoding has them, times a frozen weight, which is
 * read once: bf16 as stored in either order, or codes widened in registers.
 *
 * Bound by the memory of the weight.  Where it lies [out][in], a warp has a few
 * outputs and its lanes share their inputs, 16 bytes of each output at a time,
 * twice in flight; rows of x come from the cache.  Where it lies [in][out], a
 * block has 32 outputs and its threads share the inputs; sums meet in a fixed
 * order.  There is no float version: what computes in float takes products.
 */
#include "llm/backend/cuda/device.cuh"
#include "llm/backend/nf4.h"

constexpr int WARPS = 4;        /* of a block of rows */
constexpr int AHEAD = 2;        /* loads of an output in flight */
constexpr int COLUMNS = 32;     /* outputs of a block of columns ... */
constexpr int COLUMN_WARPS = 8; /* ... and what shares its inputs */
template <int M> constexpr int OUTPUTS_OF = M > 2 ? 4 : 2; /* of a warp, for M rows */

static __constant__ const float NF4[16] = LLM_NF4_VALUES;

struct few_t {
    bf16 *y;
    const bf16 *x;
    const float *bias;
    size_t y_stride, x_stride;
    llm_cuda_few_t weight;
    int M;
};

/* A weight as elements: a piece of eight of them is 16 bytes. */
struct elements_t {
    static constexpr int UNIT = 8; /* inputs of 16 bytes */

    const bf16 *row;
    size_t in;

    __device__ static void prepare(float *)
    {
    }
    __device__ elements_t(const llm_cuda_few_t &w, size_t output)
        : row((const bf16 *)w.elements + output * w.stride), in(w.in)
    {
    }
    __device__ uint4 load(size_t i) const
    {
        if (i >= in)
            return uint4{0, 0, 0, 0};
        if (i + UNIT <= in && is_aligned(row + i))
            return load16(row + i);
        uint32_t pairs[4] = {};
#pragma unroll
        for (int j = 0; j < UNIT; j++)
            if (i + j < in)
                pairs[j / 2] |= (uint32_t)row[i + j].bits << 16 * (j % 2);
        return uint4{pairs[0], pairs[1], pairs[2], pairs[3]};
    }
    __device__ float scale(size_t) const
    {
        return 1.0f;
    }
    __device__ static void widen(float v[PIECE], const uint4 &raw, int, float, const float *)
    {
        widen_pairs(v, raw);
    }
};

DEVICE uint32_t word_of(const uint4 &raw, int i)
{
    return i == 0 ? raw.x : i == 1 ? raw.y : i == 2 ? raw.z : raw.w;
}

/* 2^23 + code has the bits 0x4b000000 | code: a float without a conversion. */
DEVICE float of_code(uint32_t code, float zero)
{
    return float_of_bits(0x4b000000u | code) - (8388608.0f + zero);
}

/* Codes: 16 bytes are a whole number of pieces of one group. */
template <llm_cuda_codes_t FORM> struct codes_t {
    static constexpr int UNIT = FORM == LLM_CUDA_INT8 ? 16 : 32; /* inputs of 16 bytes */

    const uint8_t *row;
    const float *scales;
    size_t in, group;

    __device__ static void prepare(float *nf4)
    {
        if (FORM == LLM_CUDA_NF4 && threadIdx.x < 16)
            nf4[threadIdx.x] = NF4[threadIdx.x];
    }
    __device__ codes_t(const llm_cuda_few_t &w, size_t output)
        : row(w.codes.codes + output * (w.in * 16 / UNIT)),
          scales(w.codes.scales + output * ((w.in + w.codes.group - 1) / w.codes.group)), in(w.in),
          group(w.codes.group)
    {
    }
    __device__ uint4 load(size_t i) const
    {
        return i < in ? load16(row + i * 16 / UNIT) : uint4{0, 0, 0, 0};
    }
    __device__ float scale(size_t i) const
    {
        return i < in ? scales[i / group] : 0.0f;
    }
    __device__ static void widen(float v[PIECE], const uint4 &raw, int piece, float scale,
                                 const float *nf4)
    {
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
            if (FORM == LLM_CUDA_INT8)
                v[j] = of_code(word_of(raw, 2 * piece + j / 4) >> 8 * (j % 4) & 255u, 128);
            else if (FORM == LLM_CUDA_INT4)
                v[j] = of_code(word_of(raw, piece) >> 4 * j & 15u, 8);
            else
                v[j] = nf4[word_of(raw, piece) >> 4 * j & 15u];
            v[j] *= scale;
        }
    }
};

/* acc[r][m] += inputs i .. i + UNIT of row m times those of output r. */
template <class W, int M, int OUTPUTS>
DEVICE void add_unit(float acc[OUTPUTS][M], const few_t &how, size_t i, const uint4 raw[OUTPUTS],
                     const float scale[OUTPUTS], const float *nf4)
{
#pragma unroll
    for (int piece = 0; piece < W::UNIT / PIECE; piece++) {
        const size_t k = i + piece * PIECE;
        float v[OUTPUTS][PIECE];
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++)
            W::widen(v[r], raw[r], piece, scale[r], nf4);
#pragma unroll
        for (int m = 0; m < M; m++) {
            float x[PIECE];
            load8(x, how.x + smaller(m, how.M - 1) * how.x_stride + k,
                  (long)how.weight.in - (long)k);
#pragma unroll
            for (int r = 0; r < OUTPUTS; r++)
#pragma unroll
                for (int j = 0; j < PIECE; j++)
                    acc[r][m] = fmaf(v[r][j], x[j], acc[r][m]);
        }
    }
}

template <class W, int M> __global__ void __launch_bounds__(WARPS *LANES) few_rows(few_t how)
{
    constexpr int OUTPUTS = OUTPUTS_OF<M>;
    SHARED(float, nf4, 16);
    W::prepare(nf4);
    __syncthreads();
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const size_t in = how.weight.in, out = how.weight.out;
    const size_t first = ((size_t)blockIdx.x * WARPS + warp) * OUTPUTS;
    if (first >= out)
        return;
    float acc[OUTPUTS][M] = {};
    constexpr size_t STEP = LANES * W::UNIT;
    for (size_t i = lane * W::UNIT; i < in; i += AHEAD * STEP) {
        uint4 raw[AHEAD][OUTPUTS];
        float scale[AHEAD][OUTPUTS];
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
#pragma unroll
            for (int r = 0; r < OUTPUTS; r++) {
                const W weight(how.weight, (size_t)smaller((long)(first + r), (long)out - 1));
                raw[a][r] = weight.load(i + a * STEP);
                scale[a][r] = weight.scale(i + a * STEP);
            }
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
            if (i + a * STEP < in)
                add_unit<W, M, OUTPUTS>(acc, how, i + a * STEP, raw[a], scale[a], nf4);
    }
#pragma unroll
    for (int r = 0; r < OUTPUTS; r++)
#pragma unroll
        for (int m = 0; m < M; m++) {
            const float sum = warp_sum(acc[r][m]);
            if (lane == 0 && m < how.M && first + r < out)
                how.y[m * how.y_stride + first + r] =
                    narrow<bf16>(sum + (how.bias ? how.bias[first + r] : 0.0f));
        }
}

/* Lane l has outputs 8 (l % 4) .. of the block's and every 64th input. */
template <int M> __global__ void __launch_bounds__(COLUMN_WARPS *LANES) few_columns(few_t how)
{
    constexpr int ACROSS = COLUMNS / PIECE, INPUTS = COLUMN_WARPS * LANES / ACROSS;
    SHARED(float, part, COLUMN_WARPS *M *COLUMNS);
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const size_t in = how.weight.in, out = how.weight.out;
    const size_t first = (size_t)blockIdx.x * COLUMNS, mine = first + lane % ACROSS * PIECE;
    const bf16 *elements = (const bf16 *)how.weight.elements + mine;
    float acc[M][PIECE] = {};
#pragma unroll 4
    for (size_t i = threadIdx.x / ACROSS; i < in; i += INPUTS) {
        float v[PIECE];
        load8(v, elements + i * how.weight.stride, (long)out - (long)mine);
#pragma unroll
        for (int m = 0; m < M; m++) {
            const float x = wide(how.x[smaller(m, how.M - 1) * how.x_stride + i]);
#pragma unroll
            for (int j = 0; j < PIECE; j++)
                acc[m][j] = fmaf(v[j], x, acc[m][j]);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int j = 0; j < PIECE; j++) {
#pragma unroll
            for (int d = ACROSS; d < LANES; d *= 2)
                acc[m][j] += __shfl_xor_sync(ALL_LANES, acc[m][j], d);
            if (lane < ACROSS)
                part[(warp * M + m) * COLUMNS + lane * PIECE + j] = acc[m][j];
        }
    __syncthreads();
    for (int i = threadIdx.x; i < M * COLUMNS; i += COLUMN_WARPS * LANES) {
        const int m = i / COLUMNS;
        const size_t o = first + i % COLUMNS;
        float sum = 0;
#pragma unroll
        for (int w = 0; w < COLUMN_WARPS; w++)
            sum += part[(w * M + m) * COLUMNS + i % COLUMNS];
        if (m < how.M && o < out)
            how.y[m * how.y_stride + o] = narrow<bf16>(sum + (how.bias ? how.bias[o] : 0.0f));
    }
}

bool llm_cuda_few_takes(const llm_cuda_few_t *weight, size_t M)
{
    if (!M || M > LLM_CUDA_FEW_MAX || !weight->in)
        return false;
    if (weight->elements)
        return true;
    const size_t unit = weight->codes.form == LLM_CUDA_INT8 ? codes_t<LLM_CUDA_INT8>::UNIT
                                                            : codes_t<LLM_CUDA_INT4>::UNIT;
    return !weight->input_major && weight->in % unit == 0 && weight->codes.group % unit == 0 &&
           (uintptr_t)weight->codes.codes % 16 == 0;
}

template <int M> static void run(const llm_cuda_queue_t *queue, const few_t &how)
{
    const llm_cuda_few_t &weight = how.weight;
    const dim3 blocks(ceil_div(weight.out, WARPS * OUTPUTS_OF<M>)), threads(WARPS * LANES);
    if (weight.elements && weight.input_major)
        launch(queue, dim3(ceil_div(weight.out, COLUMNS)), dim3(COLUMN_WARPS * LANES), 0,
               few_columns<M>, how);
    else if (weight.elements)
        launch(queue, blocks, threads, 0, few_rows<elements_t, M>, how);
    else if (weight.codes.form == LLM_CUDA_INT8)
        launch(queue, blocks, threads, 0, few_rows<codes_t<LLM_CUDA_INT8>, M>, how);
    else if (weight.codes.form == LLM_CUDA_INT4)
        launch(queue, blocks, threads, 0, few_rows<codes_t<LLM_CUDA_INT4>, M>, how);
    else
        launch(queue, blocks, threads, 0, few_rows<codes_t<LLM_CUDA_NF4>, M>, how);
}

void llm_cuda_few_forward(const llm_cuda_queue_t *queue, void *y, size_t y_stride, const void *x,
                          size_t x_stride, const llm_cuda_few_t *weight, const float *bias,
                          size_t M)
{
    const few_t how = {(bf16 *)y, (const bf16 *)x, bias, y_stride, x_stride, *weight, (int)M};
    if (M == 1)
        run<1>(queue, how);
    else if (M == 2)
        run<2>(queue, how);
    else if (M <= 4)
        run<4>(queue, how);
    else
        run<8>(queue, how);
}
