/*
 * kernels/dequantize.h - panels of small integers as floats, on their way to
 * a tile.  Included by the isa_*.c files only.
 *
 * Codes are unsigned, zero in the middle.  At 4 bits a row's byte j holds lane
 * j in its low half and lane j + LANES in its high half.
 */
#ifndef LLM_BACKEND_CPU_DEQUANTIZE_H
#define LLM_BACKEND_CPU_DEQUANTIZE_H

#include "llm/backend/cpu/kernels/vector.h"

typedef uint8_t vb __attribute__((vector_size(LANES)));
typedef uint8_t vb_anywhere __attribute__((vector_size(LANES), aligned(1), may_alias));

/* LANES bytes as integers.  Left to the compiler, some of the conversions are
 * done byte by byte. */
INLINE vi v_widen(vb codes)
{
#if defined(__AVX512F__)
    return (vi)_mm512_cvtepu8_epi32((__m128i)codes);
#elif defined(__AVX2__)
    return (vi)_mm256_cvtepu8_epi32(_mm_set_epi64x(0, (long long)codes));
#else
    return __builtin_convertvector(codes, vi);
#endif
}

INLINE vf v_of_codes(vb codes, int zero)
{
    return __builtin_convertvector(v_widen(codes) - zero, vf);
}

INLINE void row_of_codes(vf out[2], const uint8_t *codes, const unsigned bits)
{
    vb first = *(const vb_anywhere *)codes, second;
    if (bits == 8) {
        second = *(const vb_anywhere *)(codes + LANES);
    } else {
        second = first >> 4;
        first &= 15;
    }
    out[0] = v_of_codes(first, bits == 8 ? 128 : 8);
    out[1] = v_of_codes(second, bits == 8 ? 128 : 8);
}

INLINE void dequantize_rows(float *to, const uint8_t *codes, size_t rows,
                            const llm_cpu_scales_t *scales, const unsigned bits)
{
    for (size_t r = 0; r < rows; r++) {
        vf row[2];
        row_of_codes(row, codes + r * (WIDTH * bits / 8), bits);
        bool by_lane = scales->lanes != NULL;
        vf low = by_lane ? v_load(scales->lanes) : v_set(scales->rows[r * scales->step]);
        vf high = by_lane ? v_load(scales->lanes + LANES) : low;
        v_store(to + r * WIDTH, row[0] * low);
        v_store(to + r * WIDTH + LANES, row[1] * high);
    }
}

static void dequantize(float *to, const uint8_t *codes, size_t rows, unsigned bits,
                       const llm_cpu_scales_t *scales)
{
    if (bits == 8)
        dequantize_rows(to, codes, rows, scales, 8);
    else
        dequantize_rows(to, codes, rows, scales, 4);
}

#endif
