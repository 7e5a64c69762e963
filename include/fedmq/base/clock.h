/*
 * clock.h - the two clocks of the program.
 *
 * Logic never reads a clock: it is handed now_ms.  Only the outermost loop
 * of an actor, the log and the benchmarks call these.
 */
#ifndef FEDMQ_BASE_CLOCK_H
#define FEDMQ_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"

FMQ_API_BEGIN

/* Milliseconds of CLOCK_MONOTONIC: never jumps with the wall clock. */
int64_t fmq_clock_ms(void);

/* Seconds of CLOCK_MONOTONIC with nanosecond resolution, for measuring. */
double fmq_clock_seconds(void);

/* Milliseconds of the wall clock since 1970, which may be set back: for
 * numbers that should usually be new, never for order or time. */
int64_t fmq_clock_wall_ms(void);

#define FMQ_CLOCK_UTC_SIZE 32

/* Writes the wall-clock time as 2026-01-31T23:59:59.123Z into out. */
void fmq_clock_utc(char out[FMQ_CLOCK_UTC_SIZE]);

FMQ_API_END

#endif
