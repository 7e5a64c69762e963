/*
 * kernels/elements.h - ops on each element by itself: dropout, the
 * optimizers' loops, and sums.  Formulas are derived in reference/optimizer.c.  Included by the
 * isa_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_ELEMENTS_H
#define LLM_BACKEND_CPU_ELEMENTS_H

#include "fedmq/base/rng.h"
#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/functions.h"

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void scale(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* Sixteen sums in double, whatever LANES is. */
static double total(double sums[16])
{
    for (size_t half = 8; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

static double sum(const float *x, size_t n)
{
    double sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            sums[j] += (double)x[i + j];
    for (; i < n; i++)
        sums[0] += (double)x[i];
    return total(sums);
}

static double sum_squares(const float *x, size_t n)
{
    double sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            sums[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < n; i++)
        sums[0] += (double)x[i] * (double)x[i];
    return total(sums);
}

/* Philox for LANES / 2 blocks at once, one block to a 64-bit lane of each c[],
 * of which only the low halves count. */
INLINE void philox_blocks(vu c[4], const fmq_rng_t *stream, uint32_t first)
{
    uint32_t k0 = stream->key[0];
    uint32_t k1 = stream->key[1];
    uint64_t numbers[LANES / 2];
    for (uint32_t i = 0; i < LANES / 2; i++)
        numbers[i] = first + i;
    memcpy(&c[0], numbers, sizeof numbers);
    for (int word = 1; word < 4; word++)
        c[word] = (vu){0} + stream->counter[word];
    for (int round = 0; round < 10; round++) {
        vu p0 = v_multiply_low(c[0], 0xD2511F53u);
        vu p1 = v_multiply_low(c[2], 0xCD9E8D57u);
        c[0] = (p1 >> 32) ^ c[1] ^ (uint64_t)k0;
        c[2] = (p0 >> 32) ^ c[3] ^ (uint64_t)k1;
        c[1] = p1;
        c[3] = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Words of the stream from block first on, in their order. */
INLINE void philox_words(vw words[2], const fmq_rng_t *stream, uint32_t first)
{
    vu c[4];
    philox_blocks(c, stream, first);
    vu w01 = (c[0] & UINT32_MAX) | c[1] << 32;
    vu w23 = (c[2] & UINT32_MAX) | c[3] << 32;
    words[0] = (vw)__builtin_shufflevector(w01, w23, LOW_PAIRS);
    words[1] = (vw)__builtin_shufflevector(w01, w23, HIGH_PAIRS);
}

/* The bits of a stretch of words that begins `lead` elements before the first
 * one of the mask, where stretches do not begin with a block. */
static void put_bits(uint8_t *mask, size_t at, size_t lead, size_t n, uint32_t bits)
{
    for (size_t i = at < lead ? lead - at : 0; i < WIDTH && at + i < n + lead; i++)
        mask[(at + i - lead) / 8] |= (uint8_t)((bits >> i & 1u) << (at + i - lead) % 8);
}

static void draw_mask(uint8_t *mask, size_t first, size_t n, float p, const fmq_rng_t *stream)
{
    vw threshold = (vw){0} + llm_lora_bound(p);
    size_t lead = first % 4;
    memset(mask, 0, (n + 7) / 8);
    for (size_t i = 0; i < n + lead; i += WIDTH) {
        vw words[2];
        philox_words(words, stream, (uint32_t)((first - lead + i) / 4));
        uint32_t bits = v_bits(words[0] >= threshold) | v_bits(words[1] >= threshold) << LANES;
        if (lead || i + WIDTH > n)
            put_bits(mask, i, lead, n, bits);
        else
            for (size_t byte = 0; byte < WIDTH / 8; byte++)
                mask[i / 8 + byte] = (uint8_t)(bits >> 8 * byte);
    }
}

static void drop(float *out, const float *x, const uint8_t *mask, size_t n, float keep, bool add_to)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        uint32_t bits = (uint32_t)mask[i / 8] >> i % 8;
        if (count > 8)
            bits |= (uint32_t)mask[i / 8 + 1] << 8;
        vf value = v_select(v_of_bits(bits), keep * v_load_n(x + i, count), v_set(0));
        if (add_to)
            value += v_load_n(out + i, count);
        v_store_n(out + i, value, count);
    }
}

static void adam(float *params, float *m, float *v, float *greatest, const float *grads, size_t n,
                 const llm_adam_scalars_t *s)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t count = up_to_lanes(n - i);
        vf p = v_load_n(params + i, count);
        vf g = v_load_n(grads + i, count) + s->l2 * p;
        vf m1 = s->beta1 * v_load_n(m + i, count) + s->one_minus_beta1 * g;
        vf v1 = s->beta2 * v_load_n(v + i, count) + s->one_minus_beta2 * (g * g);
        vf square = v1;
        if (greatest) {
            square = v_max(v1, v_load_n(greatest + i, count));
            v_store_n(greatest + i, square, count);
        }
        vf denominator = v_sqrt(square) / s->sqrt_bias2 + s->eps;
        v_store_n(m + i, m1, count);
        v_store_n(v + i, v1, count);
        v_store_n(params + i, p * s->keep - s->step_size * (m1 / denominator), count);
    }
}

static void sgd(float *params, float *momentum, const float *grads, size_t n, const llm_sgd_t *how)
{
    float share = (float)(1.0 - llm_decimal(how->dampening));
    for (size_t i = 0; i < n; i++) {
        float g = grads[i] + how->weight_decay * params[i];
        if (momentum) {
            float b = how->first ? g : how->momentum * momentum[i] + share * g;
            momentum[i] = b;
            g = how->nesterov ? g + how->momentum * b : b;
        }
        params[i] -= how->lr * g;
    }
}

#endif
