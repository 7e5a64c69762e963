/*
 * kernels/rows.h - LayerNorm, RMSNorm and rotary positions, one row at a time,
 * and the sums over rows.  Formulas are derived in reference/norm.c and
 * reference/embedding.c.  Included by the isa_*.c files only.
 */
#ifndef LLM_BACKEND_CPU_ROWS_H
#define LLM_BACKEND_CPU_ROWS_H

#include "llm/backend/cpu/kernels.h"
#include "llm/backend/cpu/kernels/vector.h"

static float sum_of_row(const float *x, size_t C)
{
    vf sums[PARTS] = {{0}};
    for (size_t c = 0; c < C; c += SUM_LANES)
        for (size_t p = 0; p < PARTS && c + p * LANES < C; p++)
            sums[p] += v_load_n(x + c + p * LANES, up_to_lanes(C - c - p * LANES));
    return v_sum(sums);
}

/* Sum of (x - mean)^2. */
static float squares_of_row(const float *x, float mean, size_t C)
{
    vf sums[PARTS] = {{0}};
    for (size_t c = 0; c < C; c += SUM_LANES)
        for (size_t p = 0; p < PARTS && c + p * LANES < C; p++) {
            size_t n = up_to_lanes(C - c - p * LANES);
            vf d = v_load_n(x + c + p * LANES, n) - mean;
            if (n < LANES)
                d = v_select(v_first(n), d, v_set(0));
            sums[p] = v_fma(d, d, sums[p]);
        }
    return v_sum(sums);
}

static void layernorm(float *out, float *stats, const float *x, const float *weight,
                      const float *bias, size_t C, float eps)
{
    float mean = sum_of_row(x, C) / (float)C;
    float rstd = 1.0f / sqrtf(squares_of_row(x, mean, C) / (float)C + eps);
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = up_to_lanes(C - c);
        vf normal = (v_load_n(x + c, n) - mean) * rstd;
        vf shift = bias ? v_load_n(bias + c, n) : v_set(0);
        v_store_n(out + c, v_fma(normal, v_load_n(weight + c, n), shift), n);
    }
    stats[0] = mean;
    stats[1] = rstd;
}

static void layernorm_dx(float *dx, const float *dout, const float *x, const float *stats,
                         const float *weight, size_t C)
{
    float mean = stats[0];
    float rstd = stats[1];
    vf sum_g[PARTS] = {{0}};
    vf sum_gn[PARTS] = {{0}};
    for (size_t c = 0; c < C; c += SUM_LANES)
        for (size_t p = 0; p < PARTS && c + p * LANES < C; p++) {
            size_t at = c + p * LANES;
            size_t n = up_to_lanes(C - at);
            vf g = v_load_n(dout + at, n) * v_load_n(weight + at, n);
            sum_g[p] += g;
            vf normal = (v_load_n(x + at, n) - mean) * rstd;
            if (n < LANES) /* a mean far from 0 is infinitely far at the least deviation */
                normal = v_select(v_first(n), normal, v_set(0));
            sum_gn[p] = v_fma(g, normal, sum_gn[p]);
        }
    float mean_g = v_sum(sum_g) / (float)C;
    float mean_gn = v_sum(sum_gn) / (float)C;
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = up_to_lanes(C - c);
        vf normal = (v_load_n(x + c, n) - mean) * rstd;
        vf g = v_load_n(dout + c, n) * v_load_n(weight + c, n);
        vf value = v_fma(normal, v_set(-mean_gn), g - mean_g);
        v_store_n(dx + c, v_fma(value, v_set(rstd), v_load_n(dx + c, n)), n);
    }
}

static void rmsnorm(float *out, float *stats, const float *x, const float *weight, size_t C,
                    float eps)
{
    float r = 1.0f / sqrtf(squares_of_row(x, 0, C) / (float)C + eps);
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = up_to_lanes(C - c);
        v_store_n(out + c, v_load_n(x + c, n) * r * v_load_n(weight + c, n), n);
    }
    stats[0] = r;
}

static void rmsnorm_dx(float *dx, const float *dout, const float *x, const float *stats,
                       const float *weight, size_t C)
{
    float r = stats[0];
    vf sums[PARTS] = {{0}};
    for (size_t c = 0; c < C; c += SUM_LANES)
        for (size_t p = 0; p < PARTS && c + p * LANES < C; p++) {
            size_t at = c + p * LANES;
            size_t n = up_to_lanes(C - at);
            vf g = v_load_n(dout + at, n) * v_load_n(weight + at, n);
            sums[p] = v_fma(g, v_load_n(x + at, n) * r, sums[p]);
        }
    float mean_gn = v_sum(sums) / (float)C;
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = up_to_lanes(C - c);
        vf g = v_load_n(dout + c, n) * v_load_n(weight + c, n);
        vf value = v_fma(v_load_n(x + c, n) * r, v_set(-mean_gn), g);
        v_store_n(dx + c, v_fma(value, v_set(r), v_load_n(dx + c, n)), n);
    }
}

static void norm_dweight(float *dweight, const float *dout, const float *x, const float *stats,
                         size_t stats_row, size_t rows, size_t stride, size_t columns)
{
    for (size_t c = 0; c < columns; c += LANES) {
        size_t n = up_to_lanes(columns - c);
        vf sum = v_set(0);
        for (size_t t = 0; t < rows; t++) {
            float mean = stats_row == 2 ? stats[2 * t] : 0;
            float scale = stats[stats_row * t + stats_row - 1];
            vf normal = (v_load_n(x + t * stride + c, n) - mean) * scale;
            sum = v_fma(normal, v_load_n(dout + t * stride + c, n), sum);
        }
        v_store_n(dweight + c, v_load_n(dweight + c, n) + sum, n);
    }
}

static void column_sum(float *sum, const float *x, size_t rows, size_t stride, size_t columns)
{
    for (size_t c = 0; c < columns; c += LANES) {
        size_t n = up_to_lanes(columns - c);
        vf total = v_set(0);
        for (size_t t = 0; t < rows; t++)
            total += v_load_n(x + t * stride + c, n);
        v_store_n(sum + c, v_load_n(sum + c, n) + total, n);
    }
}

static void rope_neighbours(float *head, const float *cosines, size_t half, bool inverse)
{
    for (size_t j = 0; j < half; j++) {
        float cosine = cosines[j], sine = inverse ? -cosines[half + j] : cosines[half + j];
        float a = head[2 * j], b = head[2 * j + 1];
        head[2 * j] = a * cosine - b * sine;
        head[2 * j + 1] = b * cosine + a * sine;
    }
}

static void rope(float *head, const float *cosines, const llm_rope_t *how, bool inverse)
{
    size_t half = how->rotary / 2;
    if (how->interleaved) {
        rope_neighbours(head, cosines, half, inverse);
        return;
    }
    for (size_t j = 0; j < half; j += LANES) {
        size_t n = up_to_lanes(half - j);
        vf cosine = v_load_n(cosines + j, n);
        vf sine = v_load_n(cosines + half + j, n);
        if (inverse)
            sine = -sine;
        vf a = v_load_n(head + j, n);
        vf b = v_load_n(head + half + j, n);
        v_store_n(head + j, a * cosine - b * sine, n);
        v_store_n(head + half + j, b * cosine + a * sine, n);
    }
}

#endif
