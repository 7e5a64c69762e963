/*
 * dynamic_map.h - what a code of 8 bits stands for in an optimizer's moments: the
 * dynamic tree of Dettmers et al. 2022, "8-bit Optimizers via Block-wise
 * Quantization", section 2.2, as bitsandbytes spells it out.
 *
 * Seven decades below 1, from 10^-6 on; a decade has twice as many values as the one
 * below it, the midpoints of equal parts of its upper nine tenths; and 0, and 1.  With
 * a sign the smallest decade has one value of either sign and the largest 64, without
 * one 2 and 128.  Only 1 has no negative.
 */
#ifndef LLM_BACKEND_DYNAMIC_MAP_H
#define LLM_BACKEND_DYNAMIC_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define LLM_DYNAMIC_CODES   256
#define LLM_DYNAMIC_DECADES 7

typedef struct {
    float values[LLM_DYNAMIC_CODES]; /* ascending */
} llm_dynamic_map_t;

static inline void llm_dynamic_map(llm_dynamic_map_t *map, bool negative)
{
    static const double tops[LLM_DYNAMIC_DECADES] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
    unsigned zero = negative ? 127 : 0, at = zero;
    map->values[at++] = 0;
    for (unsigned i = 0; i < LLM_DYNAMIC_DECADES; i++) {
        unsigned count = (negative ? 1u : 2u) << i;
        for (unsigned j = 0; j < count; j++, at++)
            map->values[at] = (float)(tops[i] * (0.1 + 0.9 * (j + 0.5) / count));
    }
    map->values[at] = 1;
    for (unsigned k = 1; negative && k <= zero; k++)
        map->values[zero - k] = -map->values[zero + k];
}

/* Between code and the next one: what is larger is nearer to the next. */
static inline float llm_dynamic_middle(const float *values, unsigned code)
{
    return (values[code] + values[code + 1]) * 0.5f;
}

/* The code whose value is nearest to x, the lower of two that are as near; of NaN the
 * first. */
static inline uint8_t llm_dynamic_code(const float *values, float x)
{
    unsigned code = 0;
    for (unsigned step = LLM_DYNAMIC_CODES / 2; step; step /= 2)
        code += x > llm_dynamic_middle(values, code + step - 1) ? step : 0;
    return (uint8_t)code;
}

#endif
