/*
 * test_product.c - what the seam of large products refuses, whoever computes
 * them, and the size classes of numbers of tokens.  That products are right is
 * check_products.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/backend/cuda/product.h"
#include "llm/backend/cuda/runtime.h"

/* A product that nobody refuses, of 4 x 8 elements and 16 in the sum. */
typedef struct {
    char *memory;
    uint16_t *a, *b, *c, *bias, *aux;
    llm_cuda_product_t what;
} scene_t;

static const llm_cuda_queue_t queue = {.bf16 = true};

/* Until scene_end() the device's memory is the host's to write. */
static scene_t scene_new(void)
{
    scene_t s = {.memory = llm_cuda_alloc(4096)};
    assert_non_null(s.memory);
    llm_cuda_emulated_open(&queue);
    memset(s.memory, 0, 4096);
    uint16_t *halves = (uint16_t *)(void *)s.memory;
    s.a = halves;
    s.b = halves + 256;
    s.c = halves + 512;
    s.bias = halves + 768;
    s.aux = halves + 1024;
    s.what = (llm_cuda_product_t){.M = 4,
                                  .N = 8,
                                  .K = 16,
                                  .transpose_b = true,
                                  .lda = 16,
                                  .ldb = 16,
                                  .ldc = 8,
                                  .bf16 = true,
                                  .bf16_c = true,
                                  .alpha = 1};
    return s;
}

static void scene_end(const scene_t *s)
{
    llm_cuda_emulated_close(&queue);
    llm_cuda_release(s->memory);
}

static void expect_refused(const scene_t *s, const llm_cuda_product_t *what, const char *because)
{
    const char *why = NULL;
    llm_cuda_products_t *products = llm_cuda_products_new(&why);
    assert_non_null(products);
    const char *wrong = llm_cuda_product(products, &queue, s->c, s->a, s->b, what);
    llm_cuda_products_destroy(&products);
    assert_null(products);
    if (!because) {
        assert_null(wrong);
        return;
    }
    assert_non_null(wrong);
    if (!strstr(wrong, because))
        fail_msg("refused for another reason: %s", wrong);
}

static void a_product_that_is_right_is_computed(void **state)
{
    (void)state;
    scene_t s = scene_new();
    for (int i = 0; i < 16; i++) {
        s.a[i] = 0x3f80;      /* 1 */
        s.b[32 + i] = 0x4000; /* row 2: 2 */
    }
    expect_refused(&s, &s.what, NULL);
    assert_int_equal(s.c[0], 0);
    assert_int_equal(s.c[2], 0x4200); /* 32 */
    scene_end(&s);
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    scene_t s = scene_new();
    llm_cuda_product_t what = s.what;
    what.K = 0;
    expect_refused(&s, &what, "without rows");
    what = s.what;
    what.M = (size_t)1 << 31;
    expect_refused(&s, &what, "beyond");
    what = s.what;
    what.lda = 15;
    expect_refused(&s, &what, "closer together");
    what = s.what;
    what.ldb = 15;
    expect_refused(&s, &what, "closer together");
    what.transpose_b = false; /* rows of 8 then */
    expect_refused(&s, &what, NULL);
    what = s.what;
    what.ldc = 7;
    expect_refused(&s, &what, "closer together");
    what = s.what;
    what.bf16 = false;
    expect_refused(&s, &what, "stored as bf16");
    scene_end(&s);
}

static void epilogues_with_other_memory_than_they_take_are_refused(void **state)
{
    (void)state;
    scene_t s = scene_new();
    llm_cuda_product_t what = s.what;
    what.bias = s.bias;
    expect_refused(&s, &what, "bias");
    what.epilogue = LLM_CUDA_BIAS;
    expect_refused(&s, &what, NULL);
    what.bias = s.bias + 4; /* 8 bytes further */
    expect_refused(&s, &what, "multiple of 16");
    what.epilogue = LLM_CUDA_BIAS_GELU;
    what.bias = s.bias;
    expect_refused(&s, &what, "auxiliary");
    what.aux = s.aux;
    what.aux_ld = 12;
    expect_refused(&s, &what, "auxiliary rows lie");
    what.aux_ld = 8;
    expect_refused(&s, &what, NULL);
    what.add = true;
    expect_refused(&s, &what, "GELU");
    scene_end(&s);
}

static void memory_that_is_shared_or_off_its_elements_is_refused(void **state)
{
    (void)state;
    scene_t s = scene_new();
    scene_t moved = s;
    moved.c = s.a + 8;
    expect_refused(&moved, &s.what, "over what it is made of");
    moved = s;
    moved.c = s.b + 7 * 16 + 15; /* the last element of B */
    expect_refused(&moved, &s.what, "over what it is made of");
    moved.c = s.b + 8 * 16;
    expect_refused(&moved, &s.what, NULL);
    moved = s;
    moved.a = (uint16_t *)(void *)(s.memory + 1);
    expect_refused(&moved, &s.what, "multiple of its elements");
    moved.a = NULL;
    expect_refused(&moved, &s.what, "without memory");
    scene_end(&s);
}

static void a_class_is_at_most_an_eighth_above_its_numbers(void **state)
{
    (void)state;
    size_t last = 0;
    for (size_t tokens = 1; tokens < 70000; tokens++) {
        size_t stands_for = llm_cuda_product_class(tokens);
        assert_true(stands_for >= tokens && stands_for <= tokens + tokens / 8);
        assert_true(stands_for >= last);
        assert_int_equal(llm_cuda_product_class(stands_for), stands_for);
        last = stands_for;
    }
    assert_int_equal(llm_cuda_product_class(4097), 4608);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_that_is_right_is_computed),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
        cmocka_unit_test(epilogues_with_other_memory_than_they_take_are_refused),
        cmocka_unit_test(memory_that_is_shared_or_off_its_elements_is_refused),
        cmocka_unit_test(a_class_is_at_most_an_eighth_above_its_numbers),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
