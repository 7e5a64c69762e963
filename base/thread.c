/*
 * thread.c - see thread.h.
 */
#include "base/thread.h"

#include <signal.h>
#include <time.h>

int fmq_thread_start(pthread_t *thread, void *(*work)(void *), void *argument)
{
    sigset_t all, kept;
    (void)sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &kept);
    if (error != 0)
        return error;
    error = pthread_create(thread, NULL, work, argument);
    (void)pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return error;
}

int fmq_condition_init(pthread_cond_t *self)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(self, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return error;
}

int fmq_condition_wait(pthread_cond_t *self, pthread_mutex_t *lock, int64_t until_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000};
    return pthread_cond_timedwait(self, lock, &until);
}
