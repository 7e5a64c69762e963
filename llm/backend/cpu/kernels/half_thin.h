/*
 * kernels/half_thin.h - the thin products of LoRA over BF16 activations, whose
 * other operands are floats: dots of rows, and rows widened and added to where a
 * mask keeps them.  Included by the half_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_HALF_THIN_H
#define LLM_BACKEND_CPU_HALF_THIN_H

#include "llm/backend/cpu/half_kernels.h"
#include "llm/backend/cpu/kernels/half_vector.h"

/* Elements column .. column + n of a row, zeros where they are dropped; column
 * is a multiple of 4, and of 8 but for registers of four. */
INLINE vf kept_at(const uint16_t *row, const uint8_t *mask, size_t column, size_t n)
{
    vf value = v_widen_n(row + column, n);
    if (!mask)
        return value;
    uint32_t bits = (uint32_t)mask[column / 8] >> column % 8;
    if (n > 8)
        bits |= (uint32_t)mask[column / 8 + 1] << 8;
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_mov_ps((__mmask16)bits, (__m512)value);
#else
    return v_select(v_of_bits(bits), value, v_set(0));
#endif
}

/* Two rows by LANES / 2 ranks: as many sums as there are lanes, so that turning
 * them adds up all at once. */
INLINE vf dots_of(const llm_cpu_dots_t *d, size_t first, size_t second, size_t rank)
{
    const uint16_t *x[2] = {d->x + first * d->x_stride, d->x + second * d->x_stride};
    const uint8_t *mask[2] = {d->mask ? d->mask + first * d->mask_stride : NULL,
                              d->mask ? d->mask + second * d->mask_stride : NULL};
    const float *a = d->a + rank * WIDTH;
    vf sum[LANES];
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++)
        sum[i] = v_set(0);
    for (size_t k = 0; k < d->width; k += LANES) {
        size_t n = up_to_lanes(d->width - k);
        const float *at = a + k / WIDTH * d->a_block + k % WIDTH;
        vf x0 = kept_at(x[0], mask[0], k, n), x1 = kept_at(x[1], mask[1], k, n);
#pragma GCC unroll 8
        for (size_t i = 0; i < LANES / 2; i++) {
            vf weights = v_load(at + i * WIDTH);
            sum[i] = v_fma(x0, weights, sum[i]);
            sum[LANES / 2 + i] = v_fma(x1, weights, sum[LANES / 2 + i]);
        }
    }
    v_transpose(sum);
#pragma GCC unroll 16
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0] * d->scale;
}

static void dots(float *h, const llm_cpu_dots_t *d)
{
    for (size_t m = 0; m < d->rows; m += 2) {
        size_t second = m + 1 < d->rows ? m + 1 : m;
        for (size_t r = 0; r < d->rank; r += LANES / 2) {
            size_t n = d->rank - r < LANES / 2 ? d->rank - r : LANES / 2;
            float both[LANES];
            v_store(both, dots_of(d, m, second, r));
            memcpy(h + m * d->rank + r, both, n * sizeof(float));
            if (second > m)
                memcpy(h + second * d->rank + r, both + LANES / 2, n * sizeof(float));
        }
    }
}

/* to[row][WIDTH], zeros where they are dropped and behind the last column. */
static void widen_kept(float *to, const llm_cpu_kept_t *from)
{
    for (size_t r = 0; r < from->rows; r++)
        for (size_t c = 0; c < WIDTH; c += LANES) {
            const uint8_t *mask = from->mask ? from->mask + r * from->mask_stride : NULL;
            vf value = v_set(0);
            if (c < from->columns)
                value =
                    kept_at(from->read + r * from->stride, mask, c, up_to_lanes(from->columns - c));
            v_store(to + r * WIDTH + c, value);
        }
}

/* x += scale sums[row][WIDTH] where they are kept, rounded once. */
static void add_kept(const llm_cpu_kept_t *to, const float *sums, float scale)
{
    for (size_t r = 0; r < to->rows; r++)
        for (size_t c = 0; c < to->columns; c += LANES) {
            size_t n = up_to_lanes(to->columns - c);
            uint16_t *x = to->x + r * to->stride + c;
            vf value = v_load(sums + r * WIDTH + c) * scale;
            if (to->mask) {
                const uint8_t *mask = to->mask + r * to->mask_stride + c / 8;
                uint32_t bits = (uint32_t)mask[0] >> c % 8 | (n > 8 ? (uint32_t)mask[1] << 8 : 0);
                value = v_select(v_of_bits(bits), value, v_set(0));
            }
            v_narrow_n(x, v_widen_n(x, n) + value, n);
        }
}

#endif
