/*
 * quantize.c - the linear modules of a layer at 8 or 4 bits: symmetric, with
 * one scale for a group of weights, its largest magnitude over 127 or 7.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "llm/offsite/draft.h"
#include "llm/offsite/quantize.h"
#include "llm/offsite/strategy.h"
#include "llm/weights/part.h"

static float scale_of(const float *values, uint64_t count, float most)
{
    float largest = 0.0f;
    for (uint64_t i = 0; i < count; i++) {
        float one = fabsf(values[i]);
        if (isnan(one))
            return one;
        largest = one > largest ? one : largest;
    }
    return largest / most;
}

static uint8_t code_of(float value, float scale, int half)
{
    if (!(scale > 0.0f))
        return (uint8_t)half;
    long code = lroundf(value / scale) + half;
    long top = 2L * half - 1;
    return (uint8_t)(code < 1 ? 1 : code > top ? top : code);
}

/* One stored row: its groups' scales and one code a byte. */
static int quantize_row(const float *values, uint64_t columns, const llm_quantization_t *how,
                        uint8_t *codes, float *scales)
{
    int half = 1 << (how->bits - 1);
    for (uint64_t from = 0; from < columns; from += how->group) {
        uint64_t count = columns - from < how->group ? columns - from : how->group;
        float scale = scale_of(values + from, count, (float)(half - 1));
        if (!isfinite(scale))
            return -1;
        *scales++ = scale;
        for (uint64_t i = from; i < from + count; i++)
            codes[i] = code_of(values[i], scale, half);
    }
    return 0;
}

/* Two codes a byte, the first in the low half; in place. */
static void pack_row(const uint8_t *codes, uint64_t columns, uint8_t *out)
{
    for (uint64_t i = 0; i < columns; i += 2)
        out[i / 2] = (uint8_t)(codes[i] | (codes[i + 1] & 15u) << 4);
}

uint64_t llm_quantization_groups(const llm_quantization_t *how, uint64_t columns)
{
    return (columns + how->group - 1) / how->group;
}

int llm_quantize(const float *values, uint64_t rows, uint64_t columns,
                 const llm_quantization_t *how, uint8_t *codes, float *scales)
{
    uint64_t groups = llm_quantization_groups(how, columns);
    uint64_t width = columns * how->bits / 8;
    uint8_t *row = malloc((size_t)columns);
    int rc = row ? 0 : -1;
    for (uint64_t r = 0; r < rows && rc == 0; r++) {
        rc = quantize_row(values + r * columns, columns, how, row, scales + r * groups);
        if (how->bits == 8)
            memcpy(codes + r * width, row, (size_t)width);
        else
            pack_row(row, columns, codes + r * width);
    }
    free(row);
    return rc;
}

typedef struct {
    llm_draft_t draft;
    llm_quantization_t how;
} quantizing_t;

static int add_pieces(quantizing_t *self, const llm_layer_tensor_t *tensor, void **codes_p,
                      void **scales_p, fmq_error_t *err)
{
    uint64_t groups = llm_quantization_groups(&self->how, tensor->columns);
    uint64_t width = tensor->columns * self->how.bits / 8;
    llm_draft_tensor_t codes = {.name = tensor->name,
                                .suffix = LLM_PART_CODES,
                                .dtype = "U8",
                                .rank = 2,
                                .shape = {tensor->rows, width},
                                .bytes = tensor->rows * width};
    llm_draft_tensor_t scales = {.name = tensor->name,
                                 .suffix = LLM_PART_SCALES,
                                 .dtype = "F32",
                                 .rank = 2,
                                 .shape = {tensor->rows, groups},
                                 .bytes = tensor->rows * groups * sizeof(float)};
    if (llm_draft_add(&self->draft, &codes, codes_p, err) < 0)
        return -1;
    return llm_draft_add(&self->draft, &scales, scales_p, err);
}

static int quantize_tensor(void *argument, const llm_layer_tensor_t *tensor, fmq_error_t *err)
{
    quantizing_t *self = argument;
    if (tensor->parameter->role != LLM_ROLE_MODULE || tensor->parameter->bias)
        return llm_draft_add_layer_tensor(&self->draft, tensor, err);
    if (self->how.bits == 4 && tensor->columns % 2 != 0)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "rows of %llu weights cannot be stored at 4 bits; use 8",
                             (unsigned long long)tensor->columns);
    size_t groups = (size_t)llm_quantization_groups(&self->how, tensor->columns);
    void *codes = malloc((size_t)(tensor->rows * tensor->columns));
    void *scales = malloc((size_t)tensor->rows * groups * sizeof(float));
    int rc = -1;
    if (!codes || !scales)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a quantized weight");
    else if (llm_quantize(tensor->values, tensor->rows, tensor->columns, &self->how, codes,
                          scales) < 0)
        fmq_error_set(err, FMQ_ERR_NUMERIC, "a weight is not a finite number");
    else
        rc = add_pieces(self, tensor, &codes, &scales, err);
    free(codes);
    free(scales);
    return rc;
}

static int make_layer(const llm_making_t *making, uint32_t i, const char *path, fmq_error_t *err)
{
    const llm_emulator_spec_t *spec = making->spec;
    quantizing_t self = {
        .how = {.bits = spec->bits, .group = spec->group ? spec->group : LLM_QUANTIZATION_GROUP}};
    int rc =
        llm_layer_each(making->teacher, llm_making_source(making, i), quantize_tensor, &self, err);
    if (rc == 0)
        rc = llm_draft_save(&self.draft, path, err);
    llm_draft_release(&self.draft);
    return rc;
}

int llm_make_quantized(const llm_making_t *self, char *const *paths, fmq_error_t *err)
{
    return llm_making_each(self, paths, make_layer, err);
}
