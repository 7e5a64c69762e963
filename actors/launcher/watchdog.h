/*
 * watchdog.h - tells when nothing that computes in this process gets on.
 *
 * The server notices a client that hangs; this is the line on the client's own
 * side.  It knows a counter and the time, reads no clock, and ends nothing.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_WATCHDOG_H
#define FEDMQ_ACTORS_LAUNCHER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t limit_ms; /* without progress before it says so, and again at twice that ... */
    uint64_t moves;
    int64_t since_ms; /* the counter moved, or nobody computed, then */
    int64_t next_ms;  /* when it says so next, from since_ms */
} fmq_watchdog_t;

/* busy: somebody computes; moves: fmq_devices_moves().  For how many ms nothing
 * has moved, when that is to be said now; else 0. */
int64_t fmq_watchdog_look(fmq_watchdog_t *self, bool busy, uint64_t moves, int64_t now_ms);

#endif
