/*
 * missing.h - whom a server waits for before a round can begin, in words.
 */
#ifndef FEDMQ_ACTORS_SERVER_MISSING_H
#define FEDMQ_ACTORS_SERVER_MISSING_H

#include <stddef.h>

#include "actors/server/participants.h"

#define FMQ_MISSING_NAMED_MAX 8   /* of a kind; of more the number is said */
#define FMQ_MISSING_TEXT_MAX  320 /* bytes with NUL */

/* "client-2, client-3 have not joined; client-4 is not ready yet", or "" when
 * all are here and ready. */
void fmq_missing_say(const fmq_participants_t *participants, char out[FMQ_MISSING_TEXT_MAX]);

#endif
