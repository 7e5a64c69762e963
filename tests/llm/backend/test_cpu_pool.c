/*
 * test_cpu_pool.c - the CPU backend's threads: every item done once, whatever the
 * number of threads and jobs, and nothing seen half done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "llm/backend/cpu/pool.h"

#define ITEMS 257

typedef struct {
    size_t threads;
    unsigned done[ITEMS]; /* plain: an item has one owner at a time */
    atomic_uint strangers;
} job_t;

static void count_item(void *argument, size_t item, size_t thread)
{
    job_t *job = argument;
    job->done[item]++;
    if (thread >= job->threads)
        atomic_fetch_add(&job->strangers, 1);
}

static void every_item_of_every_job_is_done_once(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 7; threads++) {
        llm_pool_t *pool = llm_pool_new(threads, NULL);
        assert_non_null(pool);
        assert_int_equal(llm_pool_threads(pool), threads);
        job_t job = {.threads = threads};
        for (unsigned round = 1; round <= 300; round++) {
            size_t count = round % ITEMS + 1;
            llm_pool_run(pool, ITEMS, count_item, &job);
            llm_pool_run(pool, count, count_item, &job);
            for (size_t i = 0; i < ITEMS; i++) {
                assert_int_equal(job.done[i], 1 + (i < count));
                job.done[i] = 0;
            }
        }
        assert_int_equal(job.strangers, 0);
        llm_pool_destroy(&pool);
        assert_null(pool);
    }
}

static void no_items_are_no_work(void **state)
{
    (void)state;
    llm_pool_t *pool = llm_pool_new(3, NULL);
    job_t job = {.threads = 3};
    llm_pool_run(pool, 0, count_item, &job);
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(job.done[i], 0);
    llm_pool_destroy(&pool);
}

/* Longer than the threads spin, so that all of them are asleep. */
static void sleeping_threads_wake_up_again(void **state)
{
    (void)state;
    llm_pool_t *pool = llm_pool_new(4, NULL);
    job_t job = {.threads = 4};
    for (unsigned round = 1; round <= 5; round++) {
        struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
        llm_pool_run(pool, ITEMS, count_item, &job);
        for (size_t i = 0; i < ITEMS; i++)
            assert_int_equal(job.done[i], round);
    }
    llm_pool_destroy(&pool);
}

static void slow_item(void *argument, size_t item, size_t thread)
{
    struct timespec pause = {.tv_nsec = item == 0 ? 30000000 : 100000};
    nanosleep(&pause, NULL);
    count_item(argument, item, thread);
}

static void the_caller_waits_for_a_slow_item(void **state)
{
    (void)state;
    llm_pool_t *pool = llm_pool_new(2, NULL);
    job_t job = {.threads = 2};
    for (unsigned round = 1; round <= 4; round++) {
        llm_pool_run(pool, 8, slow_item, &job);
        for (size_t i = 0; i < 8; i++)
            assert_int_equal(job.done[i], round);
    }
    llm_pool_destroy(&pool);
}

static void an_impossible_number_of_threads_is_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    assert_null(llm_pool_new(0, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_null(llm_pool_new(LLM_POOL_THREADS_MAX + 1, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_non_null(strstr(err.text, "1025"));
    llm_pool_destroy(NULL);
    llm_pool_t *none = NULL;
    llm_pool_destroy(&none);
}

static void a_pool_that_never_worked_can_be_destroyed(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++) {
        llm_pool_t *pool = llm_pool_new(5, NULL);
        assert_non_null(pool);
        llm_pool_destroy(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_of_every_job_is_done_once),
        cmocka_unit_test(no_items_are_no_work),
        cmocka_unit_test(sleeping_threads_wake_up_again),
        cmocka_unit_test(the_caller_waits_for_a_slow_item),
        cmocka_unit_test(an_impossible_number_of_threads_is_refused),
        cmocka_unit_test(a_pool_that_never_worked_can_be_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
