/*
 * clock.c - reads the operating system's clocks.  No other file of base does,
 * and no logic anywhere should: time is handed to it.
 */
#include "fedmq/base/clock.h"

#include <stdio.h>
#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(id, &now); /* cannot fail for these two clocks */
    return now;
}

int64_t fmq_clock_ms(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

double fmq_clock_seconds(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int64_t fmq_clock_wall_ms(void)
{
    struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void fmq_clock_utc(char out[FMQ_CLOCK_UTC_SIZE])
{
    struct timespec now = read_clock(CLOCK_REALTIME);
    struct tm utc = {0};
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)snprintf(out, FMQ_CLOCK_UTC_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                   utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                   utc.tm_sec, (int)(now.tv_nsec / 1000000));
}
