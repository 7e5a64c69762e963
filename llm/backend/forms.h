/*
 * forms.h - the rules of the narrow forms of a frozen weight: which codes stand
 * for which numbers.  How a backend lays them out is its own affair.
 *
 * INT8   value (code - 128) scale, scale = largest size / 127 of the group.
 * INT4   value (code - 8) scale; the number of largest size gets code 0, so
 *        that all sixteen codes are of use: scale = that number / -8.
 * NF4    value table[code] scale, scale = largest size: the sixteen quantiles of
 *        the normal distribution of QLoRA (Dettmers et al. 2023), as
 *        bitsandbytes has them, in blocks of 64, without double quantization.
 * A group is LLM_FORM_GROUP successive inputs of one output.
 */
#ifndef LLM_BACKEND_FORMS_H
#define LLM_BACKEND_FORMS_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/llm/backend.h"

#define LLM_FORM_GROUP 64
#define LLM_FORMS_ALL                                                                              \
    (1u << LLM_FORM_F32 | 1u << LLM_FORM_BF16 | 1u << LLM_FORM_INT8 | 1u << LLM_FORM_INT4 |        \
     1u << LLM_FORM_NF4)

/* The numbers that NF4's codes stand for, before the scale. */
extern const float llm_form_nf4[16];

/* Bits of a weight in memory. */
unsigned llm_form_bits(llm_matrix_form_t form);

/* The number that a code of a group stands for; form is INT8, INT4 or NF4. */
float llm_form_value(llm_matrix_form_t form, unsigned code, float scale);

/* Codes of n <= LLM_FORM_GROUP values, to the nearest; returns the scale.  Where
 * a value is not finite the scale is NaN, so that no product hides it. */
float llm_form_encode(llm_matrix_form_t form, uint8_t *codes, const float *values, size_t n);

#endif
