/*
 * request.h - asks clients what an exchange is about: whom, by the round's plan, and
 * that the plan is on the disk before.
 */
#ifndef FEDMQ_ACTORS_SERVER_REQUEST_H
#define FEDMQ_ACTORS_SERVER_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/error.h"

struct fmq_coordinator;

/* Asks whom the open exchange is for: everybody, or those of the round's plan.  list is an earlier
 * process's, or empty: then they are sampled.  The number asked, or -1. */
int fmq_request_open(struct fmq_coordinator *self, const uint32_t *list, size_t size,
                     fmq_error_t *err);
/* Others take the place of those who are gone; the plan grows by them. */
int fmq_request_replace(struct fmq_coordinator *self, fmq_error_t *err);
/* Those who did not answer in time need not go on. */
int fmq_request_call_off(struct fmq_coordinator *self, fmq_error_t *err);

#endif
