/*
 * cmocka.h - the part of cmocka's interface that the tests use which
 * scripts/device-check runs, for machines that lack the library: a test that
 * fails says where and ends the program.
 */
#ifndef STANDIN_CMOCKA_H
#define STANDIN_CMOCKA_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);
struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define fail_msg(...)                                                                              \
    do {                                                                                           \
        printf("%s:%d: ", __FILE__, __LINE__);                                                     \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        exit(1);                                                                                   \
    } while (0)
#define standin_check(what, text)                                                                  \
    do {                                                                                           \
        if (!(what))                                                                               \
            fail_msg("%s", text);                                                                  \
    } while (0)
#define assert_true(a)                standin_check(a, #a)
#define assert_false(a)               standin_check(!(a), "not " #a)
#define assert_null(a)                standin_check((a) == NULL, #a " is NULL")
#define assert_non_null(a)            standin_check((a) != NULL, #a " is not NULL")
#define assert_ptr_equal(a, b)        standin_check((const void *)(a) == (const void *)(b), #a " is " #b)
#define assert_int_equal(a, b)        standin_check((intmax_t)(a) == (intmax_t)(b), #a " is " #b)
#define assert_int_not_equal(a, b)    standin_check((intmax_t)(a) != (intmax_t)(b), #a " is not " #b)
#define assert_string_equal(a, b)     standin_check(strcmp(a, b) == 0, #a " is " #b)
#define assert_memory_equal(a, b, n)  standin_check(memcmp(a, b, n) == 0, #a " is " #b)
#define assert_in_range(a, low, high) standin_check((a) >= (low) && (a) <= (high), #a " in range")
#define skip()                        exit(77)

#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f, NULL, NULL, NULL                                                                    \
    }
#define cmocka_unit_test_prestate(f, state)                                                        \
    {                                                                                              \
#f, f, NULL, NULL, state                                                                   \
    }

/* Runs those whose name begins with the filter, up to its "*". */
void cmocka_set_test_filter(const char *pattern);
int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown);
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof(tests)[0], setup, teardown)
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run_group_tests_name(#tests, tests, setup, teardown)

#endif
