/*
 * test_thread.c - what threads leave to others, and how long they wait.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread.h"
#include "fedmq/base/clock.h"

static const int told[] = {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ, SIGALRM, SIGHUP};

static void *look(void *argument)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, argument);
    return NULL;
}

static void a_thread_takes_no_signal_and_its_starter_all_it_took_before(void **state)
{
    (void)state;
    sigset_t own, before, after;
    pthread_t thread;
    sigemptyset(&own);
    sigaddset(&own, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &own, &before), 0);
    sigset_t seen = own;
    assert_int_equal(fmq_thread_start(&thread, look, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, &after), 0);
    assert_int_equal(sigismember(&after, SIGUSR1), 1);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        assert_int_equal(sigismember(&seen, told[i]), 1);
        assert_int_equal(sigismember(&after, told[i]), 0);
    }
}

static void waiting_ends_at_the_time_of_the_clock(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed;
    assert_int_equal(fmq_condition_init(&changed), 0);
    pthread_mutex_lock(&lock);
    assert_int_equal(fmq_condition_wait(&changed, &lock, fmq_clock_ms() - 5000), ETIMEDOUT);
    int64_t until_ms = fmq_clock_ms() + 30;
    int rc;
    while ((rc = fmq_condition_wait(&changed, &lock, until_ms)) == 0)
        continue;
    assert_int_equal(rc, ETIMEDOUT);
    assert_true(fmq_clock_ms() >= until_ms);
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_takes_no_signal_and_its_starter_all_it_took_before),
        cmocka_unit_test(waiting_ends_at_the_time_of_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
