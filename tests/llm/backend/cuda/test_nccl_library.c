/*
 * test_nccl_library.c - where NCCL is looked for, and what is said where it is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/backend/cuda/nccl.h"

static void expect_refused(const char *path, const char *because)
{
    llm_nccl_t nccl;
    fmq_error_t err;
    setenv("FEDMQ_NCCL", path, 1);
    assert_int_equal(llm_nccl_find(&nccl, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_null(strchr(err.text, '\n'));
    if (!strstr(err.text, because))
        fail_msg("refused for another reason: %s", err.text);
}

static void a_library_that_is_none_is_told(void **state)
{
    (void)state;
    expect_refused("/nowhere/libnccl.so.2", "no NCCL: /nowhere/libnccl.so.2");
    expect_refused("/nowhere/libnccl.so.2", "$FEDMQ_NCCL");
    expect_refused(FOREIGN_MODULE, "has no ncclCommInitAll");
}

/* Where there is one, its functions are found; that needs no device. */
static void the_librarys_functions_are_found(void **state)
{
    (void)state;
    llm_nccl_t nccl;
    fmq_error_t err;
    unsetenv("FEDMQ_NCCL");
    if (llm_nccl_find(&nccl, &err) < 0) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    assert_string_equal(nccl.text(0), "no error");
    assert_true(nccl.init_all && nccl.group_start && nccl.group_end && nccl.send && nccl.receive);
    assert_true(nccl.async_error && nccl.destroy && nccl.abort);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_that_is_none_is_told),
        cmocka_unit_test(the_librarys_functions_are_found),
    };
    return cmocka_run_group_tests_name("NCCL", tests, NULL, NULL);
}
