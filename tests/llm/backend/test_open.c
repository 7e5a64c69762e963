/*
 * test_open.c - devices have names: those that are known open, or say why they
 * cannot; others are refused with the names that are known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/backend/instance.h"

static void the_cpu_opens_by_its_name(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_open("cpu", 2, &err);
    assert_non_null(be);
    assert_string_equal(be->ops->name, "cpu");
    llm_backend_destroy(&be);
    assert_null(llm_backend_open("cpu", 0, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

static void the_cpu_in_bf16_opens_by_its_name(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_backend_t *be = llm_backend_open("cpu:bf16", 2, &err);
    assert_non_null(be);
    assert_string_equal(be->ops->name, "cpu:bf16");
    assert_int_equal(be->ops->act, FMQ_BF16);
    llm_backend_destroy(&be);
    assert_null(llm_backend_open("cpu:bf16", 0, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

static void another_instance_is_of_the_same_device(void **state)
{
    (void)state;
    static const char *const names[] = {"cpu", "cpu:bf16"};
    llm_backend_t *all[4];
    for (size_t i = 0; i < 2; i++) {
        all[i] = llm_backend_open(names[i], 1, NULL);
        all[2 + i] = all[i]->ops->another(all[i], 2, NULL);
    }
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(llm_instance_same_device(all[i], all[k]), i % 2 == k % 2);
    for (size_t i = 0; i < 4; i++)
        llm_backend_destroy(&all[i]);
}

static void fp32_may_be_said_of_the_cpu(void **state)
{
    (void)state;
    llm_backend_t *be = llm_backend_open("cpu:f32", 1, NULL);
    assert_non_null(be);
    assert_int_equal(be->ops->act, FMQ_F32);
    llm_backend_destroy(&be);
}

static void a_gpu_without_a_module_is_refused_by_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *said;
    } names[] = {{"cuda", "cuda:0"},      {"cuda:0", "cuda:0"},   {"cuda:1", "cuda:1"},
                 {"cuda:12", "cuda:12"},  {"cuda:f32", "cuda:0"}, {"cuda:bf16", "cuda:0"},
                 {"cuda:3:f32", "cuda:3"}};
    assert_int_equal(setenv("FEDMQ_CUDA", "/nowhere/libfedmq-cuda.so", 1), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fmq_error_t err = {0};
        assert_null(llm_backend_open(names[i].asked, 1, &err));
        assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, names[i].said));
        assert_non_null(strstr(err.text, "no CUDA module: /nowhere/libfedmq-cuda.so"));
        assert_non_null(strstr(err.text, "use 'cpu'"));
    }
}

static void other_names_are_refused_with_those_that_are_known(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",         "gpu",        "CPU",       "cpu:0",   "cpu:bf16 ",     "cpu:f16",
        "cuda:",    "cudax",      "cuda:x",    "cuda: ",  "cuda:1x",       "cuda:12345",
        "cuda:-1",  "cuda1",      "rocm",      "cpu:",    "cpux",          "cuda:1:2:3",
        "cuda:f16", "cuda:f32:1", "cuda::f32", "cuda:1:", "cuda:f32:bf16", "cpu:0:f32"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fmq_error_t err = {0};
        assert_null(llm_backend_open(names[i], 1, &err));
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
        assert_non_null(strstr(err.text, names[i]));
        assert_non_null(strstr(err.text, "cpu, cpu:bf16, cuda and cuda:N"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_opens_by_its_name),
        cmocka_unit_test(the_cpu_in_bf16_opens_by_its_name),
        cmocka_unit_test(another_instance_is_of_the_same_device),
        cmocka_unit_test(fp32_may_be_said_of_the_cpu),
        cmocka_unit_test(a_gpu_without_a_module_is_refused_by_its_name),
        cmocka_unit_test(other_names_are_refused_with_those_that_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
