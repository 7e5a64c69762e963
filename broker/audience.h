/*
 * audience.h - names of members, and texts that name several of them.
 *
 * A member's name has 1 to 63 of [a-z0-9-].  An audience is "*" (everybody),
 * "@role", or a name.
 */
#ifndef FEDMQ_BROKER_AUDIENCE_H
#define FEDMQ_BROKER_AUDIENCE_H

#include <stdbool.h>

#include "fedmq/broker/link.h"

bool fmq_name_valid(const char *name);
bool fmq_audience_valid(const char *audience);
/* True for "*" and "@role". */
bool fmq_audience_is_many(const char *audience);
/* role as by fmq_role_name(). */
bool fmq_audience_includes(const char *audience, const char *name, const char *role);
/* The role an "@role" names, or -1. */
int fmq_audience_role(const char *audience);

#endif
