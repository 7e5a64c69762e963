/*
 * thread.h - starting a thread, and waiting for as long as the clock of clock.h
 * says.
 */
#ifndef FEDMQ_BASE_THREAD_H
#define FEDMQ_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* Starts a thread that leaves every signal to the program's own.  0 or an errno. */
int fmq_thread_start(pthread_t *thread, void *(*work)(void *), void *argument);

/* A condition for fmq_condition_wait().  0 or an errno. */
int fmq_condition_init(pthread_cond_t *self);
/* pthread_cond_timedwait() until fmq_clock_ms() is until_ms. */
int fmq_condition_wait(pthread_cond_t *self, pthread_mutex_t *lock, int64_t until_ms);

#endif
