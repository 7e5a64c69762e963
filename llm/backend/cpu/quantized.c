/*
 * quantized.c - frozen weights that stay small integers, in the panels of
 * matrix.c, and pieces of them as floats for a product.
 *
 * A weight is (code - 2^(bits-1)) scale, rounded once: products of a quantized
 * matrix are, to the byte, those of the matrix of these floats.
 */
#include "llm/backend/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

/* Of a row of a panel. */
static size_t row_bytes(const llm_matrix_t *w)
{
    return w->width * w->bits / 8;
}

static unsigned code_at(const llm_quantized_t *from, size_t row, size_t column, size_t columns)
{
    if (from->bits == 8)
        return from->codes[row * columns + column];
    unsigned pair = from->codes[row * (columns / 2) + column / 2];
    return pair >> 4 * (column % 2) & 15u;
}

/* W[o][i] of the stored codes. */
static unsigned stored_code(const llm_matrix_t *w, const llm_quantized_t *from, size_t o, size_t i)
{
    return w->input_major ? code_at(from, i, o, w->out) : code_at(from, o, i, w->in);
}

static void put_code(const llm_matrix_t *w, size_t o, size_t i, unsigned code)
{
    uint8_t *row = w->codes + (o / w->width * w->in + i) * row_bytes(w);
    size_t lane = o % w->width, half = w->width / 2;
    if (w->bits == 8)
        row[lane] = (uint8_t)code;
    else
        row[lane % half] = (uint8_t)(row[lane % half] | code << (lane < half ? 0 : 4));
}

typedef struct {
    llm_matrix_t *matrix;
    const llm_quantized_t *from;
} packing_t;

/* Lanes behind the last output are zeros: their scales are. */
static void pack_panel(void *job, size_t item, size_t thread)
{
    (void)thread;
    const packing_t *p = job;
    llm_matrix_t *w = p->matrix;
    size_t end = llm_cpu_min((item + 1) * w->width, w->out);
    memset(w->codes + item * w->in * row_bytes(w), 0, w->in * row_bytes(w));
    for (size_t o = item * w->width; o < end; o++)
        for (size_t i = 0; i < w->in; i++)
            put_code(w, o, i, stored_code(w, p->from, o, i));
}

static float scale_at(const llm_quantized_t *from, size_t index)
{
    float scale;
    memcpy(&scale, (const char *)from->scales + index * sizeof scale, sizeof scale);
    return scale;
}

/* Scales [panel][group of inputs][width]; or as stored, [in][groups of outputs]. */
static void pack_scales(llm_matrix_t *w, const llm_quantized_t *from)
{
    size_t panels = llm_cpu_pieces(w->out, w->width);
    for (size_t i = 0; w->input_major && i < w->in * w->groups; i++)
        w->scales[i] = scale_at(from, i);
    for (size_t p = 0; !w->input_major && p < panels; p++)
        for (size_t g = 0; g < w->groups; g++)
            for (size_t lane = 0; lane < w->width; lane++) {
                size_t o = p * w->width + lane;
                w->scales[(p * w->groups + g) * w->width + lane] =
                    o < w->out ? scale_at(from, o * w->groups + g) : 0.0f;
            }
}

static llm_matrix_t *matrix_new_quantized(llm_backend_t *be, const llm_quantized_t *from,
                                          size_t out, size_t in, bool input_major)
{
    llm_cpu_t *cpu = llm_cpu(be);
    size_t width = cpu->kernels->width;
    if (!out || !in || out > SIZE_MAX / 128 / in || !from->group)
        return NULL;
    size_t panels = llm_cpu_pieces(out, width);
    llm_matrix_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    *self = (llm_matrix_t){.out = out,
                           .in = in,
                           .width = width,
                           .bits = from->bits,
                           .group = from->group,
                           .groups = llm_cpu_pieces(input_major ? out : in, from->group),
                           .input_major = input_major};
    size_t scales = self->groups * (input_major ? in : panels * width) * sizeof(float);
    size_t codes = panels * in * row_bytes(self);
    self->bytes = codes + scales;
    self->codes = llm_cpu_allocate(codes);
    self->scales = llm_cpu_allocate(scales);
    if (!self->codes || !self->scales) {
        be->ops->matrix_destroy(be, &self);
        return NULL;
    }
    packing_t packing = {self, from};
    llm_pool_run(cpu->pool, panels, pack_panel, &packing);
    pack_scales(self, from);
    return self;
}

/* Rows of a panel whose scales go by input: a stretch of one group at a time. */
static void by_input(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w,
                     size_t panel, size_t i, size_t rows)
{
    const uint8_t *codes = w->codes + (panel * w->in + i) * row_bytes(w);
    for (size_t done = 0; done < rows;) {
        size_t group = (i + done) / w->group;
        size_t part = llm_cpu_min((group + 1) * w->group - i, rows) - done;
        llm_cpu_scales_t scales = {.lanes = w->scales + (panel * w->groups + group) * w->width};
        kernels->dequantize(to + done * w->width, codes + done * row_bytes(w), part, w->bits,
                            &scales);
        done += part;
    }
}

/* Scales by output, several of them in a row of the panel. */
static void by_lanes(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w,
                     size_t panel, size_t i, size_t rows)
{
    const uint8_t *codes = w->codes + (panel * w->in + i) * row_bytes(w);
    float lanes[LLM_CPU_WIDTH_MAX] = {0};
    llm_cpu_scales_t scales = {.lanes = lanes};
    for (size_t r = 0; r < rows; r++) {
        const float *row = w->scales + (i + r) * w->groups;
        size_t end = llm_cpu_min(w->width, w->out - panel * w->width);
        for (size_t lane = 0; lane < end; lane++)
            lanes[lane] = row[(panel * w->width + lane) / w->group];
        kernels->dequantize(to + r * w->width, codes + r * row_bytes(w), 1, w->bits, &scales);
    }
}

void llm_cpu_dequantize(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w,
                        size_t panel, size_t i, size_t rows)
{
    if (!w->input_major) {
        by_input(kernels, to, w, panel, i, rows);
    } else if (w->group % w->width != 0) {
        by_lanes(kernels, to, w, panel, i, rows);
    } else {
        llm_cpu_scales_t scales = {.rows = w->scales + i * w->groups + panel * w->width / w->group,
                                   .step = w->groups};
        kernels->dequantize(to, w->codes + (panel * w->in + i) * row_bytes(w), rows, w->bits,
                            &scales);
    }
}

void llm_cpu_quantized(llm_ops_t *ops)
{
    ops->matrix_new_quantized = matrix_new_quantized;
}
