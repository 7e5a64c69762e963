/*
 * test_launcher_reserve.c - the program's malloc where memory runs out.
 *
 * This program is linked with malloc.c, as fedmq is.
 */
#include "actors/launcher/reserve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL     ((size_t)32 << 10)
#define LARGE     ((size_t)1 << 20)
#define ROOM      ((size_t)8 << 20)
#define SMALL_MAX 4096

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void small_allocations_go_on_when_memory_has_run_out_and_large_ones_do_not(void **state)
{
    static void *blocks[SMALL_MAX];
    size_t before = 0, behind = 0;
    struct rlimit old, low;
    (void)state;
    assert_int_equal(fmq_reserve_open(NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    low = old;
    low.rlim_cur = address_space() + ROOM;
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    while (before < SMALL_MAX && !fmq_reserve_is_spent() && (blocks[before] = malloc(SMALL)))
        before++;
    bool spent = fmq_reserve_is_spent();
    void *large = malloc(LARGE), *cleared = calloc(1, LARGE), *aligned = NULL;
    int refused = posix_memalign(&aligned, 64, LARGE);
    void *grown = realloc(NULL, LARGE);
    while (before + behind < SMALL_MAX && (blocks[before + behind] = calloc(1, SMALL)))
        behind++;
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    for (size_t i = 0; i < before + behind; i++)
        free(blocks[i]);
    assert_true(spent);
    assert_true(behind * SMALL > FMQ_RESERVE_BYTES / 2);
    assert_null(large);
    assert_null(cleared);
    assert_null(aligned);
    assert_null(grown);
    assert_int_not_equal(refused, 0);
}

int main(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    puts("skipped: a sanitizer has a malloc of its own");
    return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_allocations_go_on_when_memory_has_run_out_and_large_ones_do_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
