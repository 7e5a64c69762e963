/*
 * test_cuda_memory.c - the memory of emulated devices: what dereferences it, or
 * writes behind it, does not survive; copies of every size come back whole;
 * several instances of a device share what one of them placed, and devices
 * share nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "llm/backend/cuda/cuda.h"

enum { N = 64 };

static llm_backend_t *open_on(int device)
{
    fmq_error_t err;
    llm_backend_t *be = llm_cuda_new(device, false, &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

static float *floats(llm_backend_t *be)
{
    float *at = be->ops->alloc(be, N * sizeof *at);
    be->ops->zero(be, at, N * sizeof *at);
    return at;
}

/* A mistake is made by a process of its own, which has to end by a signal. */
static void expect_end(void (*mistake)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's would tell at length */
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(2);
        mistake();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#if !defined(__SANITIZE_ADDRESS__) /* there it is the heap, whose bounds the sanitizer watches */
static void read_by_the_host(void)
{
    volatile float *at = floats(open_on(0));
    float value = at[3];
    _exit(value == 0 ? 0 : 1);
}

static void written_by_the_host(void)
{
    llm_backend_t *be = open_on(0);
    volatile float *at = floats(be);
    be->ops->add(be, floats(be), floats(be), N); /* a window was open, and is closed again */
    at[0] = 1;
}

static void memory_of_another_device(void)
{
    llm_backend_t *one = open_on(0), *two = open_on(1);
    one->ops->add(one, floats(one), floats(two), N);
}

static void are_touched(void)
{
    expect_end(read_by_the_host);
    expect_end(written_by_the_host);
    expect_end(memory_of_another_device);
}
#else
static void are_touched(void)
{
}
#endif

static void written_behind_its_end(void)
{
    llm_backend_t *be = open_on(0);
    float *at = be->ops->alloc(be, 60);
    be->ops->zero(be, at, 64);
    be->ops->release(be, at);
}

static void released_twice(void)
{
    llm_backend_t *be = open_on(0);
    float *at = floats(be);
    be->ops->release(be, at);
    be->ops->release(be, at);
}

static void mistakes_do_not_survive(void **state)
{
    (void)state;
    are_touched();
    expect_end(written_behind_its_end);
    expect_end(released_twice);
}

static void what_was_not_written_is_nan(void **state)
{
    (void)state;
    float back[N];
    llm_backend_t *be = open_on(0);
    for (int again = 0; again < 2; again++) {
        float *at = be->ops->alloc(be, sizeof back);
        be->ops->download(be, back, at, sizeof back);
        for (size_t i = 0; i < N; i++)
            assert_true(isnan(back[i]));
        be->ops->zero(be, at, sizeof back);
        be->ops->release(be, at);
    }
    llm_backend_destroy(&be);
}

/* Around the size of a half of the staging memory, and several of them. */
static void copies_of_every_size_come_back_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,
                                   LLM_CUDA_STAGING_BYTES - 1,
                                   LLM_CUDA_STAGING_BYTES,
                                   LLM_CUDA_STAGING_BYTES + 1,
                                   2 * LLM_CUDA_STAGING_BYTES,
                                   3 * LLM_CUDA_STAGING_BYTES + 77};
    llm_backend_t *be = open_on(0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        uint8_t *host = malloc(size), *back = malloc(size);
        assert_true(host && back);
        for (size_t k = 0; k < size; k++)
            host[k] = (uint8_t)(k * 7 + k / 251);
        uint8_t *at = be->ops->alloc(be, size), *copy = be->ops->alloc(be, size);
        be->ops->upload(be, at, host, size);
        memset(back, 0, size);
        be->ops->copy(be, copy, at, size);
        be->ops->download(be, back, copy, size);
        assert_memory_equal(back, host, size);
        be->ops->release(be, at);
        be->ops->release(be, copy);
        free(host);
        free(back);
    }
    be->ops->upload(be, NULL, NULL, 0);
    be->ops->zero(be, NULL, 0);
    assert_int_equal(be->ops->synchronize(be, NULL), 0);
    llm_backend_destroy(&be);
}

/* y = x W^T by one instance, over a weight that another made, which is gone. */
static void a_weight_outlives_the_instance_that_made_it(void **state)
{
    (void)state;
    float weight[4] = {1, 2, 3, 4}, x[2] = {1, 1}, y[2] = {0};
    llm_backend_t *be = open_on(1);
    size_t before = be->ops->memory_free(be);
    llm_matrix_t *w = be->ops->matrix_new(be, weight, FMQ_F32, 2, 2, false);
    assert_non_null(w);
    llm_backend_t *other = be->ops->another(be, 1, NULL);
    assert_non_null(other);
    assert_int_equal(be->ops->synchronize(be, NULL), 0);
    llm_backend_destroy(&be);
    float *at = floats(other), *to = floats(other);
    other->ops->upload(other, at, x, sizeof x);
    other->ops->linear_forward(other, (llm_act_t *)to, 2, (llm_act_t *)at, 2, w, NULL, 1);
    other->ops->download(other, y, to, sizeof y);
    assert_true(y[0] == 3 && y[1] == 7);
    other->ops->release(other, at);
    other->ops->release(other, to);
    other->ops->matrix_destroy(other, &w);
    assert_null(w);
    llm_backend_destroy(&other);
    be = open_on(1);
    assert_int_equal(be->ops->memory_free(be), before); /* nothing is left */
    llm_backend_destroy(&be);
}

static void rows_and_heads_beyond_the_kernels_are_told(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = open_on(0);
    float *at = floats(be);
    be->ops->rmsnorm_forward(be, (llm_act_t *)at, at, (llm_act_t *)at, at, 1, 20000, 1e-5f);
    assert_int_equal(be->ops->synchronize(be, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "at most 16384 channels"));
    be->ops->release(be, at);
    llm_backend_destroy(&be);
    be = open_on(0);
    at = floats(be);
    be->ops->attention_decode(
        be, (llm_act_t *)at, (llm_act_t *)at, (llm_act_t *)at, (llm_act_t *)at,
        &(llm_decode_t){.length = 1, .H = 1, .KV = 1, .D = 300, .scale = 1}, at);
    assert_int_equal(be->ops->synchronize(be, &err), -1);
    assert_non_null(strstr(err.text, "at most 256 channels"));
    be->ops->release(be, at);
    llm_backend_destroy(&be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_do_not_survive),
        cmocka_unit_test(what_was_not_written_is_nan),
        cmocka_unit_test(copies_of_every_size_come_back_whole),
        cmocka_unit_test(a_weight_outlives_the_instance_that_made_it),
        cmocka_unit_test(rows_and_heads_beyond_the_kernels_are_told),
    };
    return cmocka_run_group_tests_name("memory of emulated devices", tests, NULL, NULL);
}
