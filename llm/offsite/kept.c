/*
 * kept.c - which of a row of layers drop_layer keeps: FS-LLM's formula
 * (get_layers_dropping), in the same floating-point steps, so that the same
 * layers stay.  Knows nothing of models.
 */
#include <math.h>

#include "fedmq/llm/offsite.h"

/* Python's round(m * (1 - d)): to nearest, ties to even, whatever the caller's
 * rounding mode. */
static uint32_t count_kept(uint32_t m, double drop_ratio)
{
    double exact = (double)m * (1.0 - drop_ratio);
    double below = floor(exact), rest = exact - below;
    bool up = rest > 0.5 || (rest >= 0.5 && fmod(below, 2.0) != 0.0);
    double n = up ? below + 1.0 : below;
    if (!(n >= 1.0)) /* FS-LLM keeps nothing and fails later; so does NaN */
        return 1;
    return n > (double)m ? m : (uint32_t)n;
}

uint32_t llm_drop_layer_kept(uint32_t m, double drop_ratio, uint32_t *kept)
{
    if (m == 0)
        return 0;
    uint32_t n = count_kept(m, drop_ratio);
    /* FS-LLM divides by zero for n == 1; here one layer is the first. */
    double stride = n > 1 ? (double)(m - 1) / (double)(n - 1) : 0.0;
    for (uint32_t i = 0; i < n; i++)
        kept[i] = (uint32_t)((double)i * stride);
    return n;
}
