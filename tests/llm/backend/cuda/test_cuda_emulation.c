/*
 * test_cuda_emulation.c - the emulation of a device finds the mistakes that
 * kernels have: planted ones, each in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "planted.h"

#define N 192

/* The kernel under the checks that all kernels stand: 0 right, 1 wrong. */
static int checked(mistake_t mistake)
{
    check_t check;
    check_init(&check, NULL, false, 6);
    check.family = "planted";
    array_t *from = reads(&check, F32, N, 1), *to = writes(&check, F32, N);
    for (runs(&check); next_run(&check);)
        planted_reverse(&check.queue, to->device, from->device, N, mistake);
    float *want = copy_of(from);
    for (size_t i = 0; i < N; i++)
        want[i] = ((float *)from->floats)[N - 1 - i] + 32.0f;
    expect(&check, to, want, EXACTLY, "reversed");
    check_clear(&check);
    return check.failed ? 1 : 0;
}

/* Runs it in a child; *text gets what it said.  Returns whether it ended well
 * and right. */
static bool is_right(mistake_t mistake, char *text, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        int status = checked(mistake);
        fflush(NULL);
        _exit(status);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got;
    while (used + 1 < size && (got = read(ends[0], text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void a_kernel_without_a_mistake_is_right(void **state)
{
    (void)state;
    char text[8192];
    if (!is_right(NOTHING_WRONG, text, sizeof text))
        fail_msg("%s", text);
}

static void finds(mistake_t mistake, const char *says)
{
    char text[8192];
    assert_false(is_right(mistake, text, sizeof text));
    if (!strstr(text, says) && !strstr(text, "AddressSanitizer"))
        fail_msg("it does not say '%s' but: %s", says, text);
}

static void a_removed_barrier_is_found(void **state)
{
    (void)state;
    finds(NO_BARRIER, "not the same bits");
}

static void a_removed_barrier_of_a_warp_is_found(void **state)
{
    (void)state;
    finds(NO_WARP_BARRIER, "not the same bits");
}

static void a_divergent_barrier_is_found_with_both_places(void **state)
{
    (void)state;
    finds(DIVERGENT_BARRIER, "threads wait at different barriers: ");
}

static void a_lane_that_a_shuffle_misses_is_found(void **state)
{
    (void)state;
    finds(MISSING_LANE, "a warp operation misses lanes");
}

static void a_store_out_of_bounds_is_found(void **state)
{
    (void)state;
    finds(OUT_OF_BOUNDS, "a store out of bounds");
}

static void a_store_out_of_a_shared_array_is_found(void **state)
{
    (void)state;
    finds(OUT_OF_SHARED, "behind a shared array");
}

static void a_copy_that_was_not_waited_for_is_found(void **state)
{
    (void)state;
    finds(NO_WAIT, "not the same bits");
}

static void an_access_that_is_not_aligned_is_found(void **state)
{
    (void)state;
    finds(MISALIGNED, "not aligned");
}

static void a_block_that_reads_what_another_writes_is_found(void **state)
{
    (void)state;
    finds(BLOCK_ORDER, "gave other bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_without_a_mistake_is_right),
        cmocka_unit_test(a_removed_barrier_is_found),
        cmocka_unit_test(a_removed_barrier_of_a_warp_is_found),
        cmocka_unit_test(a_divergent_barrier_is_found_with_both_places),
        cmocka_unit_test(a_lane_that_a_shuffle_misses_is_found),
        cmocka_unit_test(a_store_out_of_bounds_is_found),
        cmocka_unit_test(a_store_out_of_a_shared_array_is_found),
        cmocka_unit_test(a_copy_that_was_not_waited_for_is_found),
        cmocka_unit_test(an_access_that_is_not_aligned_is_found),
        cmocka_unit_test(a_block_that_reads_what_another_writes_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
