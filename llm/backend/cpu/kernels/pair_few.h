/*
 * kernels/pair_few.h - sums of BF16 pairs for a few rows, where the weights come
 * from memory once and their codes become BF16 in registers; and the same codes
 * as panels of BF16 for many rows.  Included by isa_avx512bf16.c only.
 *
 * An index of a permutation of 32 numbers is five bits: a table of sixteen
 * numbers that is there twice takes a code of four bits, whatever lies above it.
 */
#ifndef LLM_BACKEND_CPU_PAIR_FEW_H
#define LLM_BACKEND_CPU_PAIR_FEW_H

#include "base/half.h"
#include "llm/backend/cpu/kernels/pair_tile.h"

INLINE __m512i table_of(const llm_matrix_form_t form)
{
    uint16_t numbers[32] = {0};
    for (unsigned c = 0; c < 32 && form != LLM_FORM_NF4; c++)
        numbers[c] = fmq_bf16_of_float((float)(c % 16) - 8);
    for (unsigned c = 0; c < 32 && form == LLM_FORM_NF4; c++)
        numbers[c] = fmq_bf16_of_float(llm_form_nf4[c % 16]);
    return _mm512_loadu_si512(numbers);
}

/* Bytes at bits shift .. shift + 8 of lanes, less 128, as floats: a byte is the
 * last bits of 2^23 + byte. */
INLINE __m512i number_of_byte(__m512i words, const unsigned shift)
{
    const __m512i low = _mm512_set1_epi32(0xff), large = _mm512_set1_epi32(0x4b000000);
    __m512i byte = shift ? _mm512_srli_epi32(words, shift) : words;
    __m512i bits = _mm512_ternarylogic_epi32(byte, low, large, 0xea); /* byte & low | large */
    return (__m512i)_mm512_sub_ps((__m512)bits, _mm512_set1_ps(8388736.0f));
}

/* Pair p of a row of words: its numbers, which BF16 holds exactly (NF4's are
 * rounded to it), without scales. */
INLINE __m512i pair_of(__m512i words, const unsigned p, const llm_matrix_form_t form, __m512i table)
{
    if (form == LLM_FORM_BF16)
        return words;
    if (form != LLM_FORM_INT8)
        return _mm512_permutexvar_epi16(p ? _mm512_srli_epi32(words, 4 * p) : words, table);
    __m512i even = _mm512_srli_epi32(number_of_byte(words, 8 * p), 16);
    __m512i odd = number_of_byte(words, 16 + 8 * p);
    return _mm512_mask_blend_epi16(0xaaaaaaaau, even, odd);
}

INLINE unsigned pairs_in_word(const llm_matrix_form_t form)
{
    return form == LLM_FORM_BF16 ? 1 : form == LLM_FORM_INT8 ? 2 : 4;
}

INLINE void decode_form(uint32_t *to, const uint32_t *words, size_t pairs,
                        const llm_matrix_form_t form)
{
    const unsigned each = pairs_in_word(form);
    __m512i table = table_of(form);
    for (size_t k = 0; k < pairs; k += each, words += WIDTH)
        for (size_t v = 0; v < WIDTH; v += 16) {
            __m512i row = _mm512_loadu_si512(words + v);
#pragma GCC unroll 4
            for (unsigned p = 0; p < each; p++)
                if (k + p < pairs)
                    _mm512_storeu_si512(to + (k + p) * WIDTH + v, pair_of(row, p, form, table));
        }
}

static void decode(uint32_t *to, const uint32_t *words, size_t pairs, llm_matrix_form_t form)
{
    if (form == LLM_FORM_INT8)
        decode_form(to, words, pairs, LLM_FORM_INT8);
    else if (form == LLM_FORM_INT4)
        decode_form(to, words, pairs, LLM_FORM_INT4);
    else
        decode_form(to, words, pairs, LLM_FORM_NF4);
}

/* Rows of words first .. last of the panels: one chain per sum. */
INLINE void few_words(__m512 *sum, const llm_pairs_few_t *f, size_t first, size_t last,
                      const size_t rows, const size_t panels, const llm_matrix_form_t form,
                      __m512i table)
{
    const unsigned each = pairs_in_word(form);
    for (size_t w = first; w < last; w++)
#pragma GCC unroll 4
        for (size_t v = 0; v < 2 * panels; v++) {
            const uint32_t *at = f->words + v / 2 * f->panel + w * WIDTH + v % 2 * 16;
            __m512i row = _mm512_loadu_si512(at);
            __builtin_prefetch(at + 16 * WIDTH);
#pragma GCC unroll 4
            for (unsigned p = 0; p < each; p++) {
                __m512i b = pair_of(row, p, form, table);
#pragma GCC unroll 8
                for (size_t r = 0; r < rows; r++) {
                    __m512i x = _mm512_set1_epi32((int)f->a[r * f->a_stride + w * each + p]);
                    sum[v * rows + r] = sum_pairs(sum[v * rows + r], b, x);
                }
            }
        }
}

/* Tail words of BF16's odd input and of codes hold zeros or meet zeros of a. */
INLINE void few_of(float *acc, const llm_pairs_few_t *f, const size_t rows, const size_t panels,
                   const llm_matrix_form_t form)
{
    const size_t inputs = 2 * pairs_in_word(form);
    size_t words = (f->in + inputs - 1) / inputs;
    size_t group = form == LLM_FORM_BF16 ? words : f->group / inputs;
    __m512i table = table_of(form);
    __m512 sum[4 * LLM_PAIRS_FEW], total[4 * LLM_PAIRS_FEW];
#pragma GCC unroll 32
    for (size_t i = 0; i < 2 * panels * rows; i++)
        total[i] = _mm512_setzero_ps();
    for (size_t g = 0, first = 0; first < words; g++, first += group) {
        size_t last = first + group < words ? first + group : words;
#pragma GCC unroll 32
        for (size_t i = 0; i < 2 * panels * rows; i++)
            sum[i] = _mm512_setzero_ps();
        few_words(sum, f, first, last, rows, panels, form, table);
#pragma GCC unroll 32
        for (size_t i = 0; i < 2 * panels * rows; i++) {
            const float *scales = f->scales + (i / rows / 2 * f->groups + g) * WIDTH;
            total[i] = form == LLM_FORM_BF16
                           ? sum[i]
                           : _mm512_fmadd_ps(sum[i], _mm512_loadu_ps(scales + i / rows % 2 * 16),
                                             total[i]);
        }
    }
#pragma GCC unroll 32
    for (size_t i = 0; i < 2 * panels * rows; i++)
        _mm512_storeu_ps(acc + (i / rows / 2 * rows + i % rows) * WIDTH + i / rows % 2 * 16,
                         total[i]);
}

typedef void (*few_fn_t)(float *acc, const llm_pairs_few_t *f);

#define FEW(rows, panels, form)                                                                    \
    static void few_##rows##_##panels##_##form(float *acc, const llm_pairs_few_t *f)               \
    {                                                                                              \
        few_of(acc, f, rows, panels, LLM_FORM_##form);                                             \
    }
#define FEWS(rows, panels)                                                                         \
    FEW(rows, panels, BF16) FEW(rows, panels, INT8) FEW(rows, panels, INT4) FEW(rows, panels, NF4)
#define FEW_ENTRY(rows, panels)                                                                    \
    {                                                                                              \
        [LLM_FORM_BF16] = few_##rows##_##panels##_BF16,                                            \
        [LLM_FORM_INT8] = few_##rows##_##panels##_INT8,                                            \
        [LLM_FORM_INT4] = few_##rows##_##panels##_INT4,                                            \
        [LLM_FORM_NF4] = few_##rows##_##panels##_NF4,                                              \
    }

FEWS(1, 1)
FEWS(2, 1)
FEWS(3, 1)
FEWS(4, 1)
FEWS(5, 1)
FEWS(6, 1)
FEWS(7, 1)
FEWS(8, 1)
FEWS(1, 2)
FEWS(2, 2)
FEWS(3, 2)
FEWS(4, 2)

static const few_fn_t few_single[LLM_PAIRS_FEW][LLM_FORM_NF4 + 1] = {
    FEW_ENTRY(1, 1), FEW_ENTRY(2, 1), FEW_ENTRY(3, 1), FEW_ENTRY(4, 1),
    FEW_ENTRY(5, 1), FEW_ENTRY(6, 1), FEW_ENTRY(7, 1), FEW_ENTRY(8, 1),
};
static const few_fn_t few_double[4][LLM_FORM_NF4 + 1] = {
    FEW_ENTRY(1, 2),
    FEW_ENTRY(2, 2),
    FEW_ENTRY(3, 2),
    FEW_ENTRY(4, 2),
};

/* Two panels at once give as many chains as the machine needs. */
static void few(float *acc, const llm_pairs_few_t *f)
{
    if (f->panels == 2 && f->rows <= 4) {
        few_double[f->rows - 1][f->form](acc, f);
        return;
    }
    llm_pairs_few_t one = *f;
    for (size_t p = 0; p < f->panels; p++) {
        few_single[f->rows - 1][f->form](acc + p * f->rows * WIDTH, &one);
        one.words += f->panel;
        one.scales += one.scales ? f->groups * WIDTH : 0;
    }
}

#endif
