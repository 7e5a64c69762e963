/*
 * address.c - addresses of routers as users give them.
 */
#include "actors/launcher/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char scheme[] = "tcp://";

bool fmq_address_is_loopback(const char *endpoint)
{
    static const char *const hosts[] = {"127.", "localhost:", "[::1]:"};
    if (strncmp(endpoint, scheme, strlen(scheme)) != 0)
        return false;
    const char *host = endpoint + strlen(scheme);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strncmp(host, hosts[i], strlen(hosts[i])) != 0)
            continue;
        else if (i > 0 || host[strspn(host, "0123456789.")] == ':')
            return true;
    return false;
}

static bool has_port(const char *endpoint)
{
    const char *port = strrchr(endpoint, ':');
    if (!port || port == endpoint + strlen("tcp"))
        return false;
    if (strcmp(port, ":*") == 0)
        return true;
    char *end = NULL;
    long number = strtol(port + 1, &end, 10);
    return end != port + 1 && *end == '\0' && number >= 0 && number <= 65535;
}

int fmq_address_check(const char *endpoint, bool insecure, fmq_error_t *err)
{
    if (strncmp(endpoint, scheme, strlen(scheme)) != 0 || !has_port(endpoint) ||
        strlen(endpoint) >= FMQ_ENDPOINT_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' is no address: tcp://HOST:PORT is expected",
                             endpoint);
    if (fmq_address_is_loopback(endpoint) || insecure)
        return 0;
    return fmq_error_set(err, FMQ_ERR_DENIED,
                         "'%s' lies beyond this machine, and tcp is not encrypted: use "
                         "tcp://127.0.0.1:PORT (distribute.server_host 127.0.0.1), or give "
                         "--insecure on a network that you trust",
                         endpoint);
}

int fmq_address_of_server(const fmq_config_t *config, bool connecting, char out[FMQ_ENDPOINT_MAX],
                          fmq_error_t *err)
{
    const char *host = fmq_config_text(config, "distribute.server_host");
    long long port = (long long)fmq_config_int(config, "distribute.server_port");
    if (connecting && strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    int size = snprintf(out, FMQ_ENDPOINT_MAX, "tcp://%s:%lld", host, port);
    if (!*host || size < 0 || size >= FMQ_ENDPOINT_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: 'distribute.server_host' is no host",
                             fmq_config_origin(config, "distribute.server_host"));
    return 0;
}
