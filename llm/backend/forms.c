/*
 * forms.c - codes of groups of weights.
 *
 * Written in loops without branches, which become vectors: a model of billions
 * of weights goes through here as it is loaded.  There is no product followed by
 * a sum, so that all compilers round alike.
 */
#include "llm/backend/forms.h"

#include <math.h>

#include "llm/backend/nf4.h"

const float llm_form_nf4[16] = LLM_NF4_VALUES;

unsigned llm_form_bits(llm_matrix_form_t form)
{
    static const unsigned bits[] = {[LLM_FORM_F32] = 32,
                                    [LLM_FORM_BF16] = 16,
                                    [LLM_FORM_INT8] = 8,
                                    [LLM_FORM_INT4] = 4,
                                    [LLM_FORM_NF4] = 4};
    return bits[form];
}

float llm_form_value(llm_matrix_form_t form, unsigned code, float scale)
{
    if (form == LLM_FORM_NF4)
        return llm_form_nf4[code] * scale;
    return (float)((int)code - (form == LLM_FORM_INT8 ? 128 : 8)) * scale;
}

/* The value of largest size, the first among equals. */
static float largest(const float *values, size_t n)
{
    float found = 0;
    for (size_t i = 0; i < n; i++)
        found = fabsf(values[i]) > fabsf(found) ? values[i] : found;
    return found;
}

/* Multiples of scale, to the nearest: (value / scale) rounded by adding and
 * taking away 1.5 2^23, then held within lowest and highest. */
static void encode_linear(uint8_t *codes, const float *values, size_t n, float scale, int zero)
{
    const float shift = 12582912.0f;
    float lowest = (float)-zero, highest = (float)(zero - 1);
    for (size_t i = 0; i < n; i++) {
        float steps = values[i] / scale;
        steps = steps < lowest ? lowest : steps;
        steps = steps > highest ? highest : steps;
        codes[i] = (uint8_t)((int)(steps + shift - shift) + zero);
    }
}

/* How many middles between two neighbours of the table lie below. */
static void encode_nf4(uint8_t *codes, const float *values, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = 0;
    for (unsigned c = 0; c < 15; c++) {
        float middle = (llm_form_nf4[c] + llm_form_nf4[c + 1]) / 2;
        for (size_t i = 0; i < n; i++)
            codes[i] = (uint8_t)(codes[i] + (values[i] / scale > middle));
    }
}

float llm_form_encode(llm_matrix_form_t form, uint8_t *codes, const float *values, size_t n)
{
    float most = largest(values, n);
    float sum = 0; /* NaN or infinite where a value is */
    for (size_t i = 0; i < n; i++)
        sum += values[i] * 0.0f;
    float scale = form == LLM_FORM_NF4    ? fabsf(most)
                  : form == LLM_FORM_INT8 ? fabsf(most) / 127
                                          : most / -8;
    bool usable = isfinite(sum) && scale != 0;
    for (size_t i = 0; i < n && !usable; i++)
        codes[i] = form == LLM_FORM_INT8 ? 128 : form == LLM_FORM_INT4 ? 8 : 7;
    if (!usable)
        return isfinite(sum) ? 0 : NAN;
    if (form == LLM_FORM_NF4)
        encode_nf4(codes, values, n, scale);
    else
        encode_linear(codes, values, n, scale, form == LLM_FORM_INT8 ? 128 : 8);
    return scale;
}
