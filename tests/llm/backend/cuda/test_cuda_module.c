/*
 * test_cuda_module.c - the module for devices, as it was built: where there is
 * no driver it says so in one line and nothing ends; where there is a device it
 * computes.  It shows one symbol.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/backend/cuda/module.h"
#include "symbols.h"

static void it_computes_or_says_in_one_line_why_not(void **state)
{
    (void)state;
    static const char *const names[] = {"cuda", "cuda:f32"};
    for (size_t i = 0; i < 2; i++) {
        fmq_error_t err = {0};
        llm_backend_t *be = llm_backend_open(names[i], 1, &err);
        if (!be) {
            print_message("%s\n", err.text);
            assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
            assert_non_null(strstr(err.text, "device 'cuda:0': no GPU can be used: "));
            assert_null(strchr(err.text, '\n'));
            continue;
        }
        float host[3] = {1, 2, 3}, back[3] = {0};
        float *at = be->ops->alloc(be, sizeof host);
        be->ops->upload(be, at, host, sizeof host);
        be->ops->scale(be, at, 2, 3);
        be->ops->download(be, back, at, sizeof back);
        be->ops->release(be, at);
        assert_int_equal(be->ops->synchronize(be, &err), 0);
        assert_true(back[0] == 2 && back[1] == 4 && back[2] == 6);
        llm_backend_destroy(&be);
    }
}

static void a_number_beyond_all_devices_is_refused(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    assert_null(llm_backend_open("cuda:999", 1, &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "device 'cuda:999'"));
}

static void it_shows_one_symbol(void **state)
{
    (void)state;
    expect_one_symbol(CUDA_MODULE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_computes_or_says_in_one_line_why_not),
        cmocka_unit_test(a_number_beyond_all_devices_is_refused),
        cmocka_unit_test(it_shows_one_symbol),
    };
    setenv("FEDMQ_CUDA", CUDA_MODULE, 1);
    return cmocka_run_group_tests_name("the module for devices", tests, NULL, NULL);
}
