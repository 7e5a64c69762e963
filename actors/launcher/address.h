/*
 * address.h - addresses of routers as users give them.
 *
 * Nothing on tcp is encrypted or authenticated yet, so an address beyond this
 * machine is refused unless it was allowed aloud.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_ADDRESS_H
#define FEDMQ_ACTORS_LAUNCHER_ADDRESS_H

#include <stdbool.h>

#include "fedmq/base/config.h"
#include "fedmq/broker/link.h"

/* True for tcp://127.*, tcp://localhost and tcp://[::1]. */
bool fmq_address_is_loopback(const char *endpoint);

/* Checks an endpoint to connect or bind to: FMQ_ERR_CONFIG unless it is
 * tcp://HOST:PORT, FMQ_ERR_DENIED for one beyond this machine without insecure. */
int fmq_address_check(const char *endpoint, bool insecure, fmq_error_t *err);

/* distribute.server_host and server_port; where the server listens, or
 * (connecting) where clients find it: 0.0.0.0 is then this machine. */
int fmq_address_of_server(const fmq_config_t *config, bool connecting, char out[FMQ_ENDPOINT_MAX],
                          fmq_error_t *err);

#endif
