/*
 * attention.cuh - tiles of rows in shared memory and the products of a warp on
 * them, for attention in bf16.
 *
 * A tile is ROWS rows of D elements, D + 8 apart: an odd number of 16-byte
 * pieces, so that the eight rows that ldmatrix reads lie in different banks.
 * Rows and columns that are not there are zeros.  A warp owns 16 rows of what
 * it computes; fragments are those of tensor.cuh.
 */
#ifndef LLM_BACKEND_CUDA_ATTENTION_CUH
#define LLM_BACKEND_CUDA_ATTENTION_CUH

#include <type_traits>

#include "llm/backend/cuda/scores.cuh"
#include "llm/backend/cuda/tensor.cuh"

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;

__host__ __device__ constexpr int pitch(int D)
{
    return D + 8;
}

/* rows of width elements, stride apart, become a tile. */
template <int D, int ROWS, int THREADS>
DEVICE void load_tile(bf16 *tile, const bf16 *from, size_t stride, int rows, int width,
                      bool aligned)
{
    constexpr int PIECES = D / PIECE;
#pragma unroll 3
    for (int i = threadIdx.x; i < ROWS * PIECES; i += THREADS) {
        const int row = i / PIECES, c = i % PIECES * PIECE;
        bf16 *to = tile + row * pitch(D) + c;
        const bf16 *source = from + (row * (int)stride + c); /* a tile is small */
        if (aligned) {
            const bool there = row < rows && c < width;
            cp_async(to, there ? source : from, there);
            continue;
        }
        for (int j = 0; j < PIECE; j++)
            to[j] = row < rows && c + j < width ? source[j] : bf16{0};
    }
}

/* Whether cp_async can read such rows. */
DEVICE bool can_copy(const void *from, size_t stride, int width)
{
    return is_aligned(from) && stride % PIECE == 0 && width % PIECE == 0;
}

/* Rows into a tile of L's, copied where they can be. */
template <class L, int ROWS>
DEVICE void load_rows(bf16 *tile, const bf16 *from, size_t stride, int rows, int width)
{
    load_tile<L::D, ROWS, L::THREADS>(tile, from, stride, rows, width,
                                      can_copy(from, stride, width));
}

/* Rows row .. row + 15, columns k .. k + 15, as the A of mma. */
template <int D> DEVICE void load_a(uint32_t a[4], const bf16 *tile, int row, int k)
{
    const int lane = threadIdx.x % LANES;
    ldmatrix(a, tile + (row + lane % 16) * pitch(D) + k + lane / 16 * 8);
}

/* Rows n .. n + 15, columns k .. k + 15, as two Bs whose column n is row n of
 * the tile: for products with the transposed tile. */
template <int D> DEVICE void load_b_rows(uint32_t b[4], const bf16 *tile, int n, int k)
{
    const int lane = threadIdx.x % LANES;
    ldmatrix(b, tile + (n + lane / 16 * 8 + lane % 8) * pitch(D) + k + lane / 8 % 2 * 8);
}

/* Rows k .. k + 15, columns n .. n + 15, as two Bs with the tile's own rows:
 * for products with the tile. */
template <int D> DEVICE void load_b_columns(uint32_t b[4], const bf16 *tile, int k, int n)
{
    const int lane = threadIdx.x % LANES;
    ldmatrix_transposed(b, tile + (k + lane / 8 % 2 * 8 + lane % 8) * pitch(D) + n + lane / 16 * 8);
}

/* c[16 x N] = A[16 x D] B[N x D]^T from rows row .. of one tile and all N of
 * another. */
template <int D, int N>
DEVICE void product_rows(float (*c)[4], const bf16 *a_tile, int row, const bf16 *b_tile)
{
#pragma unroll
    for (int n = 0; n < N / 8; n++)
        c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
#pragma unroll 2
    for (int k = 0; k < D; k += 16) { /* unrolled further, fragments would spill */
        uint32_t a[4];
        load_a<D>(a, a_tile, row, k);
#pragma unroll
        for (int n = 0; n < N; n += 16) {
            uint32_t b[4];
            load_b_rows<D>(b, b_tile, n, k);
            mma(c[n / 8], a, b);
            mma(c[n / 8 + 1], a, b + 2);
        }
    }
}

/* Columns 16 k .. 16 k + 15 of an accumulator, rounded to bf16, as an A. */
DEVICE void as_a(uint32_t a[4], const float (*c)[4], int k)
{
    a[0] = pack(c[2 * k][0], c[2 * k][1]);
    a[1] = pack(c[2 * k][2], c[2 * k][3]);
    a[2] = pack(c[2 * k + 1][0], c[2 * k + 1][1]);
    a[3] = pack(c[2 * k + 1][2], c[2 * k + 1][3]);
}

/* c[16 x D] += P[16 x N] B[N x D] with P an accumulator. */
template <int D, int N>
DEVICE void product_columns(float (*c)[4], const float (*p)[4], const bf16 *b_tile)
{
#pragma unroll
    for (int k = 0; k < N; k += 16) {
        uint32_t a[4];
        as_a(a, p, k / 16);
#pragma unroll
        for (int n = 0; n < D; n += 16) {
            uint32_t b[4];
            load_b_columns<D>(b, b_tile, k, n);
            mma(c[n / 8], a, b);
            mma(c[n / 8 + 1], a, b + 2);
        }
    }
}

/* Sixteen rows of an accumulator, times low for rows 0 .. 7 and high for the
 * others, to global memory by way of the warp's own rows of a tile. */
template <int D>
DEVICE void store_rows(bf16 *to, size_t stride, int rows, int width, bf16 *tile, int row,
                       const float (*c)[4], float low, float high)
{
    const int lane = threadIdx.x % LANES, g = lane / 4, t = lane % 4;
    bf16 *own = tile + row * pitch(D);
    __syncwarp();
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        *(uint32_t *)(own + g * pitch(D) + n * 8 + 2 * t) = pack(c[n][0] * low, c[n][1] * low);
        *(uint32_t *)(own + (g + 8) * pitch(D) + n * 8 + 2 * t) =
            pack(c[n][2] * high, c[n][3] * high);
    }
    __syncwarp();
    const bool aligned = can_copy(to, stride, width);
    for (int i = lane; i < 16 * (D / PIECE); i += LANES) {
        const int r = i / (D / PIECE), d = i % (D / PIECE) * PIECE;
        if (r >= rows || d >= width)
            continue;
        if (aligned)
            store16(to + r * stride + d, load16(own + r * pitch(D) + d));
        else
            for (int j = 0; j < PIECE && d + j < width; j++)
                to[r * stride + d + j] = own[r * pitch(D) + d + j];
    }
}

/* The smallest head width that kernels are made for and that holds D. */
template <class F> static void for_width(size_t D, F of)
{
    if (D <= 64)
        of(std::integral_constant<int, 64>());
    else if (D <= 80)
        of(std::integral_constant<int, 80>());
    else if (D <= 96)
        of(std::integral_constant<int, 96>());
    else if (D <= 128)
        of(std::integral_constant<int, 128>());
    else
        of(std::integral_constant<int, 256>());
}

#endif
