/*
 * cases_dense.c - products with weights that lie in vectors, and LoRA's with
 * and without dropout, on shapes beside every block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cases.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static llm_dense_t dense_of(const float *at, size_t out, size_t in, bool input_major)
{
    return (llm_dense_t){.at = at,
                         .out = out,
                         .in = in,
                         .stride = (input_major ? out : in) + 2,
                         .input_major = input_major};
}

static void one_dense(trace_t *trace, size_t M, size_t out, size_t in)
{
    llm_backend_t *be = trace->be;
    for (int major = 0; major < 2; major++) {
        size_t x_stride = in + 1, y_stride = out + 3;
        size_t elements = (major ? in : out) * ((major ? out : in) + 2);
        llm_act_t *x = acts_on(be, M * x_stride, 14), *y = acts_on(be, M * y_stride, 15);
        float *weight = random_on(be, elements, 16), *dweight = random_on(be, elements, 17);
        float *bias = random_on(be, out, 18);
        llm_dense_t w = dense_of(weight, out, in, major);
        be->ops->dense_forward(be, y, y_stride, x, x_stride, &w, bias, M);
        trace_acts(trace, y, M * y_stride, "forward with bias, way %d %zux%zux%zu", major, M, out,
                   in);
        be->ops->dense_gradients(be, dweight, y, y_stride, x, x_stride, &w, M);
        trace_add(trace, dweight, elements, "gradient, way %d %zux%zux%zu", major, M, out, in);
        be->ops->bias_backward(be, bias, y, y_stride, M, out);
        trace_add(trace, bias, out, "bias gradient, way %d %zux%zux%zu", major, M, out, in);
        be->ops->dense_backward(be, x, x_stride, y, y_stride, &w, M, true);
        trace_acts(trace, x, M * x_stride, "backward added, way %d %zux%zux%zu", major, M, out, in);
        be->ops->dense_backward(be, x, x_stride, y, y_stride, &w, M, false);
        trace_acts(trace, x, M * x_stride, "backward, way %d %zux%zux%zu", major, M, out, in);
        be->ops->dense_forward(be, y, y_stride, x, x_stride, &w, NULL, M);
        trace_acts(trace, y, M * y_stride, "forward, way %d %zux%zux%zu", major, M, out, in);
        be->ops->release(be, x);
        be->ops->release(be, y);
        be->ops->release(be, weight);
        be->ops->release(be, dweight);
        be->ops->release(be, bias);
    }
}

void run_dense(trace_t *trace)
{
    static const size_t shapes[][3] = {{1, 1, 1},     {2, 7, 63},    {7, 64, 2},  {63, 65, 30},
                                       {400, 66, 70}, {40, 3100, 9}, {1500, 3, 5}};
    for (size_t i = 0; i < COUNT(shapes); i++)
        one_dense(trace, shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* The mask's bits that mean something, as floats. */
static void trace_mask(trace_t *trace, const uint8_t *mask, size_t M, size_t in)
{
    llm_backend_t *be = trace->be;
    size_t bytes = llm_lora_mask_bytes(M, in), stride = llm_lora_mask_bytes(1, in);
    uint8_t *host = malloc(bytes);
    float *bits = malloc(M * in * sizeof *bits), *memory = zeros_on(be, M * in);
    assert_true(host && bits);
    be->ops->download(be, host, mask, bytes);
    for (size_t i = 0; i < M * in; i++)
        bits[i] = (float)(host[i / in * stride + i % in / 8] >> i % in % 8 & 1);
    be->ops->upload(be, memory, bits, M * in * sizeof *bits);
    trace_add(trace, memory, M * in, "mask of %zux%zu", M, in);
    be->ops->release(be, memory);
    free(host);
    free(bits);
}

/* What a LoRA case computes with. */
typedef struct {
    llm_act_t *x, *y;
    float *h, *dh, *da, *db;
    uint8_t *mask; /* NULL without dropout */
} lora_room_t;

static void lora_passes(trace_t *trace, const lora_room_t *room, const llm_lora_t *how)
{
    llm_backend_t *be = trace->be;
    size_t M = how->M, in = how->in, out = how->out, R = how->rank, y_stride = out + 3;
    be->ops->lora_down(be, room->h, room->mask, room->x, how);
    trace_add(trace, room->h, M * R, "down %zux%zu of %zu, p %g", M, in, R, (double)how->p);
    if (room->mask)
        trace_mask(trace, room->mask, M, in);
    be->ops->lora_up(be, room->y, y_stride, room->h, how);
    trace_acts(trace, room->y, M * y_stride, "up %zux%zu of %zu", M, out, R);
    be->ops->lora_gradients(be, room->dh, room->da, room->db, room->y, y_stride, room->x, room->h,
                            room->mask, how);
    trace_add(trace, room->dh, M * R, "dh %zux%zu of %zu", M, out, R);
    trace_add(trace, room->da, R * how->a_stride, "da %zux%zu of %zu", M, in, R);
    trace_add(trace, room->db, out * R, "db %zux%zu of %zu", M, out, R);
    be->ops->lora_input_gradient(be, room->x, room->dh, room->mask, how);
    trace_acts(trace, room->x, M * in, "dx %zux%zu of %zu", M, in, R);
    be->ops->zero(be, room->dh, M * R * sizeof(float));
    be->ops->lora_gradients(be, room->dh, NULL, NULL, room->y, y_stride, NULL, NULL, NULL, how);
    trace_add(trace, room->dh, M * R, "dh alone %zux%zu of %zu", M, out, R);
}

static void drops(trace_t *trace, const lora_room_t *room, const llm_lora_t *how)
{
    llm_backend_t *be = trace->be;
    llm_act_t *out = zero_acts_on(be, how->M * how->in);
    for (int add = 0; add < 2; add++) {
        be->ops->drop(be, out, room->mask, room->x, how, add);
        trace_acts(trace, out, how->M * how->in, "dropped %zux%zu, added %d", how->M, how->in, add);
    }
    be->ops->release(be, out);
}

static void one_lora(trace_t *trace, const size_t shape[4], float p, size_t first_row)
{
    llm_backend_t *be = trace->be;
    fmq_rng_name_t stream = {.seed = 77, .purpose = FMQ_RNG_DROPOUT, .client = 3, .round = 5};
    size_t M = shape[0], in = shape[1], out = shape[2], R = shape[3];
    float *a = random_on(be, R * (in + 1), 23), *b = random_on(be, out * R, 24);
    llm_lora_t how = {.M = M, .in = in, .out = out, .rank = R, .a = a, .a_stride = in + 1};
    how.b = b;
    how.first_row = first_row;
    how.scaling = 0.5f;
    how.p = p;
    how.stream = p > 0 ? &stream : NULL;
    lora_room_t room = {.x = acts_on(be, M * in, 25), .y = acts_on(be, M * (out + 3), 26)};
    room.h = zeros_on(be, M * R);
    room.dh = zeros_on(be, M * R);
    room.da = random_on(be, R * (in + 1), 27);
    room.db = random_on(be, out * R, 28);
    room.mask = p > 0 ? be->ops->alloc(be, llm_lora_mask_bytes(M, in)) : NULL;
    lora_passes(trace, &room, &how);
    if (room.mask)
        drops(trace, &room, &how);
    void *const owned[] = {(void *)a, b,       room.x,  room.y,   room.h,
                           room.dh,   room.da, room.db, room.mask};
    for (size_t i = 0; i < COUNT(owned); i++)
        be->ops->release(be, owned[i]);
}

void run_lora(trace_t *trace)
{
    static const size_t shapes[][4] = {{1, 1, 1, 1},     {2, 7, 9, 4},      {33, 64, 30, 8},
                                       {66, 131, 65, 8}, {400, 96, 70, 16}, {5, 3100, 40, 4},
                                       {390, 33, 20, 40}};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        one_lora(trace, shapes[i], 0.0f, 0);
        one_lora(trace, shapes[i], 0.3f, 0);
        one_lora(trace, shapes[i], 0.3f, 5);
    }
    one_lora(trace, shapes[3], 1e-12f, 0);
}
