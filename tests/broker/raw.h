/*
 * raw.h - a peer that speaks the wire but is no link: it sends any message, or
 * any bytes, and asserts nothing of what comes back.  Include cmocka first.
 */
#ifndef FEDMQ_TESTS_BROKER_RAW_H
#define FEDMQ_TESTS_BROKER_RAW_H

#include "broker/socket.h"
#include "tests/broker/fabric.h"

typedef struct {
    zsock_t *socket;
} raw_t;

static inline raw_t raw_open(const char *endpoint)
{
    fmq_error_t err;
    raw_t raw = {.socket = fmq_socket_dealer(endpoint, FABRIC_TIMEOUT_MS, &err)};
    assert_non_null(raw.socket);
    int zero = 0;
    (void)zmq_setsockopt(zsock_resolve(raw.socket), ZMQ_LINGER, &zero, sizeof zero);
    return raw;
}

static inline void raw_bytes(raw_t *raw, const void *data, size_t size, int flags)
{
    assert_int_equal(zmq_send(zsock_resolve(raw->socket), data, size, flags), (int)size);
}

static inline void raw_message(raw_t *raw, const fmq_message_t *message, const void *payload,
                               size_t size)
{
    uint8_t header[FMQ_WIRE_HEADER_MAX];
    size_t used = fmq_message_encode(message, header);
    assert_true(used > 0);
    raw_bytes(raw, header, used, payload ? ZMQ_SNDMORE : 0);
    if (payload)
        raw_bytes(raw, payload, size, 0);
}

static inline void raw_hello(raw_t *raw, const char *name, fmq_role_t role, uint64_t incarnation)
{
    fmq_message_t hello = {.type = FMQ_MESSAGE_HELLO, .role = role, .incarnation = incarnation};
    (void)snprintf(hello.name, sizeof hello.name, "%s", name);
    raw_message(raw, &hello, NULL, 0);
}

/* Receives until a message of the type comes. */
static inline bool raw_await(raw_t *raw, fmq_message_type_t type, fmq_received_t *in)
{
    int64_t end = fmq_clock_ms() + FABRIC_PATIENCE_MS;
    while (fmq_clock_ms() < end) {
        zmq_pollitem_t item = {.socket = zsock_resolve(raw->socket), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 50);
        while (fmq_socket_receive(raw->socket, false, in, NULL) == 1) {
            fmq_frame_destroy(&in->payload);
            if (in->message.type == type)
                return true;
        }
    }
    return false;
}

#endif
