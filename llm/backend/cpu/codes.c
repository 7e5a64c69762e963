/*
 * codes.c - frozen weights that stay small codes with scales, in the panels of
 * panels.c, and pieces of narrow weights as floats for a product.
 *
 * A weight is a number of its code times a scale, rounded once: products in
 * fp32 are, to the byte, those of the matrix of these floats.
 */
#include "llm/backend/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"

/* Where input i lies in its word. */
static unsigned place_of(const llm_matrix_t *w, size_t i)
{
    size_t within = i % llm_cpu_each(w);
    return (unsigned)(within / 2 * llm_form_bits(w->form) + within % 2 * 16);
}

static uint32_t *word_of(const llm_matrix_t *w, size_t o, size_t i)
{
    return w->words + o / w->width * w->panel + i / llm_cpu_each(w) * w->width + o % w->width;
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

typedef struct {
    llm_matrix_t *matrix;
    const llm_quantized_t *quantized; /* either this */
    const llm_cpu_stored_t *from;     /* or that */
} packing_t;

/* Lanes behind the last output are zeros: their scales are. */
static void pack_quantized(void *job, size_t item, size_t thread)
{
    (void)thread;
    const packing_t *p = job;
    llm_matrix_t *w = p->matrix;
    size_t end = llm_cpu_min((item + 1) * w->width, w->out);
    memset(w->words + item * w->panel, 0, w->panel * sizeof *w->words);
    for (size_t o = item * w->width; o < end; o++)
        for (size_t i = 0; i < w->in; i++)
            *word_of(w, o, i) |= stored_code(w, p->quantized, o, i) << place_of(w, i);
}

/* One group of every output of the panel. */
static void encode_group(const packing_t *p, size_t panel, size_t group)
{
    llm_matrix_t *w = p->matrix;
    float values[LLM_CPU_WIDTH_MAX * LLM_FORM_GROUP];
    uint8_t codes[LLM_FORM_GROUP];
    size_t i = group * w->group;
    size_t rows = llm_cpu_min(w->group, w->in - i);
    size_t columns = llm_cpu_read(values, w, p->from, panel, i, rows);
    float *scales = w->scales + (panel * w->groups + group) * w->width;
    for (size_t c = 0; c < w->width; c++)
        scales[c] = 0;
    for (size_t c = 0; c < columns; c++) {
        scales[c] = llm_form_encode(w->form, codes, values + c * LLM_FORM_GROUP, rows);
        uint32_t *words = word_of(w, panel * w->width + c, i);
        for (size_t r = 0; r < rows; r++)
            words[r / llm_cpu_each(w) * w->width] |= (uint32_t)codes[r] << place_of(w, i + r);
    }
}

static void pack_encoded(void *job, size_t item, size_t thread)
{
    (void)thread;
    const packing_t *p = job;
    llm_matrix_t *w = p->matrix;
    memset(w->words + item * w->panel, 0, w->panel * sizeof *w->words);
    for (size_t group = 0; group < w->groups; group++)
        encode_group(p, item, group);
}

/* Memory for scales of groups; -1 when there is none. */
static int allocate_scales(llm_matrix_t *w, size_t group, bool input_major)
{
    w->group = group;
    w->input_major = input_major;
    w->groups = llm_cpu_pieces(input_major ? w->out : w->in, group);
    size_t count = input_major ? w->in : llm_cpu_pieces(w->out, w->width) * w->width;
    w->scales = llm_cpu_allocate(w->groups * count * sizeof(float));
    w->bytes += w->groups * count * sizeof(float);
    return w->scales ? 0 : -1;
}

int llm_cpu_pack_codes(llm_cpu_t *cpu, llm_matrix_t *w, const llm_cpu_stored_t *from)
{
    if (allocate_scales(w, LLM_FORM_GROUP, false) < 0)
        return -1;
    packing_t packing = {.matrix = w, .from = from};
    llm_pool_run(cpu->pool, llm_cpu_pieces(w->out, w->width), pack_encoded, &packing);
    return 0;
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
    if (!out || !in || out > SIZE_MAX / 128 / in || !from->group)
        return NULL;
    llm_matrix_form_t form = from->bits == 8 ? LLM_FORM_INT8 : LLM_FORM_INT4;
    llm_matrix_t *self = llm_cpu_matrix_allocate(cpu, form, out, in);
    if (!self)
        return NULL;
    if (allocate_scales(self, from->group, input_major) < 0) {
        be->ops->matrix_destroy(be, &self);
        return NULL;
    }
    packing_t packing = {.matrix = self, .quantized = from};
    llm_pool_run(cpu->pool, llm_cpu_pieces(out, self->width), pack_quantized, &packing);
    pack_scales(self, from);
    return self;
}

/* Inputs of a panel whose scales go by input: a stretch of one group at a time. */
static void by_input(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w,
                     size_t panel, size_t i, size_t rows)
{
    for (size_t done = 0; done < rows;) {
        size_t group = (i + done) / w->group;
        size_t part = llm_cpu_min((group + 1) * w->group - i, rows) - done;
        llm_cpu_scales_t scales = {.lanes = w->scales + (panel * w->groups + group) * w->width};
        kernels->widen(to + done * w->width, w->words + panel * w->panel, i + done, part, w->form,
                       &scales);
        done += part;
    }
}

/* Scales by output, several of them in a row of the panel. */
static void by_lanes(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w,
                     size_t panel, size_t i, size_t rows)
{
    float lanes[LLM_CPU_WIDTH_MAX] = {0};
    llm_cpu_scales_t scales = {.lanes = lanes};
    for (size_t r = 0; r < rows; r++) {
        const float *row = w->scales + (i + r) * w->groups;
        size_t end = llm_cpu_min(w->width, w->out - panel * w->width);
        for (size_t lane = 0; lane < end; lane++)
            lanes[lane] = row[(panel * w->width + lane) / w->group];
        kernels->widen(to + r * w->width, w->words + panel * w->panel, i + r, 1, w->form, &scales);
    }
}

void llm_cpu_widen(const llm_cpu_kernels_t *kernels, float *to, const llm_matrix_t *w, size_t panel,
                   size_t i, size_t rows)
{
    if (w->form == LLM_FORM_BF16) {
        kernels->widen(to, w->words + panel * w->panel, i, rows, w->form, NULL);
    } else if (!w->input_major) {
        by_input(kernels, to, w, panel, i, rows);
    } else if (w->group % w->width != 0) {
        by_lanes(kernels, to, w, panel, i, rows);
    } else {
        llm_cpu_scales_t scales = {.rows = w->scales + i * w->groups + panel * w->width / w->group,
                                   .step = w->groups};
        kernels->widen(to, w->words + panel * w->panel, i, rows, w->form, &scales);
    }
}

void llm_cpu_widen_output(float *to, const llm_matrix_t *w, size_t o)
{
    for (size_t i = 0; w->panels && i < w->in; i++)
        to[i] = w->panels[o / w->width * w->panel + i * w->width + o % w->width];
    if (w->panels)
        return;
    uint32_t mask = llm_form_bits(w->form) == 16 ? 0xffff : (1u << llm_form_bits(w->form)) - 1;
    for (size_t i = 0; i < w->in; i++) {
        uint32_t code = *word_of(w, o, i) >> place_of(w, i) & mask;
        if (w->form == LLM_FORM_BF16) {
            to[i] = fmq_float_of_bf16((uint16_t)code);
            continue;
        }
        size_t group = w->input_major
                           ? i * w->groups + o / w->group
                           : (o / w->width * w->groups + i / w->group) * w->width + o % w->width;
        to[i] = llm_form_value(w->form, code, w->scales[group]);
    }
}

void llm_cpu_codes(llm_ops_t *ops)
{
    ops->matrix_new_quantized = matrix_new_quantized;
}
