/*
 * check_decode.c - attention of one new token against cached keys and values,
 * and weights of 8 and 4 bits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fedmq/base/rng.h"
#include "llm/backend/forms.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef struct {
    size_t H, KV, D, gap;
    int32_t lengths[4]; /* until 0 */
    size_t window;
    float softcap;
    bool slopes; /* 0.1, 0.2 and so on */
} example_t;

static const float slopes_of[] = {0.1f, 0.2f, 0.3f, 0.4f};

static void decode(check_t *c, const example_t *e)
{
    size_t S = 0, longest = 0, stride = e->KV * e->D + e->gap;
    for (; e->lengths[S]; S++)
        longest = (size_t)e->lengths[S] > longest ? (size_t)e->lengths[S] : longest;
    const size_t sequence = (longest + 3) * stride;
    array_t *q = reads(c, ACT, S * e->H * e->D, 1), *k = reads(c, ACT, S * sequence, 2);
    array_t *v = reads(c, ACT, S * sequence, 3), *out = writes(c, ACT, S * e->H * e->D);
    array_t *lengths = reads_values(c, I32, S, e->lengths);
    llm_cuda_decode_t shape = {.S = S,
                               .longest = longest,
                               .lengths = lengths->device,
                               .H = e->H,
                               .KV = e->KV,
                               .D = e->D,
                               .scale = 1.0f / sqrtf((float)e->D),
                               .window = e->window,
                               .softcap = e->softcap,
                               .stride = stride,
                               .sequence_stride = sequence};
    if (e->slopes)
        shape.slopes = reads_values(c, F32, COUNT(slopes_of), slopes_of)->device;
    if (S == 1)
        shape.lengths = NULL; /* all as long as the longest */
    array_t *scratch = writes(c, F32, llm_cuda_decode_scratch(&shape));
    for (runs(c); next_run(c);)
        llm_cuda_attention_decode(&c->queue, out->device, q->device, k->device, v->device, &shape,
                                  scratch->device);
    float *want = room(S * e->H * e->D), *keys = room(longest * e->KV * e->D);
    float *values = room(longest * e->KV * e->D);
    void *unused = room(e->H * longest), *dense_k = keys, *dense_v = values;
    for (size_t s = 0; s < S; s++) {
        for (size_t t = 0; t < longest; t++) {
            const size_t from = s * sequence + t * stride, width = e->KV * e->D;
            memcpy(keys + t * width, (float *)k->floats + from, width * sizeof *keys);
            memcpy(values + t * width, (float *)v->floats + from, width * sizeof *values);
        }
        void *to = want + s * e->H * e->D, *query = (float *)q->floats + s * e->H * e->D;
        const llm_decode_t how = {.length = (size_t)e->lengths[s],
                                  .H = e->H,
                                  .KV = e->KV,
                                  .D = e->D,
                                  .scale = shape.scale,
                                  .window = e->window,
                                  .softcap = e->softcap,
                                  .slopes = e->slopes ? slopes_of : NULL};
        c->reference->ops->attention_decode(c->reference, to, query, dense_k, dense_v, &how,
                                            unused);
    }
    expect(c, out, want, CLOSE_SOFTMAX(c), "decoding H %zu, KV %zu, D %zu, %zu keys", e->H, e->KV,
           e->D, longest);
    free(keys);
    free(values);
    free(unused);
    check_clear(c);
}

void check_decode(check_t *c)
{
    static const example_t examples[] = {
        {1, 1, 2, 0, {1}, 0, 0, 0},
        {4, 2, 64, 0, {130, 1, 700}, 0, 0, 0},
        {6, 1, 20, 3, {65, 128}, 0, 0, 0},
        {12, 2, 80, 8, {300}, 0, 0, 0},
        {2, 2, 128, 0, {17, 129}, 0, 0, 0},
        {2, 1, 256, 0, {40}, 0, 0, 0},
        {4, 2, 64, 0, {130, 1, 700}, 200, 0, 0},
        {4, 1, 20, 3, {65, 128}, 0, 1.5f, 0},
        {2, 2, 40, 0, {300}, 129, 2.0f, 1},
    };
    for (size_t i = 0; i < COUNT(examples); i++)
        decode(c, &examples[i]);
}

float *reads_codes(check_t *c, llm_cuda_quantized_t *weight, uint64_t seed)
{
    static const llm_matrix_form_t forms[] = {[LLM_CUDA_INT8] = LLM_FORM_INT8,
                                              [LLM_CUDA_INT4] = LLM_FORM_INT4,
                                              [LLM_CUDA_NF4] = LLM_FORM_NF4};
    const size_t rows = weight->rows, columns = weight->columns, group = weight->group;
    const size_t bits = weight->form == LLM_CUDA_INT8 ? 8 : 4, bytes = (columns * bits + 7) / 8;
    const size_t groups = (columns + group - 1) / group;
    uint8_t *codes = malloc(rows * bytes);
    float *values = room(rows * columns);
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed, .purpose = FMQ_RNG_TEST});
    for (size_t i = 0; i < rows * bytes; i++)
        codes[i] = (uint8_t)fmq_rng_below(&rng, 256);
    array_t *scales = reads(c, F32, rows * groups, seed);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < columns; i++) {
            unsigned byte = codes[r * bytes + i * bits / 8];
            unsigned code = bits == 8 ? byte : byte >> 4 * (i % 2) & 15u;
            values[r * columns + i] = llm_form_value(
                forms[weight->form], code, ((float *)scales->floats)[r * groups + i / group]);
        }
    weight->codes = reads_values(c, BYTES, rows * bytes, codes)->device;
    weight->scales = scales->device;
    free(codes);
    return values;
}

static void quantized(check_t *c, size_t rows, size_t columns, size_t group, llm_cuda_codes_t form)
{
    llm_cuda_quantized_t weight = {.rows = rows, .columns = columns, .group = group, .form = form};
    float *values = reads_codes(c, &weight, columns);
    const int32_t chosen[] = {(int32_t)rows - 1, 0, (int32_t)rows / 2};
    array_t *ids = reads_values(c, I32, COUNT(chosen), chosen);
    const size_t stride = columns + 8, first = rows / 3, part = rows - first;
    array_t *out = changes(c, ACT, part * stride, 5), *picked = writes(c, ACT, 3 * columns);
    for (runs(c); next_run(c);) {
        llm_cuda_dequantize(&c->queue, out->device, stride, &weight, first, part);
        llm_cuda_gather_quantized(&c->queue, picked->device, &weight, ids->device, 3);
    }
    float *want = copy_of(out), *rows_of = room(3 * columns);
    for (size_t r = first; r < rows; r++)
        memcpy(want + (r - first) * stride, values + r * columns, columns * sizeof *want);
    for (size_t j = 0; j < COUNT(chosen); j++)
        memcpy(rows_of + j * columns, values + (size_t)chosen[j] * columns,
               columns * sizeof *rows_of);
    expect(c, out, want, EXACTLY, "codes of form %d, %zux%zu", (int)form, rows, columns);
    expect(c, picked, rows_of, EXACTLY, "rows of form %d, %zux%zu", (int)form, rows, columns);
    free(values);
    check_clear(c);
}

void check_quantized(check_t *c)
{
    for (int form = LLM_CUDA_INT8; form <= LLM_CUDA_NF4; form++)
        for (c->shift = 0; c->shift < 2; c->shift++) {
            quantized(c, 5, 64, 64, (llm_cuda_codes_t)form);
            quantized(c, 3, 14, 4, (llm_cuda_codes_t)form);
            quantized(c, 9, 200, 64, (llm_cuda_codes_t)form);
            quantized(c, 4, 2, 64, (llm_cuda_codes_t)form);
            quantized(c, 5, 77, 64, (llm_cuda_codes_t)form);
        }
    c->shift = 0;
}
