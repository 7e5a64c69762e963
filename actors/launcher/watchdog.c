/*
 * watchdog.c - a counter that stands still while somebody computes.
 */
#include "actors/launcher/watchdog.h"

int64_t fmq_watchdog_look(fmq_watchdog_t *self, bool busy, uint64_t moves, int64_t now_ms)
{
    if (!busy || moves != self->moves) {
        self->moves = moves;
        self->since_ms = now_ms;
        self->next_ms = self->limit_ms;
        return 0;
    }
    int64_t still_ms = now_ms - self->since_ms;
    if (still_ms < self->next_ms)
        return 0;
    self->next_ms *= 2;
    return still_ms;
}
