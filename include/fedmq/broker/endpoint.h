/*
 * endpoint.h - addresses of routers as people give them, and the places that
 * they stand for.
 *
 * "inproc://NAME", or "tcp://HOST:PORT" where HOST is an IPv4 address, an IPv6
 * address in brackets, or a host's name, and, to listen, also an interface's
 * name, or *, 0.0.0.0 and [::] for every address.  Names are looked up here
 * and not by ZeroMQ, so that what was judged is what is bound, and so that a
 * name with several addresses is tried at each of them.  Nothing is opened
 * here.
 */
#ifndef FEDMQ_BROKER_ENDPOINT_H
#define FEDMQ_BROKER_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_ENDPOINT_MAX        256
#define FMQ_ENDPOINT_PLACES_MAX 8 /* addresses of a name beyond it are passed over */

typedef enum { FMQ_ENDPOINT_BIND, FMQ_ENDPOINT_CONNECT } fmq_endpoint_use_t;

/* Where an endpoint is: numbers only, as ZeroMQ takes them, IPv4 first. */
typedef struct {
    size_t size;                                            /* at least 1 */
    bool local;                                             /* none is beyond this machine */
    char places[FMQ_ENDPOINT_PLACES_MAX][FMQ_ENDPOINT_MAX]; /* "tcp://[::1]:50050" */
} fmq_endpoint_t;

/* FMQ_ERR_CONFIG unless text has one of the forms above; looks nothing up. */
int fmq_endpoint_check(const char *text, fmq_error_t *err);

/* Looks up what text stands for, which may take the system's resolver a while.
 * Whoever connects to every address means this machine.  FMQ_ERR_CONFIG as
 * above, FMQ_ERR_NOTFOUND when the host has no address; *self is then
 * untouched. */
int fmq_endpoint_resolve(fmq_endpoint_t *self, const char *text, fmq_endpoint_use_t use,
                         fmq_error_t *err);

/* True for *, 0.0.0.0, :: and [::]: a host that is every address of a machine. */
bool fmq_endpoint_is_every_address(const char *host);

/* tcp://host:port, an IPv6 address put into brackets where it is not.
 * FMQ_ERR_CONFIG for what is no host. */
int fmq_endpoint_write(char out[FMQ_ENDPOINT_MAX], const char *host, long long port,
                       fmq_error_t *err);

FMQ_API_END

#endif
