/*
 * bench_fabric.c - how fast objects and notes travel, beside raw ZeroMQ with
 * frames of the same size; and what encoding a state costs beside memcpy.
 *
 * Usage: bench_fabric [megabytes].  One line per measurement; nothing here is
 * a test.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "broker/codec.h"
#include "fedmq/base/clock.h"
#include "fedmq/broker/link.h"
#include "fedmq/broker/router.h"
#include "fedmq/broker/state.h"

#define WINDOW     8
#define NOTES      20000
#define STATE_SIZE (16u << 20) /* elements */

static fmq_link_t *open_link(const char *endpoint, const char *name, fmq_role_t role)
{
    fmq_link_options_t options = {
        .endpoint = endpoint, .name = name, .role = role, .window = WINDOW};
    fmq_link_t *link = fmq_link_open(&options, NULL);
    fmq_event_t event;
    while (link && fmq_link_receive(link, 5000, &event, NULL) == 1 && event.type != FMQ_EVENT_UP)
        ;
    return link;
}

static fmq_object_t *object_of(size_t megabytes)
{
    size_t size = megabytes << 20;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    fmq_object_t *object = fmq_object_from_bytes(bytes, size, NULL);
    free(bytes);
    return object;
}

/* Fetches one object and returns MB/s (10^6 bytes). */
static double fetch_rate(fmq_link_t *reader, const char *owner, const fmq_object_t *object)
{
    double began = fmq_clock_seconds();
    (void)fmq_link_fetch(reader, owner, fmq_object_digest(object), 0, UINT64_MAX, NULL);
    fmq_event_t event = {0};
    while (fmq_link_receive(reader, 20000, &event, NULL) == 1 && event.type != FMQ_EVENT_FETCHED &&
           event.type != FMQ_EVENT_FAILED)
        ;
    if (event.type != FMQ_EVENT_FETCHED)
        return 0.0;
    return (double)fmq_object_bytes(object) * 1e-6 / (fmq_clock_seconds() - began);
}

static double note_rate(fmq_link_t *from, fmq_link_t *to)
{
    double began = fmq_clock_seconds();
    for (uint32_t i = 0; i < NOTES; i++) { /* many topics, so that none replaces another */
        char topic[FMQ_TOPIC_MAX];
        (void)snprintf(topic, sizeof topic, "t%u", i);
        (void)fmq_link_note(from, "client-1", topic, &i, sizeof i, NULL);
    }
    fmq_event_t event;
    uint32_t got = 0;
    while (got < NOTES && fmq_link_receive(to, 20000, &event, NULL) == 1)
        got += event.type == FMQ_EVENT_NOTE;
    return got / (fmq_clock_seconds() - began);
}

/* Sends frames of a chunk's size over PUSH and PULL as fast as they go. */
typedef struct {
    char endpoint[256];
    size_t frames;
} pushing_t;

static void push(zsock_t *pipe, void *argument)
{
    pushing_t *pushing = argument;
    zsock_t *socket = zsock_new(ZMQ_PUSH);
    zsock_set_sndhwm(socket, WINDOW);
    (void)zsock_connect(socket, "%s", pushing->endpoint);
    zsock_signal(pipe, 0);
    uint8_t *bytes = calloc(1, FMQ_CHUNK_MAX);
    for (size_t i = 0; i < pushing->frames; i++)
        (void)zmq_send(zsock_resolve(socket), bytes, FMQ_CHUNK_MAX, 0);
    free(bytes);
    free(zstr_recv(pipe));
    zsock_destroy(&socket);
}

static double raw_rate(const char *bind, size_t megabytes)
{
    pushing_t pushing = {.frames = megabytes * 4};
    zsock_t *pull = zsock_new(ZMQ_PULL);
    zsock_set_rcvhwm(pull, WINDOW);
    (void)zsock_bind(pull, "%s", bind);
    (void)snprintf(pushing.endpoint, sizeof pushing.endpoint, "%s", zsock_endpoint(pull));
    double began = fmq_clock_seconds();
    zactor_t *actor = zactor_new(push, &pushing);
    for (size_t i = 0; i < pushing.frames; i++) {
        zmq_msg_t message;
        (void)zmq_msg_init(&message);
        (void)zmq_msg_recv(&message, zsock_resolve(pull), 0);
        (void)zmq_msg_close(&message);
    }
    double seconds = fmq_clock_seconds() - began;
    zactor_destroy(&actor);
    zsock_destroy(&pull);
    return (double)(pushing.frames * FMQ_CHUNK_MAX) * 1e-6 / seconds;
}

static void measure_fabric(const char *way, const char *bind, const char *raw_bind,
                           fmq_object_t *object, size_t megabytes)
{
    fmq_error_t err;
    fmq_router_options_t options = {.endpoints = {bind}};
    fmq_router_t *router = fmq_router_new(&options, &err);
    if (!router) {
        (void)fprintf(stderr, "%s\n", err.text);
        return;
    }
    const char *endpoint = fmq_router_endpoint(router, 0);
    fmq_link_t *server = open_link(endpoint, "server", FMQ_ROLE_SERVER);
    fmq_link_t *client = open_link(endpoint, "client-1", FMQ_ROLE_CLIENT);
    (void)fmq_link_publish(client, object, "server", NULL);
    double relayed = fetch_rate(server, "client-1", object);
    (void)fmq_link_publish(server, object, "*", NULL);
    double pulled = fetch_rate(client, "server", object); /* its own store has it: local */
    double raw = raw_rate(raw_bind, megabytes);
    double notes = note_rate(server, client);
    (void)printf(
        "%-6s relayed %7.0f MB/s (%3.0f %% of raw)  local %7.0f MB/s  raw libzmq %7.0f MB/s  "
        "notes %6.0f /s\n",
        way, relayed, 100.0 * relayed / raw, pulled, raw, notes);
    fmq_link_close(&client, 0);
    fmq_link_close(&server, 0);
    fmq_router_destroy(&router);
}

static void measure_state(void)
{
    const uint64_t shape[] = {4096, STATE_SIZE / 4096};
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    (void)fmq_schema_add(schema, "weight", 2, shape, NULL);
    float *vector = malloc(STATE_SIZE * sizeof *vector);
    float *copy = malloc(STATE_SIZE * sizeof *copy);
    for (size_t i = 0; i < STATE_SIZE; i++)
        vector[i] = copy[i] = (float)i * 1e-4f;
    double began = fmq_clock_seconds();
    memcpy(copy, vector, STATE_SIZE * sizeof *copy);
    double bytes = STATE_SIZE * 4e-9;
    (void)printf("memcpy %5.2f GB/s of f32 (check %g)\n", bytes / (fmq_clock_seconds() - began),
                 (double)copy[STATE_SIZE / 2]);
    for (fmq_codec_t codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        const fmq_codec_ops_t *ops = fmq_codec_of(NULL, codec);
        began = fmq_clock_seconds();
        (void)ops->encode(copy, vector, STATE_SIZE);
        double converted = fmq_clock_seconds();
        fmq_object_t *object = fmq_state_encode(schema, vector, codec, NULL);
        double encoded = fmq_clock_seconds();
        for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
            size_t size;
            const void *data = fmq_object_chunk(object, i, &size);
            (void)fmq_state_decode(schema, i, data, size, copy, NULL);
        }
        double decoded = fmq_clock_seconds();
        (void)printf("%-5s convert %5.2f GB/s  encode with digest %5.2f GB/s  decode %5.2f GB/s  "
                     "framing %.4f %%\n",
                     ops->name, bytes / (converted - began), bytes / (encoded - converted),
                     bytes / (decoded - encoded),
                     100.0 *
                         ((double)fmq_object_bytes(object) / (double)ops->bytes(STATE_SIZE) - 1.0));
        fmq_object_drop(&object);
    }
    free(vector);
    free(copy);
    fmq_schema_destroy(&schema);
}

int main(int argc, char **argv)
{
    long given = argc > 1 ? strtol(argv[1], NULL, 10) : 256;
    size_t megabytes = given > 0 && given <= 4096 ? (size_t)given : 256;
    fmq_object_t *object = object_of(megabytes);
    measure_fabric("inproc", "inproc://bench", "inproc://raw", object, megabytes);
    measure_fabric("tcp", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*", object, megabytes);
    fmq_object_drop(&object);
    measure_state();
    return 0;
}
