/*
 * check_rows.c - rows by index, norms, sums over rows and losses on odd shapes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static const size_t shapes[][2] = {{1, 5},  {2, 7},   {7, 63},  {3, 64},
                                   {9, 65}, {70, 16}, {5, 768}, {3, 4100}};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static array_t *indices(check_t *c, size_t n, size_t below)
{
    int32_t *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (int32_t)((i * i * 7 + 3 * i + 1) % below);
    array_t *array = reads_values(c, I32, n, values);
    array->floats = values; /* for the reference */
    return array;
}

static void embedding(check_t *c, size_t T, size_t C)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *table = reads(c, F32, 50 * C, 1), *stored = reads(c, BF16, 50 * C, 2);
    array_t *dtable = changes(c, F32, 50 * C, 3), *dout = reads(c, ACT, T * C, 4);
    array_t *out = writes(c, ACT, T * C), *out_bf16 = writes(c, ACT, T * C);
    array_t *ids = indices(c, T, 50);
    for (runs(c); next_run(c);) {
        llm_cuda_embed_forward(&c->queue, out->device, table->device, ids->device, T, C);
        llm_cuda_embed_forward_bf16(&c->queue, out_bf16->device, stored->device, ids->device, T, C);
        llm_cuda_embed_backward(&c->queue, dtable->device, dout->device, ids->device, T, C);
    }
    void *want = room(T * C), *want_bf16 = room(T * C), *gradient = copy_of(dtable);
    ops->embed_forward(c->reference, want, table->floats, ids->floats, T, C);
    ops->embed_forward(c->reference, want_bf16, stored->floats, ids->floats, T, C);
    ops->embed_backward(c->reference, gradient, dout->floats, ids->floats, T, C);
    expect(c, out, want, EXACTLY, "embedding %zux%zu", T, C);
    expect(c, out_bf16, want_bf16, EXACTLY, "stored embedding %zux%zu", T, C);
    expect(c, dtable, gradient, EXACTLY, "embedding's gradient %zux%zu", T, C);
    check_clear(c);
}

static void by_index(check_t *c, size_t C)
{
    static const int32_t rows[] = {49, 0, 3, 21, 1, 2, 7};
    const llm_ops_t *ops = c->reference->ops;
    const size_t n = COUNT(rows);
    array_t *x = reads(c, ACT, 50 * C, 5), *dx = changes(c, ACT, 50 * C, 6);
    array_t *dout = reads(c, ACT, n * C, 7), *out = writes(c, ACT, n * C);
    array_t *wide = changes(c, ACT, n * (C + 3), 8), *ids = reads_values(c, I32, n, rows);
    array_t *turned = writes(c, ACT, n * (C - C / 2));
    for (runs(c); next_run(c);) {
        llm_cuda_gather_rows(&c->queue, out->device, x->device, ids->device, n, C);
        llm_cuda_scatter_rows(&c->queue, dx->device, dout->device, ids->device, n, C);
        llm_cuda_copy_rows(&c->queue, wide->device, C + 3, dout->device, C, n, C);
        llm_cuda_gather_columns(&c->queue, turned->device, x->device, 50, ids->device, n,
                                C - C / 2);
    }
    void *want = room(n * C), *scattered = copy_of(dx);
    float *copied = copy_of(wide);
    ops->gather_rows(c->reference, want, x->floats, rows, n, C);
    ops->scatter_rows(c->reference, scattered, dout->floats, rows, n, C);
    for (size_t i = 0; i < n; i++)
        memcpy(copied + i * (C + 3), (float *)dout->floats + i * C, C * sizeof(float));
    float *columns = room(n * (C - C / 2));
    for (size_t i = 0; i < n * (C - C / 2); i++) /* x read as rows of 50 */
        columns[i] = ((float *)x->floats)[i % (C - C / 2) * 50 + (size_t)rows[i / (C - C / 2)]];
    expect(c, turned, columns, EXACTLY, "gathered columns of %zu", C);
    expect(c, out, want, EXACTLY, "gathered rows of %zu", C);
    expect(c, dx, scattered, EXACTLY, "scattered rows of %zu", C);
    expect(c, wide, copied, EXACTLY, "copied rows of %zu", C);
    check_clear(c);
}

static void rope(check_t *c, size_t T, size_t H, size_t KV, size_t D, const llm_rope_t *of,
                 bool inverse)
{
    const llm_ops_t *ops = c->reference->ops;
    size_t stride = (H + KV) * D + (D == 14 ? 3 : 8);
    array_t *x = changes(c, ACT, T * stride, 9), *table = reads(c, F32, 40 * D, 10);
    array_t *positions = indices(c, T, 40);
    char *first = x->device;
    llm_cuda_rope_t heads = {.q = first,
                             .k = first + H * D * x->element,
                             .q_stride = stride,
                             .k_stride = stride,
                             .H = H,
                             .KV = KV,
                             .D = D,
                             .rotary = of->rotary,
                             .interleaved = of->interleaved};
    llm_rope_t how = *of;
    how.T = T;
    how.heads = H + KV;
    how.D = D;
    how.stride = stride;
    if (!KV)
        heads.k = NULL;
    for (runs(c); next_run(c);)
        llm_cuda_rope(&c->queue, &heads, positions->device, table->device, T, inverse);
    void *want = copy_of(x);
    ops->rope(c->reference, want, positions->floats, table->floats, &how, inverse);
    expect(c, x, want, CLOSE(c), "rope %zux%zux%zu, %zu turned, %d", T, H + KV, D, of->rotary,
           (int)of->interleaved);
    check_clear(c);
}

static void bias(check_t *c, size_t T, size_t C)
{
    array_t *y = changes(c, ACT, T * C, 11), *b = reads(c, F32, C, 12);
    for (runs(c); next_run(c);)
        llm_cuda_bias_forward(&c->queue, y->device, b->device, T, C);
    float *want = copy_of(y);
    for (size_t i = 0; i < T * C; i++)
        want[i] += ((float *)b->floats)[i % C];
    expect(c, y, want, EXACTLY, "bias %zux%zu", T, C);
    check_clear(c);
}

void check_rows(check_t *c)
{
    for (c->shift = 0; c->shift < 2; c->shift++) {
        for (size_t i = 0; i < FEW(c, shapes); i++) {
            embedding(c, shapes[i][0], shapes[i][1]);
            bias(c, shapes[i][0], shapes[i][1]);
            by_index(c, shapes[i][1]);
        }
        for (int way = 0; way < 4; way++) {
            bool inverse = way & 1, neighbours = way & 2;
            rope(c, 1, 1, 0, 2, &(llm_rope_t){.rotary = 2, .interleaved = neighbours}, inverse);
            rope(c, 9, 2, 1, 14, &(llm_rope_t){.rotary = 14, .interleaved = neighbours}, inverse);
            rope(c, 7, 12, 4, 64, &(llm_rope_t){.rotary = 64, .interleaved = neighbours}, inverse);
            rope(c, 7, 2, 2, 80, &(llm_rope_t){.rotary = 32, .interleaved = neighbours}, inverse);
            rope(c, 5, 3, 1, 31, &(llm_rope_t){.rotary = 10, .interleaved = neighbours}, inverse);
        }
    }
    c->shift = 0;
    embedding(c, 110, 520); /* equal ids in blocks of several warps */
}

static void layernorm(check_t *c, size_t T, size_t C, bool add)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, ACT, T * C, 13), *y = reads(c, ACT, T * C, 14);
    array_t *w = reads(c, F32, C, 15), *b = reads(c, F32, C, 16), *dout = reads(c, ACT, T * C, 17);
    array_t *out = writes(c, ACT, T * C), *stats = writes(c, F32, 2 * T);
    array_t *dx = changes(c, ACT, T * C, 18), *sum = add ? writes(c, ACT, T * C) : x;
    for (runs(c); next_run(c);) {
        if (add)
            llm_cuda_add_layernorm_forward(&c->queue, out->device, sum->device, stats->device,
                                           x->device, y->device, w->device, b->device, T, C, 1e-5f);
        else
            llm_cuda_layernorm_forward(&c->queue, out->device, stats->device, x->device, w->device,
                                       b->device, T, C, 1e-5f);
        llm_cuda_layernorm_backward(&c->queue, dx->device, dout->device, sum->device, stats->device,
                                    w->device, T, C, add);
    }
    float *input = copy_of(x);
    void *want = room(T * C), *kept = room(2 * T), *gradient = copy_of(dx);
    for (size_t i = 0; i < T * C && add; i++)
        input[i] = rounded(c, input[i] + ((float *)y->floats)[i]);
    void *from = input;
    ops->layernorm_forward(c->reference, want, kept, from, w->floats, b->floats, T, C, 1e-5f);
    ops->layernorm_backward(c->reference, gradient, NULL, NULL, dout->floats, from, kept, w->floats,
                            T, C, add);
    expect(c, out, want, CLOSE(c), "layernorm %zux%zu", T, C);
    expect(c, stats, kept, 1e-10, "layernorm's statistics %zux%zu", T, C);
    expect(c, dx, gradient, CLOSE(c), "layernorm's gradient %zux%zu", T, C);
    if (add)
        expect(c, sum, from, EXACTLY, "residual sum %zux%zu", T, C);
    else
        free(from);
    check_clear(c);
}

static void rmsnorm(check_t *c, size_t T, size_t C, bool add)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = add ? changes(c, ACT, T * C, 19) : reads(c, ACT, T * C, 19);
    array_t *y = reads(c, ACT, T * C, 20), *w = reads(c, F32, C, 21);
    array_t *out = writes(c, ACT, T * C), *stats = writes(c, F32, T);
    array_t *dx = changes(c, ACT, T * C, 22), *dout = reads(c, ACT, T * C, 23);
    for (runs(c); next_run(c);) {
        if (add) /* in place: the sum is where x was */
            llm_cuda_add_rmsnorm_forward(&c->queue, out->device, x->device, stats->device,
                                         x->device, y->device, w->device, T, C, 1e-6f);
        else
            llm_cuda_rmsnorm_forward(&c->queue, out->device, stats->device, x->device, w->device, T,
                                     C, 1e-6f);
        llm_cuda_rmsnorm_backward(&c->queue, dx->device, dout->device, x->device, stats->device,
                                  w->device, T, C, add);
    }
    float *input = copy_of(x);
    void *want = room(T * C), *kept = room(T), *gradient = copy_of(dx);
    for (size_t i = 0; i < T * C && add; i++)
        input[i] = rounded(c, input[i] + ((float *)y->floats)[i]);
    void *from = input;
    ops->rmsnorm_forward(c->reference, want, kept, from, w->floats, T, C, 1e-6f);
    ops->rmsnorm_backward(c->reference, gradient, NULL, dout->floats, from, kept, w->floats, T, C,
                          add);
    expect(c, out, want, CLOSE(c), "rmsnorm %zux%zu", T, C);
    expect(c, stats, kept, 1e-10, "rmsnorm's statistics %zux%zu", T, C);
    expect(c, dx, gradient, CLOSE(c), "rmsnorm's gradient %zux%zu", T, C);
    if (add)
        expect(c, x, from, EXACTLY, "residual sum %zux%zu", T, C);
    else
        free(from);
    check_clear(c);
}

void check_norms(check_t *c)
{
    for (c->shift = 0; c->shift < 2; c->shift++)
        for (size_t i = 0; i < FEW(c, shapes); i++)
            for (int add = 0; add < 2; add++) {
                layernorm(c, shapes[i][0], shapes[i][1], add);
                rmsnorm(c, shapes[i][0], shapes[i][1], add);
            }
}

static void norm_gradients(check_t *c, size_t T, size_t C)
{
    const llm_ops_t *ops = c->reference->ops;
    array_t *x = reads(c, ACT, T * C, 24), *dout = reads(c, ACT, T * C, 25);
    array_t *stats = reads(c, F32, 2 * T, 26), *w = reads(c, F32, C, 27);
    array_t *dw = changes(c, F32, C, 28), *db = changes(c, F32, C, 29);
    array_t *drms = changes(c, F32, C, 30);
    array_t *scratch = writes(c, F32, llm_cuda_columns_scratch(T, C));
    for (runs(c); next_run(c);) {
        llm_cuda_layernorm_gradients(&c->queue, dw->device, NULL, dout->device, x->device,
                                     stats->device, T, C, scratch->device);
        llm_cuda_layernorm_gradients(&c->queue, NULL, db->device, dout->device, x->device,
                                     stats->device, T, C, scratch->device);
        llm_cuda_rmsnorm_gradients(&c->queue, drms->device, dout->device, x->device, stats->device,
                                   T, C, scratch->device);
    }
    void *dweight = copy_of(dw), *dbias = copy_of(db), *drmsnorm = copy_of(drms);
    void *unused = calloc(T * C, sizeof(float));
    ops->layernorm_backward(c->reference, unused, dweight, dbias, dout->floats, x->floats,
                            stats->floats, w->floats, T, C, true);
    ops->rmsnorm_backward(c->reference, unused, drmsnorm, dout->floats, x->floats, stats->floats,
                          w->floats, T, C, true);
    expect(c, dw, dweight, 1e-10, "gradient of layernorm's weight %zux%zu", T, C);
    expect(c, db, dbias, 1e-10, "gradient of layernorm's bias %zux%zu", T, C);
    expect(c, drms, drmsnorm, 1e-10, "gradient of rmsnorm's weight %zux%zu", T, C);
    free(unused);
    check_clear(c);
}

static void columns(check_t *c, size_t T, size_t C)
{
    const llm_ops_t *ops = c->reference->ops;
    const size_t stride = C + (C % 8 ? 3 : 8);
    array_t *x = reads(c, ACT, T * C, 31), *db = changes(c, F32, C, 32);
    array_t *squares = changes(c, F64, C, 33), *dy = reads(c, ACT, T * stride, 34);
    array_t *scratch = writes(c, F32, llm_cuda_columns_scratch(T, C));
    for (runs(c); next_run(c);) {
        llm_cuda_bias_backward(&c->queue, db->device, dy->device, stride, T, C, scratch->device);
        llm_cuda_column_sum_squares(&c->queue, squares->device, x->device, T, C, scratch->device);
    }
    void *dbias = copy_of(db);
    ops->bias_backward(c->reference, dbias, dy->floats, stride, T, C);
    double *sums = malloc(C * sizeof *sums);
    for (size_t n = 0; n < C; n++)
        sums[n] = (double)((float *)squares->floats)[n];
    ops->column_sum_squares(c->reference, sums, x->floats, T, C);
    expect(c, db, dbias, 1e-10, "bias's gradient %zux%zu", T, C);
    const double *answer = squares->answer;
    c->compared++;
    for (size_t n = 0; n < C; n++)
        if (!(fabs(answer[n] - sums[n]) <= 1e-5 * (1 + fabs(sums[n]))))
            mistake(c, "squares of column %zu of %zux%zu: %g, not %g", n, T, C, answer[n], sums[n]);
    free(sums);
    check_clear(c);
}

void check_columns(check_t *c)
{
    for (c->shift = 0; c->shift < 2; c->shift++)
        for (size_t i = 0; i < FEW(c, shapes); i++) {
            norm_gradients(c, shapes[i][0], shapes[i][1]);
            columns(c, shapes[i][0], shapes[i][1]);
        }
    columns(c, 300, 40);
    norm_gradients(c, 300, 264);
}
