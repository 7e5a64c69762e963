/*
 * test_multiply.c - rows that begin at odd places give the bytes that aligned
 * rows give, also where they are more than are copied at a time; and what fails
 * in a product is told by synchronize().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/backend/cuda/multiply.h"

#define M       4300
#define VOCAB   8001 /* 4300 rows of it are more than 64 MiB */
#define PADDED  8008
#define IN      8
#define OUT_MAX ((size_t)M * PADDED)

typedef struct {
    llm_backend_t *be;
    llm_matrix_t *w;
    llm_act_t *x, *dx, *y;
    uint16_t *host;
} scene_t;

static scene_t scene_new(void)
{
    fmq_error_t err;
    scene_t s = {.be = llm_cuda_new(0, true, &err), .host = malloc(OUT_MAX * 2)};
    if (!s.be)
        fail_msg("%s", err.text);
    assert_non_null(s.host);
    for (size_t i = 0; i < (size_t)VOCAB * IN; i++)
        s.host[i] = (uint16_t)(0x3c00 + i * 37 % 1024);
    s.w = s.be->ops->matrix_new(s.be, s.host, FMQ_BF16, VOCAB, IN, false);
    s.x = s.be->ops->alloc(s.be, (size_t)M * IN * 2);
    s.dx = s.be->ops->alloc(s.be, (size_t)M * IN * 2);
    s.y = s.be->ops->alloc(s.be, OUT_MAX * 2);
    assert_true(s.w && s.x && s.dx && s.y);
    for (size_t i = 0; i < (size_t)M * IN; i++)
        s.host[i] = (uint16_t)(0x3d00 + i * 11 % 512);
    s.be->ops->upload(s.be, s.x, s.host, (size_t)M * IN * 2);
    return s;
}

static void scene_release(scene_t *s)
{
    s->be->ops->matrix_destroy(s->be, &s->w);
    s->be->ops->release(s->be, s->x);
    s->be->ops->release(s->be, s->dx);
    s->be->ops->release(s->be, s->y);
    llm_backend_destroy(&s->be);
    free(s->host);
}

/* y of rows so far apart, and dx made of it. */
static void pass(scene_t *s, size_t stride, uint16_t *y, uint16_t *dx)
{
    s->be->ops->linear_forward(s->be, s->y, stride, s->x, IN, s->w, NULL, M);
    s->be->ops->linear_backward(s->be, s->dx, IN, s->y, stride, s->w, M, false);
    s->be->ops->download(s->be, s->host, s->y, (size_t)M * stride * 2);
    s->be->ops->download(s->be, dx, s->dx, (size_t)M * IN * 2);
    for (size_t m = 0; m < M; m++)
        memcpy(y + m * VOCAB, s->host + m * stride, VOCAB * 2);
}

static void odd_rows_give_the_bytes_of_aligned_ones(void **state)
{
    (void)state;
    scene_t s = scene_new();
    uint16_t *y[2], *dx[2];
    for (int i = 0; i < 2; i++) {
        y[i] = malloc((size_t)M * VOCAB * 2);
        dx[i] = malloc((size_t)M * IN * 2);
        assert_true(y[i] && dx[i]);
        pass(&s, i ? VOCAB : PADDED, y[i], dx[i]);
    }
    assert_memory_equal(y[0], y[1], (size_t)M * VOCAB * 2);
    assert_memory_equal(dx[0], dx[1], (size_t)M * IN * 2);
    assert_int_equal(s.be->ops->synchronize(s.be, NULL), 0);
    for (int i = 0; i < 2; i++) {
        free(y[i]);
        free(dx[i]);
    }
    scene_release(&s);
}

static void a_refused_product_is_told_once_all_is_done(void **state)
{
    (void)state;
    scene_t s = scene_new();
    fmq_error_t err;
    s.be->ops->linear_forward(s.be, s.y, VOCAB - 1, s.x, IN, s.w, NULL, 20);
    assert_int_equal(s.be->ops->synchronize(s.be, &err), -1);
    assert_non_null(strstr(err.text, "closer together than they are long"));
    scene_release(&s);
}

static void sums_without_a_term_are_zero(void **state)
{
    (void)state;
    scene_t s = scene_new();
    uint16_t rows[2 * IN];
    s.be->ops->upload(s.be, s.dx, s.host, sizeof rows);
    s.be->ops->linear_backward_rows(s.be, s.dx, IN, s.y, 1, s.w, 5, 0, 2, true);
    s.be->ops->download(s.be, rows, s.dx, sizeof rows);
    assert_memory_equal(rows, s.host, sizeof rows);
    s.be->ops->linear_backward_rows(s.be, s.dx, IN, s.y, 1, s.w, 5, 0, 1, false);
    s.be->ops->download(s.be, rows, s.dx, sizeof rows);
    for (size_t i = 0; i < IN; i++)
        assert_int_equal(rows[i], 0);
    assert_memory_equal(rows + IN, s.host + IN, IN * 2);
    assert_int_equal(s.be->ops->synchronize(s.be, NULL), 0);
    scene_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_rows_give_the_bytes_of_aligned_ones),
        cmocka_unit_test(a_refused_product_is_told_once_all_is_done),
        cmocka_unit_test(sums_without_a_term_are_zero),
    };
    return cmocka_run_group_tests_name("multiply", tests, NULL, NULL);
}
