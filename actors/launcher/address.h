/*
 * address.h - addresses of routers as commands take them.
 *
 * Nothing on tcp is encrypted or authenticated yet, so an address beyond this
 * machine is refused unless it was allowed aloud.  A name is judged by the
 * addresses that it stands for (fedmq/broker/endpoint.h).
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_ADDRESS_H
#define FEDMQ_ACTORS_LAUNCHER_ADDRESS_H

#include <stdbool.h>

#include "fedmq/base/config.h"
#include "fedmq/broker/endpoint.h"

/* Checks an endpoint to connect or bind to: FMQ_ERR_CONFIG unless it is
 * tcp://HOST:PORT, FMQ_ERR_NOTFOUND for a name without an address,
 * FMQ_ERR_DENIED for one beyond this machine without insecure.  A name that
 * has no address yet is let pass to connect to with insecure: it may get one. */
int fmq_address_check(const char *endpoint, fmq_endpoint_use_t use, bool insecure,
                      fmq_error_t *err);

/* distribute.server_host and server_port: where the server listens, or
 * (connecting) where clients find it: every address is then this machine. */
int fmq_address_of_server(const fmq_config_t *config, bool connecting, char out[FMQ_ENDPOINT_MAX],
                          fmq_error_t *err);

#endif
