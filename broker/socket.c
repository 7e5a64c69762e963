/*
 * socket.c - options of sockets, and whole messages in and out.
 *
 * Numbers and reasons: docs/protocol.md, "limits".  When CURVE keys come, they
 * are set here, on both kinds of socket, before bind and connect.
 */
#include "broker/socket.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "broker/probe.h"

#define FRAME_MAX        (1024 * 1024 + 4096) /* ZeroMQ drops the connection beyond it */
#define ROUTER_SNDHWM    1000                 /* messages per peer; credit bounds the large ones */
#define ROUTER_RCVHWM    16
#define DEALER_SNDHWM    16
#define DEALER_RCVHWM    10000 /* for the members of a whole process */
#define HANDSHAKE_MS     5000
#define KEEPALIVE_S      60 /* of silence, and a quarter of it four times unanswered */
#define RECONNECT_MS     250
#define RECONNECT_MAX_MS 10000
#define LINGER_MS        500 /* for a last BYE; never waited for but at the process's end */
#define BIND_TRIES       50
#define BIND_PAUSE_MS    20
#define CHOOSE_MS        250 /* for each address of a name that has several */
#define OPEN_FILES       131072
#define LANE_SIZE        5    /* of a lane frame: msgpack's unsigned 32 bit, */
#define LANE_MARK        0xce /* which begins with it, as no header does */

void fmq_files_raise(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= OPEN_FILES)
        return;
    files.rlim_cur = files.rlim_max < OPEN_FILES ? files.rlim_max : OPEN_FILES;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void init_once(void)
{
    fmq_files_raise();
    zsys_handler_set(NULL);
    /* zsys_set_max_sockets() aborts when an actor already has a socket; then
     * the context itself keeps the limit that it began with. */
    void *context = zsys_init();
    if (context)
        (void)zmq_ctx_set(context, ZMQ_MAX_SOCKETS, FMQ_SOCKETS_MAX);
}

void fmq_fabric_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_once);
}

static void set_option(zsock_t *socket, int option, int value)
{
    (void)zmq_setsockopt(zsock_resolve(socket), option, &value, sizeof value);
}

/* Settings of both kinds of socket.  ZMTP's own heartbeats stay off: libzmq asserts, and so ends
 * the process, when one is due on a connection that was reset while its input waited for room.
 * Members and routers have signs of life of their own; what is left of a host that vanished without
 * a word the kernel finds. */
static void set_limits(zsock_t *socket)
{
    int64_t frame_max = FRAME_MAX;
    (void)zmq_setsockopt(zsock_resolve(socket), ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    set_option(socket, ZMQ_LINGER, LINGER_MS);
    set_option(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_option(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_option(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set_option(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S / 4);
    set_option(socket, ZMQ_TCP_KEEPALIVE_CNT, 4);
}

zsock_t *fmq_socket_router(fmq_error_t *err)
{
    fmq_fabric_init();
    zsock_t *socket = zsock_new(ZMQ_ROUTER);
    if (!socket) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot open a ROUTER socket: %s", zmq_strerror(errno));
        return NULL;
    }
    set_limits(socket);
    set_option(socket, ZMQ_SNDHWM, ROUTER_SNDHWM);
    set_option(socket, ZMQ_RCVHWM, ROUTER_RCVHWM);
    set_option(socket, ZMQ_ROUTER_MANDATORY, 1);
    set_option(socket, ZMQ_BACKLOG, 1024);
    return socket;
}

void fmq_socket_unbind(zsock_t *router, const char *resolved)
{
    (void)zmq_unbind(zsock_resolve(router), resolved);
}

/* A router that was just destroyed may hold its endpoint for a moment. */
static int bind_patiently(void *handle, const char *endpoint)
{
    int rc = zmq_bind(handle, endpoint);
    for (int i = 0; rc != 0 && errno == EADDRINUSE && i < BIND_TRIES; i++) {
        (void)zmq_poll(NULL, 0, BIND_PAUSE_MS);
        rc = zmq_bind(handle, endpoint);
    }
    return rc;
}

/* [::1] and its like: only then, for a machine may do without IPv6. */
static void allow_ipv6(zsock_t *socket, const char *place)
{
    set_option(socket, ZMQ_IPV6, strncmp(place, "tcp://[", 7) == 0);
}

static int cannot_bind(const char *endpoint, fmq_error_t *err)
{
    const char *advice = "";
    if (errno == EADDRINUSE)
        advice = ": another program listens there; stop it, or take another port";
    else if (errno == EADDRNOTAVAIL || errno == ENODEV)
        advice = ": it is no address of this machine; give one that is, the name of an interface, "
                 "or 0.0.0.0 for all";
    return fmq_error_set(err, FMQ_ERR_IO, "cannot listen at '%s': %s%s", endpoint,
                         zmq_strerror(errno), advice);
}

int fmq_socket_bind(zsock_t *router, const char *endpoint, bool insecure,
                    char resolved[FMQ_ENDPOINT_MAX], fmq_error_t *err)
{
    fmq_endpoint_t where;
    if (fmq_endpoint_resolve(&where, endpoint, FMQ_ENDPOINT_BIND, err) < 0)
        return -1;
    if (!where.local && !insecure)
        return fmq_error_set(err, FMQ_ERR_DENIED,
                             "endpoint '%s' can be reached from other hosts and there are no keys: "
                             "bind 127.0.0.1, or say --insecure to trust that whole network",
                             endpoint);
    size_t i = 0;
    do
        allow_ipv6(router, where.places[i]);
    while (bind_patiently(zsock_resolve(router), where.places[i]) != 0 && ++i < where.size);
    if (i == where.size)
        return cannot_bind(endpoint, err);
    size_t size = FMQ_ENDPOINT_MAX;
    if (zmq_getsockopt(zsock_resolve(router), ZMQ_LAST_ENDPOINT, resolved, &size) != 0)
        return fmq_error_set(err, FMQ_ERR_IO, "cannot resolve '%s': %s", endpoint,
                             zmq_strerror(errno));
    return 0;
}

/* The first place where somebody accepts, or the first. */
static const char *choose_place(const fmq_endpoint_t *where)
{
    for (size_t i = 0; where->size > 1 && i < where->size; i++)
        if (fmq_probe_accepts(where->places[i], CHOOSE_MS))
            return where->places[i];
    return where->places[0];
}

zsock_t *fmq_socket_dealer(const char *endpoint, uint32_t timeout_ms, fmq_error_t *err)
{
    fmq_endpoint_t where;
    fmq_fabric_init();
    if (fmq_endpoint_resolve(&where, endpoint, FMQ_ENDPOINT_CONNECT, err) < 0)
        return NULL;
    const char *place = choose_place(&where);
    zsock_t *socket = zsock_new(ZMQ_DEALER);
    if (!socket) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot open a DEALER socket: %s", zmq_strerror(errno));
        return NULL;
    }
    set_limits(socket);
    set_option(socket, ZMQ_SNDHWM, DEALER_SNDHWM);
    set_option(socket, ZMQ_RCVHWM, DEALER_RCVHWM);
    set_option(socket, ZMQ_IMMEDIATE, 1);
    set_option(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_option(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    set_option(socket, ZMQ_CONNECT_TIMEOUT, (int)timeout_ms);
    allow_ipv6(socket, place);
    if (zmq_connect(zsock_resolve(socket), place) != 0) {
        fmq_error_set(err, FMQ_ERR_IO, "cannot connect to '%s': %s", endpoint, zmq_strerror(errno));
        zsock_destroy(&socket);
    }
    return socket;
}

bool fmq_route_equal(const fmq_route_t *a, const fmq_route_t *b)
{
    return a->lane == b->lane && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The frames in front of the header, once the first of which was taken the
 * socket takes the others too. */
static int send_route(void *handle, const fmq_route_t *route)
{
    const uint8_t lane[LANE_SIZE] = {LANE_MARK, (uint8_t)(route->lane >> 24),
                                     (uint8_t)(route->lane >> 16), (uint8_t)(route->lane >> 8),
                                     (uint8_t)route->lane};
    if (route->size > 0 &&
        zmq_send(handle, route->bytes, route->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return -1;
    if (route->lane > 0 && zmq_send(handle, lane, sizeof lane, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return -1;
    return 0;
}

int fmq_socket_send(zsock_t *socket, const fmq_route_t *route, const fmq_message_t *message,
                    fmq_frame_t **payload_p)
{
    void *handle = zsock_resolve(socket);
    uint8_t header[FMQ_WIRE_HEADER_MAX];
    size_t size = fmq_message_encode(message, header);
    if (size == 0) {
        errno = EINVAL;
        return -1;
    }
    size_t bytes = size + (payload_p ? fmq_frame_size(*payload_p) : 0);
    if (route && send_route(handle, route) < 0)
        return -1;
    if (zmq_send(handle, header, size, (payload_p ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT) < 0)
        return -1;
    if (payload_p && fmq_frame_send(payload_p, handle, ZMQ_DONTWAIT) < 0)
        return -1;
    return (int)bytes;
}

/* One part; 0 with errno EAGAIN when there is none. */
static bool receive_part(void *handle, zmq_msg_t *part)
{
    (void)zmq_msg_init(part);
    int rc;
    do
        rc = zmq_msg_recv(part, handle, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        (void)zmq_msg_close(part);
    return rc >= 0;
}

/* Takes the rest of a message off the socket, counting its bytes. */
static void drop_rest(void *handle, bool more, size_t *bytes)
{
    zmq_msg_t part;
    while (more && receive_part(handle, &part)) {
        *bytes += zmq_msg_size(&part);
        more = zmq_msg_more(&part);
        (void)zmq_msg_close(&part);
    }
}

static bool receive_route(void *handle, fmq_route_t *route, bool *more)
{
    zmq_msg_t part;
    if (!receive_part(handle, &part))
        return false;
    size_t size = zmq_msg_size(&part);
    route->size = (uint8_t)(size <= FMQ_ROUTE_MAX ? size : FMQ_ROUTE_MAX);
    memcpy(route->bytes, zmq_msg_data(&part), route->size);
    *more = zmq_msg_more(&part);
    (void)zmq_msg_close(&part);
    return true;
}

/* Is this part, which others follow, a lane frame?  Then *lane is its number. */
static bool is_lane(zmq_msg_t *part, uint32_t *lane)
{
    const uint8_t *data = zmq_msg_data(part);
    if (!zmq_msg_more(part) || zmq_msg_size(part) != LANE_SIZE || data[0] != LANE_MARK)
        return false;
    *lane = (uint32_t)data[1] << 24 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 8 | data[4];
    return true;
}

/* The header, and before it the lane where there is one. */
static bool receive_header(void *handle, uint32_t *lane, zmq_msg_t *header)
{
    *lane = 0;
    if (!receive_part(handle, header))
        return false;
    if (!is_lane(header, lane))
        return true;
    (void)zmq_msg_close(header);
    return receive_part(handle, header);
}

/* The payload frame that the header's type asks for, and nothing behind it. */
static int receive_payload(void *handle, fmq_received_t *out, bool more, fmq_error_t *err)
{
    size_t most;
    bool wanted = fmq_message_has_payload(out->message.type, &most);
    zmq_msg_t part;
    if (wanted != more || (wanted && !receive_part(handle, &part))) {
        drop_rest(handle, more, &out->bytes);
        return fmq_error_set(err, FMQ_ERR_FORMAT, "%s %s payload frame",
                             fmq_message_name(out->message.type), wanted ? "needs a" : "takes no");
    }
    if (!wanted)
        return 0;
    size_t size = zmq_msg_size(&part);
    out->bytes += size;
    more = zmq_msg_more(&part);
    if (more || size > most) {
        (void)zmq_msg_close(&part);
        drop_rest(handle, more, &out->bytes);
        return fmq_error_set(err, FMQ_ERR_FORMAT, "payload of %s: %s",
                             fmq_message_name(out->message.type),
                             more ? "more than one frame" : "too large");
    }
    out->payload = fmq_frame_take(&part);
    (void)zmq_msg_close(&part);
    return out->payload ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a frame");
}

int fmq_socket_receive(zsock_t *socket, bool routed, fmq_received_t *out, fmq_error_t *err)
{
    void *handle = zsock_resolve(socket);
    bool more = true;
    out->payload = NULL;
    out->bytes = 0;
    out->route.size = 0;
    out->route.lane = 0;
    if (routed && !receive_route(handle, &out->route, &more))
        return 0;
    zmq_msg_t header;
    if (!more || !receive_header(handle, &out->route.lane, &header))
        return routed ? fmq_error_set(err, FMQ_ERR_FORMAT, "message without a header") : 0;
    out->bytes = zmq_msg_size(&header);
    more = zmq_msg_more(&header);
    int rc = fmq_message_decode(&out->message, zmq_msg_data(&header), out->bytes, err);
    (void)zmq_msg_close(&header);
    if (rc < 0) {
        drop_rest(handle, more, &out->bytes);
        return -1;
    }
    return receive_payload(handle, out, more, err) < 0 ? -1 : 1;
}
