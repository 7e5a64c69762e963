/*
 * kernels/widen.h - panels of narrow weights as floats, on their way to a tile.
 * Included by the isa_*.c files only.
 *
 * A word of 32 bits holds successive inputs of one output, and a row of words
 * those of a panel's outputs.  Even inputs lie in a word's low half, odd ones in
 * its high half, the lower inputs in the lower bits of either: a half of a word
 * shifted to the right by `bits` again and again gives pairs of inputs.
 */
#ifndef LLM_BACKEND_CPU_WIDEN_H
#define LLM_BACKEND_CPU_WIDEN_H

#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/vector.h"

INLINE vw words_at(const uint32_t *words)
{
    vw value;
    memcpy(&value, words, sizeof value);
    return value;
}

/* table[code] of sixteen numbers; codes below 16. */
INLINE vf v_of_table(const float *table, vw codes)
{
#if defined(__AVX512F__)
    return (vf)_mm512_permutexvar_ps((__m512i)codes, _mm512_loadu_ps(table));
#elif defined(__AVX2__)
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)codes);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), (__m256i)codes);
    return (vf)_mm256_blendv_ps(low, high,
                                _mm256_castsi256_ps(_mm256_slli_epi32((__m256i)codes, 28)));
#else
    vf value;
    for (size_t i = 0; i < LANES; i++)
        value[i] = table[codes[i]];
    return value;
#endif
}

/* The number of input i of a row of words, before the scale. */
INLINE vf number_of(vw words, size_t i, const llm_matrix_form_t form)
{
    const unsigned bits = form == LLM_FORM_BF16 ? 16 : form == LLM_FORM_INT8 ? 8 : 4;
    size_t place = i % (32 / bits);
    if (form == LLM_FORM_BF16)
        return (vf)(place ? words & 0xffff0000u : words << 16);
    vw codes = words >> (uint32_t)(place / 2 * bits + place % 2 * 16) & ((1u << bits) - 1);
    if (form == LLM_FORM_NF4)
        return v_of_table(llm_form_nf4, codes);
    return __builtin_convertvector((vi)codes - (form == LLM_FORM_INT8 ? 128 : 8), vf);
}

INLINE void widen_rows(float *to, const uint32_t *panel, size_t first, size_t rows,
                       const llm_cpu_scales_t *scales, const llm_matrix_form_t form)
{
    const size_t each = form == LLM_FORM_BF16 ? 2 : form == LLM_FORM_INT8 ? 4 : 8;
    for (size_t r = 0; r < rows; r++) {
        const uint32_t *words = panel + (first + r) / each * WIDTH;
        vf low = number_of(words_at(words), first + r, form);
        vf high = number_of(words_at(words + LANES), first + r, form);
        if (form != LLM_FORM_BF16) {
            bool by_lane = scales->lanes != NULL;
            vf scale = by_lane ? v_load(scales->lanes) : v_set(scales->rows[r * scales->step]);
            low *= scale;
            high *= by_lane ? v_load(scales->lanes + LANES) : scale;
        }
        v_store(to + r * WIDTH, low);
        v_store(to + r * WIDTH + LANES, high);
    }
}

static void widen(float *to, const uint32_t *panel, size_t first, size_t rows,
                  llm_matrix_form_t form, const llm_cpu_scales_t *scales)
{
    if (form == LLM_FORM_BF16)
        widen_rows(to, panel, first, rows, scales, LLM_FORM_BF16);
    else if (form == LLM_FORM_INT8)
        widen_rows(to, panel, first, rows, scales, LLM_FORM_INT8);
    else if (form == LLM_FORM_INT4)
        widen_rows(to, panel, first, rows, scales, LLM_FORM_INT4);
    else
        widen_rows(to, panel, first, rows, scales, LLM_FORM_NF4);
}

#endif
