/*
 * missing.c - whom a server waits for, in words.
 */
#include "actors/server/missing.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void add(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(char *out, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out + used, FMQ_MISSING_TEXT_MAX - used, format, args);
    va_end(args);
}

/* Names those that are away, or here and not ready; how many they are. */
static uint32_t name_them(const fmq_participants_t *participants, bool here, char *out)
{
    uint32_t found = 0;
    for (uint32_t k = 1; k <= participants->clients; k++) {
        const fmq_participant_t *participant = &participants->all[k - 1];
        if (participant->alive != here || (here && participant->ready))
            continue;
        if (found++ < FMQ_MISSING_NAMED_MAX)
            add(out, "%sclient-%" PRIu32, found > 1 ? ", " : *out ? "; " : "", k);
    }
    if (found > FMQ_MISSING_NAMED_MAX)
        add(out, " and %" PRIu32 " more", found - FMQ_MISSING_NAMED_MAX);
    return found;
}

void fmq_missing_say(const fmq_participants_t *participants, char out[FMQ_MISSING_TEXT_MAX])
{
    out[0] = '\0';
    uint32_t away = name_them(participants, false, out);
    if (away > 0)
        add(out, " %s not joined", away == 1 ? "has" : "have");
    uint32_t busy = name_them(participants, true, out);
    if (busy > 0)
        add(out, " %s not ready yet", busy == 1 ? "is" : "are");
}
