/*
 * test_load.c - the GPU's module: what opens, with which name, type and number;
 * and what is said of modules that are none, of other builds, and of devices
 * that are not there.  The module is the emulated one.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "llm/backend/cuda/module.h"
#include "symbols.h"

static void use_module(const char *path)
{
    assert_int_equal(setenv("FEDMQ_CUDA_EMULATED", path, 1), 0);
}

static void expect_refused(const char *device, fmq_error_code_t code, const char *words)
{
    fmq_error_t err = {0};
    assert_null(llm_backend_open(device, 1, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, words))
        fail_msg("it says '%s'", err.text);
    if (strchr(err.text, '\n'))
        fail_msg("it says more than one line: '%s'", err.text);
}

static void a_device_opens_by_its_number_and_type(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned device;
        fmq_dtype_t act;
    } known[] = {{"cuda-emulated", 0, FMQ_BF16},
                 {"cuda-emulated:0:bf16", 0, FMQ_BF16},
                 {"cuda-emulated:f32", 0, FMQ_F32},
                 {"cuda-emulated:1", 1, FMQ_BF16},
                 {"cuda-emulated:1:f32", 1, FMQ_F32}};
    enum { COUNT = sizeof known / sizeof *known };
    llm_backend_t *all[COUNT];
    use_module(EMULATED_MODULE);
    for (size_t i = 0; i < COUNT; i++) {
        fmq_error_t err = {0};
        all[i] = llm_backend_open(known[i].name, 1, &err);
        if (!all[i])
            fail_msg("%s: %s", known[i].name, err.text);
        assert_string_equal(all[i]->ops->name, "cuda-emulated");
        assert_string_equal(llm_backend_variant(all[i]), "emulated");
        assert_int_equal(all[i]->ops->act, known[i].act);
        assert_int_equal(llm_instance(all[i])->device, known[i].device);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < COUNT; k++)
            assert_int_equal(llm_instance_same_device(all[i], all[k]),
                             known[i].device == known[k].device && known[i].act == known[k].act);
    for (size_t i = 0; i < COUNT; i++)
        llm_backend_destroy(&all[i]);
}

static void another_instance_uses_what_the_first_one_placed(void **state)
{
    (void)state;
    float host[3] = {1, 2, 3}, back[3] = {0};
    use_module(EMULATED_MODULE);
    llm_backend_t *be = llm_backend_open("cuda-emulated:1:f32", 1, NULL);
    assert_non_null(be);
    llm_backend_t *other = be->ops->another(be, 1, NULL);
    assert_non_null(other);
    assert_true(llm_instance_same_device(be, other));
    float *at = be->ops->alloc(be, sizeof host);
    be->ops->upload(be, at, host, sizeof host);
    assert_int_equal(be->ops->synchronize(be, NULL), 0);
    llm_backend_destroy(&be);
    other->ops->scale(other, at, 2, 3);
    other->ops->download(other, back, at, sizeof back);
    other->ops->release(other, at);
    assert_int_equal(other->ops->synchronize(other, NULL), 0);
    llm_backend_destroy(&other);
    assert_true(back[0] == 2 && back[1] == 4 && back[2] == 6);
}

static void a_number_that_no_device_has_is_refused(void **state)
{
    (void)state;
    use_module(EMULATED_MODULE);
    expect_refused("cuda-emulated:4", FMQ_ERR_UNSUPPORTED,
                   "device 'cuda-emulated:4': there is no GPU of number 4: this machine has 4, "
                   "numbered from 0");
    expect_refused("cuda-emulated:9999:f32", FMQ_ERR_UNSUPPORTED, "number 9999");
}

static void what_is_no_module_is_refused(void **state)
{
    (void)state;
    use_module("/nowhere/module.so");
    expect_refused("cuda-emulated", FMQ_ERR_UNSUPPORTED, "no CUDA module: /nowhere/module.so");
    use_module(FEDMQ_SOURCE_DIR "/README.md");
    expect_refused("cuda-emulated", FMQ_ERR_UNSUPPORTED, "README.md");
    use_module(FOREIGN_MODULE);
    expect_refused("cuda-emulated", FMQ_ERR_MISMATCH, "it has no fmq_cuda_backend_v1");
}

static void a_module_of_another_build_refuses_the_program(void **state)
{
    (void)state;
    void *library = dlopen(EMULATED_MODULE, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    void *symbol = dlsym(library, LLM_CUDA_ENTRY);
    assert_non_null(symbol);
    llm_cuda_entry_t entry;
    memcpy(&entry, &symbol, sizeof entry);
    const llm_cuda_request_t same = {.table = LLM_CUDA_TABLE,
                                     .ops_bytes = sizeof(llm_ops_t),
                                     .instance_bytes = sizeof(llm_instance_t)};
    llm_cuda_request_t others[3] = {same, same, same};
    others[0].table++;
    others[1].ops_bytes += sizeof(void *);
    others[2].instance_bytes -= sizeof(void *);
    for (size_t i = 0; i < 3; i++) {
        fmq_error_t err = {0};
        llm_backend_t *be = NULL;
        assert_int_equal(entry(&others[i], &be, &err), -1);
        assert_null(be);
        assert_int_equal(err.code, FMQ_ERR_MISMATCH);
        assert_non_null(strstr(err.text, "of another build"));
    }
    llm_backend_t *be = NULL;
    assert_int_equal(entry(&same, &be, NULL), 0);
    llm_backend_destroy(&be);
    dlclose(library);
}

static void memory_that_is_not_there_is_told_and_nothing_ends(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    double sums[4] = {0};
    use_module(EMULATED_MODULE);
    llm_backend_t *be = llm_backend_open("cuda-emulated:2", 1, NULL);
    assert_non_null(be);
    llm_act_t *x = be->ops->alloc(be, llm_act_bytes(be, 64));
    assert_non_null(x);
    be->ops->zero(be, x, llm_act_bytes(be, 64));
    assert_int_equal(setenv("FEDMQ_EMULATED_MEMORY", "1024", 1), 0);
    assert_true(be->ops->memory_free(be) < 1024);
    assert_null(be->ops->alloc(be, 2048));
    assert_int_equal(be->ops->synchronize(be, &err), 0); /* who asked was told */
    be->ops->column_sum_squares(be, sums, x, 16, 4);
    (void)be->ops->sum(be, (const float *)(const void *)x, 8);
    assert_int_equal(be->ops->synchronize(be, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOMEM);
    assert_non_null(strstr(err.text, "'cuda-emulated' has no"));
    assert_int_equal(unsetenv("FEDMQ_EMULATED_MEMORY"), 0);
    be->ops->release(be, x);
    llm_backend_destroy(&be);
}

static void the_module_shows_one_symbol_and_needs_no_driver(void **state)
{
    (void)state;
    expect_one_symbol(EMULATED_MODULE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_opens_by_its_number_and_type),
        cmocka_unit_test(another_instance_uses_what_the_first_one_placed),
        cmocka_unit_test(a_number_that_no_device_has_is_refused),
        cmocka_unit_test(what_is_no_module_is_refused),
        cmocka_unit_test(a_module_of_another_build_refuses_the_program),
        cmocka_unit_test(memory_that_is_not_there_is_told_and_nothing_ends),
        cmocka_unit_test(the_module_shows_one_symbol_and_needs_no_driver),
    };
    return cmocka_run_group_tests_name("the GPU's module", tests, NULL, NULL);
}
