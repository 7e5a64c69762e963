/*
 * endpoint.c - takes addresses of routers apart and looks their hosts up.
 */
#include "fedmq/broker/endpoint.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TCP    "tcp://"
#define INPROC "inproc://"

typedef struct {
    char host[FMQ_ENDPOINT_MAX];
    char port[6]; /* digits or "*" */
} parts_t;

/* What may stand in a host's name, an address with a zone, or an interface's. */
static bool is_host(const char *host)
{
    static const char known[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:%-_";
    if (strcmp(host, "*") == 0)
        return true;
    return *host && strspn(host, known) == strlen(host);
}

static bool is_port(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    if (strcmp(port, "*") == 0)
        return true;
    return digits > 0 && digits <= 5 && port[digits] == '\0' && strtoul(port, NULL, 10) - 1 < 65535;
}

static int no_endpoint(const char *text, const char *why, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "'%.200s' is no address: %s; tcp://HOST:PORT is expected, such as "
                         "tcp://127.0.0.1:50050 or tcp://[::1]:50050",
                         text, why);
}

static int take_apart(parts_t *out, const char *text, fmq_error_t *err)
{
    size_t size = strlen(text);
    if (size >= FMQ_ENDPOINT_MAX)
        return no_endpoint(text, "it is too long", err);
    if (strncmp(text, TCP, strlen(TCP)) != 0)
        return no_endpoint(text, "it does not begin with tcp://", err);
    const char *host = text + strlen(TCP);
    const char *colon = strrchr(host, ':');
    if (!colon || colon[1] == '\0' || strchr(colon, ']'))
        return no_endpoint(text, "it has no port", err);
    if (!is_port(colon + 1))
        return no_endpoint(text, "a port is a number from 1 to 65535", err);
    size_t length = (size_t)(colon - host);
    bool brackets = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (!brackets && memchr(host, ':', length))
        return no_endpoint(text, "an IPv6 address stands in brackets", err);
    (void)snprintf(out->host, sizeof out->host, "%.*s", (int)(length - (brackets ? 2 : 0)),
                   host + (brackets ? 1 : 0));
    (void)snprintf(out->port, sizeof out->port, "%.5s", colon + 1);
    return is_host(out->host) ? 0 : no_endpoint(text, "that is no host", err);
}

int fmq_endpoint_check(const char *text, fmq_error_t *err)
{
    parts_t parts;
    if (strncmp(text, INPROC, strlen(INPROC)) == 0 && text[strlen(INPROC)] &&
        strlen(text) < FMQ_ENDPOINT_MAX)
        return 0;
    return take_apart(&parts, text, err);
}

int fmq_endpoint_write(char out[FMQ_ENDPOINT_MAX], const char *host, long long port,
                       fmq_error_t *err)
{
    char text[2 * FMQ_ENDPOINT_MAX];
    bool bare = strchr(host, ':') && host[0] != '[';
    struct in6_addr address;
    char before[FMQ_ENDPOINT_MAX];
    (void)snprintf(before, sizeof before, "%.*s", (int)strcspn(host, "%"), host);
    if (strstr(host, "://"))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%.200s' is no host: give it without %.*s", host,
                             (int)(strstr(host, "://") + 3 - host), host);
    if (bare && inet_pton(AF_INET6, before, &address) != 1)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "'%.200s' is no host: a port has a key of its own, and an IPv6 "
                             "address looks like ::1",
                             host);
    (void)snprintf(text, sizeof text, bare ? TCP "[%.*s]:%lld" : TCP "%.*s:%lld", FMQ_ENDPOINT_MAX,
                   host, port);
    if (fmq_endpoint_check(text, err) < 0)
        return -1;
    (void)snprintf(out, FMQ_ENDPOINT_MAX, "%.*s", FMQ_ENDPOINT_MAX - 1, text);
    return 0;
}

bool fmq_endpoint_is_every_address(const char *host)
{
    return strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ||
           strcmp(host, "[::]") == 0;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
        return in6.sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

/* Adds one address; those of other families are no places. */
static void add(fmq_endpoint_t *self, const struct sockaddr *address, const char *port)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    bool four = address->sa_family == AF_INET;
    if ((!four && address->sa_family != AF_INET6) || self->size == FMQ_ENDPOINT_PLACES_MAX)
        return;
    socklen_t size = four ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (getnameinfo(address, size, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        return;
    char *place = self->places[self->size++];
    (void)snprintf(place, FMQ_ENDPOINT_MAX, four ? TCP "%s:%s" : TCP "[%s]:%s", host, port);
    self->local = self->local && is_loopback(address);
}

/* Where somebody listens who listens everywhere; for who connects, this
 * machine. */
static void add_every_address(fmq_endpoint_t *self, const parts_t *parts, fmq_endpoint_use_t use)
{
    const char *host = strcmp(parts->host, "::") == 0 ? "[::]" : "0.0.0.0";
    self->size = 1;
    self->local = use == FMQ_ENDPOINT_CONNECT;
    (void)snprintf(self->places[0], sizeof self->places[0], TCP "%s:%s",
                   use == FMQ_ENDPOINT_CONNECT ? "127.0.0.1" : host, parts->port);
}

static void add_interface(fmq_endpoint_t *self, const parts_t *parts)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0)
        return;
    for (int four = 1; four >= 0; four--)
        for (const struct ifaddrs *at = all; at; at = at->ifa_next)
            if (at->ifa_addr && strcmp(at->ifa_name, parts->host) == 0 &&
                (at->ifa_addr->sa_family == AF_INET) == (four == 1))
                add(self, at->ifa_addr, parts->port);
    freeifaddrs(all);
}

static int add_host(fmq_endpoint_t *self, const parts_t *parts, fmq_error_t *err)
{
    struct addrinfo *all = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int rc = getaddrinfo(parts->host, NULL, &hints, &all);
    if (rc != 0)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                             "host '%.200s' has no address here: %s; give an IP address, or a name "
                             "that this machine can look up",
                             parts->host, gai_strerror(rc));
    for (int four = 1; four >= 0; four--)
        for (const struct addrinfo *at = all; at; at = at->ai_next)
            if ((at->ai_family == AF_INET) == (four == 1))
                add(self, at->ai_addr, parts->port);
    freeaddrinfo(all);
    return self->size > 0 ? 0
                          : fmq_error_set(err, FMQ_ERR_NOTFOUND,
                                          "host '%.200s' has no IPv4 or IPv6 address", parts->host);
}

int fmq_endpoint_resolve(fmq_endpoint_t *self, const char *text, fmq_endpoint_use_t use,
                         fmq_error_t *err)
{
    parts_t parts;
    fmq_endpoint_t found = {.local = true};
    if (fmq_endpoint_check(text, err) < 0)
        return -1;
    if (strncmp(text, INPROC, strlen(INPROC)) == 0) {
        found.size = 1;
        (void)snprintf(found.places[0], sizeof found.places[0], "%s", text);
        *self = found;
        return 0;
    }
    if (take_apart(&parts, text, err) < 0)
        return -1;
    if (use == FMQ_ENDPOINT_CONNECT && parts.port[0] == '*')
        return no_endpoint(text, "any port will do only for who listens", err);
    if (fmq_endpoint_is_every_address(parts.host))
        add_every_address(&found, &parts, use);
    else if (use == FMQ_ENDPOINT_BIND && if_nametoindex(parts.host) > 0)
        add_interface(&found, &parts);
    if (found.size == 0 && add_host(&found, &parts, err) < 0)
        return if_nametoindex(parts.host) > 0 && use == FMQ_ENDPOINT_CONNECT
                   ? fmq_error_set(err, FMQ_ERR_NOTFOUND,
                                   "'%.200s' is an interface of this machine, which says where to "
                                   "listen; to connect give the server's name or IP address",
                                   parts.host)
                   : -1;
    *self = found;
    return 0;
}
