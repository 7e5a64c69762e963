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

INLINE size_t inputs_of_word(const llm_matrix_form_t form)
{
    return form == LLM_FORM_BF16 ? 2 : form == LLM_FORM_INT8 ? 4 : 8;
}

/* One register of input i of a panel's words from `words` on, scaled. */
INLINE vf weight_of(const uint32_t *words, size_t i, vf scale, const llm_matrix_form_t form)
{
    vf number = number_of(words_at(words), i, form);
    return form == LLM_FORM_BF16 ? number : number * scale;
}

/* Inputs first .. first + n of a word, n no more than it holds. */
INLINE void widen_word(float *to, const uint32_t *panel, size_t first, size_t n, const vf scale[2],
                       const llm_matrix_form_t form)
{
    const uint32_t *words = panel + first / inputs_of_word(form) * WIDTH;
#pragma GCC unroll 8
    for (size_t r = 0; r < n; r++) {
        v_store(to + r * WIDTH, weight_of(words, first + r, scale[0], form));
        v_store(to + r * WIDTH + LANES, weight_of(words + LANES, first + r, scale[1], form));
    }
}

/* Whole words are taken apart by shifts that are known beforehand. */
INLINE void widen_rows(float *to, const uint32_t *panel, size_t first, size_t rows,
                       const llm_cpu_scales_t *scales, const llm_matrix_form_t form)
{
    const size_t each = inputs_of_word(form);
    bool by_row = form != LLM_FORM_BF16 && !scales->lanes;
    vf scale[2] = {v_set(0), v_set(0)};
    if (form != LLM_FORM_BF16 && scales->lanes) {
        scale[0] = v_load(scales->lanes);
        scale[1] = v_load(scales->lanes + LANES);
    }
    for (size_t r = 0; r < rows;) {
        bool whole = !by_row && (first + r) % each == 0 && rows - r >= each;
        if (by_row)
            scale[0] = scale[1] = v_set(scales->rows[r * scales->step]);
        if (whole && form == LLM_FORM_BF16)
            widen_word(to + r * WIDTH, panel, (first + r) / 2 * 2, 2, scale, form);
        else if (whole && form == LLM_FORM_INT8)
            widen_word(to + r * WIDTH, panel, (first + r) / 4 * 4, 4, scale, form);
        else if (whole)
            widen_word(to + r * WIDTH, panel, (first + r) / 8 * 8, 8, scale, form);
        else
            widen_word(to + r * WIDTH, panel, first + r, 1, scale, form);
        r += whole ? each : 1;
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

/* A word's inputs, i to i + each, of every row into the sums: one chain of fused
 * multiply-adds per sum in the order of inputs, as tile_direct has it. */
INLINE void few_word(vf sum[4][2], const llm_cpu_few_t *f, size_t i, const vf scale[2],
                     const size_t rows, const llm_matrix_form_t form)
{
    const size_t each = inputs_of_word(form);
    const uint32_t *words = f->panel + (f->first + i) / each * WIDTH;
#pragma GCC unroll 8
    for (size_t k = 0; k < each; k++) {
        vf b0 = weight_of(words, k, scale[0], form);
        vf b1 = weight_of(words + LANES, k, scale[1], form);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            vf x = v_set(f->a[r * f->a_stride + i + k]);
            sum[r][0] = v_fma(x, b0, sum[r][0]);
            sum[r][1] = v_fma(x, b1, sum[r][1]);
        }
    }
    __builtin_prefetch(words + 16 * WIDTH);
    __builtin_prefetch(words + 16 * WIDTH + LANES);
}

INLINE void few_rows(float *acc, const llm_cpu_few_t *f, const size_t rows,
                     const llm_matrix_form_t form)
{
    vf sum[4][2], scale[2] = {v_set(0), v_set(0)};
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        sum[r][0] = v_set(0);
        sum[r][1] = v_set(0);
    }
    for (size_t i = 0; i < f->K;) {
        size_t end = f->K;
        if (form != LLM_FORM_BF16) {
            const float *lanes = f->scales + (f->first + i) / f->group * WIDTH;
            scale[0] = v_load(lanes);
            scale[1] = v_load(lanes + LANES);
            size_t left = f->group - (f->first + i) % f->group;
            end = i + left < f->K ? i + left : f->K;
        }
        for (; i < end; i += inputs_of_word(form))
            few_word(sum, f, i, scale, rows, form);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        v_store(acc + r * WIDTH, sum[r][0]);
        v_store(acc + r * WIDTH + LANES, sum[r][1]);
    }
}

#define FEW_FORM(name, form)                                                                       \
    static void few_##name(float *acc, const llm_cpu_few_t *f)                                     \
    {                                                                                              \
        if (f->rows == 1)                                                                          \
            few_rows(acc, f, 1, form);                                                             \
        else if (f->rows == 2)                                                                     \
            few_rows(acc, f, 2, form);                                                             \
        else if (f->rows == 3)                                                                     \
            few_rows(acc, f, 3, form);                                                             \
        else                                                                                       \
            few_rows(acc, f, 4, form);                                                             \
    }
FEW_FORM(bf16, LLM_FORM_BF16)
FEW_FORM(int8, LLM_FORM_INT8)
FEW_FORM(int4, LLM_FORM_INT4)
FEW_FORM(nf4, LLM_FORM_NF4)

static void few(float *acc, const llm_cpu_few_t *f)
{
    if (f->form == LLM_FORM_BF16)
        few_bf16(acc, f);
    else if (f->form == LLM_FORM_INT8)
        few_int8(acc, f);
    else if (f->form == LLM_FORM_INT4)
        few_int4(acc, f);
    else
        few_nf4(acc, f);
}

#endif
