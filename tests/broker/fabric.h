/*
 * fabric.h - a router and links with short timeouts, for tests of the whole
 * fabric, over inproc or tcp on the loopback.
 */
#ifndef FEDMQ_TESTS_BROKER_FABRIC_H
#define FEDMQ_TESTS_BROKER_FABRIC_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/clock.h"
#include "fedmq/broker/link.h"
#include "fedmq/broker/router.h"

#define FABRIC_HEARTBEAT_MS 50
#define FABRIC_TIMEOUT_MS   800
#define FABRIC_PATIENCE_MS  8000

static inline fmq_router_t *fabric_router(const char *endpoint, fmq_store_t *store)
{
    fmq_error_t err;
    fmq_router_options_t options = {.endpoints = {endpoint},
                                    .store = store,
                                    .heartbeat_ms = FABRIC_HEARTBEAT_MS,
                                    .timeout_ms = FABRIC_TIMEOUT_MS};
    fmq_router_t *router = fmq_router_new(&options, &err);
    if (!router)
        (void)fprintf(stderr, "router: %s\n", err.text);
    return router;
}

static inline fmq_link_t *fabric_link_with(const char *endpoint, const char *name, fmq_role_t role,
                                           fmq_store_t *store)
{
    fmq_error_t err;
    fmq_link_options_t options = {.endpoint = endpoint,
                                  .name = name,
                                  .role = role,
                                  .store = store,
                                  .heartbeat_ms = FABRIC_HEARTBEAT_MS,
                                  .timeout_ms = FABRIC_TIMEOUT_MS};
    fmq_link_t *link = fmq_link_open(&options, &err);
    if (!link)
        (void)fprintf(stderr, "link: %s\n", err.text);
    return link;
}

static inline fmq_link_t *fabric_link(const char *endpoint, const char *name, fmq_role_t role)
{
    return fabric_link_with(endpoint, name, role, NULL);
}

/* Receives until an event of the type comes; false when none does in time. */
static inline bool fabric_await_for(fmq_link_t *link, fmq_event_type_t type, fmq_event_t *event,
                                    int patience_ms)
{
    int64_t end = fmq_clock_ms() + patience_ms;
    int64_t left;
    while ((left = end - fmq_clock_ms()) > 0)
        if (fmq_link_receive(link, (int)left, event, NULL) == 1 && event->type == type)
            return true;
    return false;
}

static inline bool fabric_await(fmq_link_t *link, fmq_event_type_t type, fmq_event_t *event)
{
    return fabric_await_for(link, type, event, FABRIC_PATIENCE_MS);
}

/* Awaits the note of a topic. */
static inline bool fabric_await_note(fmq_link_t *link, const char *topic, fmq_event_t *event)
{
    int64_t end = fmq_clock_ms() + FABRIC_PATIENCE_MS;
    while (fmq_clock_ms() < end)
        if (fabric_await_for(link, FMQ_EVENT_NOTE, event, 100) && strcmp(event->topic, topic) == 0)
            return true;
    return false;
}

/* Awaits that a member is, or is not, alive. */
static inline bool fabric_await_member(fmq_link_t *link, const char *name, bool alive,
                                       fmq_event_t *event)
{
    int64_t end = fmq_clock_ms() + FABRIC_PATIENCE_MS;
    while (fmq_clock_ms() < end)
        if (fabric_await_for(link, FMQ_EVENT_MEMBER, event, 100) &&
            strcmp(event->member, name) == 0 && event->alive == alive)
            return true;
    return false;
}

/* Bytes that differ at every place, so that a swap would show. */
static inline fmq_object_t *fabric_object(size_t size, unsigned seed)
{
    uint8_t *bytes = calloc(size > 0 ? size : 1, 1);
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
    }
    fmq_object_t *object = fmq_object_from_bytes(bytes, size, NULL);
    free(bytes);
    return object;
}

typedef struct {
    fmq_event_type_t end; /* FETCHED or FAILED; UP when neither came in time */
    fmq_error_t error;
    uint32_t chunks;
    uint64_t bytes;
    fmq_digest_t digest; /* of what came */
    bool ordered;
} fabric_fetch_t;

/* Follows a fetch to its end. */
static inline fabric_fetch_t fabric_follow(fmq_link_t *link, const fmq_digest_t *digest,
                                           uint32_t first, int patience_ms)
{
    fabric_fetch_t result = {.end = FMQ_EVENT_UP, .ordered = true};
    fmq_digest_state_t running;
    fmq_digest_begin(&running);
    int64_t end = fmq_clock_ms() + patience_ms;
    while (result.end == FMQ_EVENT_UP && fmq_clock_ms() < end) {
        fmq_event_t event;
        if (fmq_link_receive(link, 100, &event, NULL) != 1 || event.type < FMQ_EVENT_CHUNK ||
            event.type > FMQ_EVENT_FAILED || !fmq_digest_equal(&event.digest, digest))
            continue;
        if (event.type != FMQ_EVENT_CHUNK) {
            result.end = event.type;
            result.error = event.error;
            if (event.type == FMQ_EVENT_FAILED)
                (void)fprintf(stderr, "fetch: %s\n", event.error.text);
            continue;
        }
        result.ordered &= event.index == first + result.chunks;
        result.chunks++;
        result.bytes += event.size;
        fmq_object_digest_chunk(&running, event.data, event.size);
    }
    result.digest = fmq_digest_end(&running);
    return result;
}

#endif
