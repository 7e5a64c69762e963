/*
 * address.c - addresses of routers as commands take them.
 */
#include "actors/launcher/address.h"

#include <string.h>

static int beyond(const char *endpoint, fmq_endpoint_use_t use, const char *place, fmq_error_t *err)
{
    bool named = strcmp(endpoint, place) != 0;
    return fmq_error_set(err, FMQ_ERR_DENIED,
                         "'%s'%s%s%s lies beyond this machine, and tcp is not encrypted: %s, or "
                         "give --insecure on a network that you trust",
                         endpoint, named ? " (" : "", named ? place : "", named ? ")" : "",
                         use == FMQ_ENDPOINT_BIND
                             ? "listen at tcp://127.0.0.1:PORT (distribute.server_host 127.0.0.1)"
                             : "use a server of this machine");
}

/* The first place that is not on this machine. */
static const char *outside(const fmq_endpoint_t *where)
{
    for (size_t i = 0; i < where->size; i++)
        if (strncmp(where->places[i], "tcp://127.", 10) != 0 &&
            strncmp(where->places[i], "tcp://[::1]", 11) != 0)
            return where->places[i];
    return where->places[0];
}

int fmq_address_check(const char *endpoint, fmq_endpoint_use_t use, bool insecure, fmq_error_t *err)
{
    fmq_endpoint_t where;
    fmq_error_t why;
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%s' is no address: tcp://HOST:PORT is expected, such as "
                             "tcp://127.0.0.1:50050",
                             endpoint);
    if (fmq_endpoint_resolve(&where, endpoint, use, &why) < 0) {
        if (why.code == FMQ_ERR_NOTFOUND && insecure && use == FMQ_ENDPOINT_CONNECT)
            return 0;
        return fmq_error_copy(err, &why);
    }
    return where.local || insecure ? 0 : beyond(endpoint, use, outside(&where), err);
}

int fmq_address_of_server(const fmq_config_t *config, bool connecting, char out[FMQ_ENDPOINT_MAX],
                          fmq_error_t *err)
{
    const char *host = fmq_config_text(config, "distribute.server_host");
    long long port = (long long)fmq_config_int(config, "distribute.server_port");
    if (connecting && fmq_endpoint_is_every_address(host))
        host = "127.0.0.1";
    if (fmq_endpoint_write(out, host, port, err) == 0)
        return 0;
    return fmq_error_prefix(err, "%s: distribute.server_host and server_port",
                            fmq_config_origin(config, "distribute.server_host"));
}
