/*
 * permission.h - what each role may say, and to whom.
 *
 * Only the kinds of messages and the roles of addressees are judged here; what
 * a topic means is the actors' business.
 */
#ifndef FEDMQ_BROKER_PERMISSION_H
#define FEDMQ_BROKER_PERMISSION_H

#include "broker/wire.h"

/* May a member of this role send the router a message of this type? */
bool fmq_role_may_send(fmq_role_t role, fmq_message_type_t type);

/* May a note or an object of `from` reach a member of role `to`? */
bool fmq_role_may_reach(fmq_role_t from, fmq_role_t to);

/* The same for an audience; a single name is true here and judged by its role
 * when that is known. */
bool fmq_role_may_address(fmq_role_t from, const char *audience);

#endif
