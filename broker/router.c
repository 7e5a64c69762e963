/*
 * router.c - the router's life: endpoints, thread, counters.
 *
 * What it does with messages is in routing.c.
 */
#include "fedmq/broker/router.h"

#include <stdlib.h>
#include <string.h>

#include "broker/actor.h"
#include "broker/router_state.h"
#include "fedmq/base/clock.h"

#define HEARTBEAT_MS    1000
#define TIMEOUT_MS      10000
#define STORE_BYTES_MAX (UINT64_C(4) << 30) /* of a store of its own */
#define MESSAGES_A_TURN 256

struct fmq_router {
    zactor_t *actor; /* owned */
    fmq_router_state_t state;
    fmq_store_t *own_store; /* owned; NULL when one was given */
    fmq_tally_t tally;
    atomic_bool ended; /* orders the thread's memory for checkers that cannot see ZeroMQ's */
    size_t size;
    char endpoints[FMQ_ROUTER_ENDPOINTS_MAX][FMQ_ENDPOINT_MAX];
};

/* The router's thread: handles messages until $TERM. */
static void run(zsock_t *pipe, void *argument)
{
    fmq_router_t *self = argument;
    zmq_pollitem_t items[2] = {
        {.socket = zsock_resolve(pipe), .events = ZMQ_POLLIN},
        {.socket = zsock_resolve(self->state.socket), .events = ZMQ_POLLIN},
    };
    zsock_signal(pipe, 0);
    bool ended = false;
    while (!ended) {
        int rc = zmq_poll(items, 2, fmq_router_state_wait(&self->state));
        if (rc < 0 && errno == ETERM)
            break;
        self->state.now_ms = fmq_clock_ms();
        fmq_router_state_receive(&self->state, MESSAGES_A_TURN);
        fmq_router_state_tick(&self->state);
        if (rc > 0 && (items[0].revents & ZMQ_POLLIN)) {
            char *command = zstr_recv(pipe);
            ended = !command || strcmp(command, "$TERM") == 0;
            zstr_free(&command);
        }
    }
    atomic_store_explicit(&self->ended, true, memory_order_release);
}

static int bind_all(fmq_router_t *self, const fmq_router_options_t *options, fmq_error_t *err)
{
    while (self->size < FMQ_ROUTER_ENDPOINTS_MAX && options->endpoints[self->size]) {
        if (fmq_socket_bind(self->state.socket, options->endpoints[self->size], options->insecure,
                            self->endpoints[self->size], err) < 0)
            return -1;
        self->size++;
    }
    return self->size > 0
               ? 0
               : fmq_error_set(err, FMQ_ERR_CONFIG, "a router needs at least one endpoint to bind");
}

static int prepare(fmq_router_t *self, const fmq_router_options_t *options, fmq_error_t *err)
{
    fmq_router_state_t *state = &self->state;
    state->heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : HEARTBEAT_MS;
    state->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    state->log = options->log;
    state->tally = &self->tally;
    state->now_ms = fmq_clock_ms();
    state->store = options->store;
    if (!state->store)
        state->store = self->own_store = fmq_store_new(STORE_BYTES_MAX);
    if (!state->store)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a store");
    if (fmq_actor_ask("the router", err) < 0)
        return -1;
    state->socket = fmq_socket_router(err);
    if (!state->socket || fmq_router_state_init(state, err) < 0)
        return -1;
    return bind_all(self, options, err);
}

fmq_router_t *fmq_router_new(const fmq_router_options_t *options, fmq_error_t *err)
{
    fmq_router_t *self = calloc(1, sizeof *self);
    if (!self) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a router");
        return NULL;
    }
    if (prepare(self, options, err) < 0)
        goto fail;
    self->actor = fmq_actor_start(run, self, "the router", err);
    if (!self->actor)
        goto fail;
    return self;
fail:
    fmq_router_destroy(&self);
    return NULL;
}

void fmq_router_destroy(fmq_router_t **self_p)
{
    fmq_router_t *self = *self_p;
    if (!self)
        return;
    zactor_destroy(&self->actor);
    (void)atomic_load_explicit(&self->ended, memory_order_acquire);
    for (size_t i = 0; i < self->size; i++)
        fmq_socket_unbind(self->state.socket, self->endpoints[i]);
    fmq_router_state_release(&self->state);
    fmq_store_destroy(&self->own_store);
    free(self);
    *self_p = NULL;
}

const char *fmq_router_endpoint(const fmq_router_t *self, size_t index)
{
    return index < self->size ? self->endpoints[index] : NULL;
}

fmq_router_counters_t fmq_router_counters(fmq_router_t *self)
{
    fmq_tally_t *tally = &self->tally;
    return (fmq_router_counters_t){
        .messages_in = atomic_load(&tally->messages_in),
        .messages_out = atomic_load(&tally->messages_out),
        .bytes_in = atomic_load(&tally->bytes_in),
        .bytes_out = atomic_load(&tally->bytes_out),
        .dropped_malformed = atomic_load(&tally->malformed),
        .dropped_denied = atomic_load(&tally->denied),
        .dropped_limit = atomic_load(&tally->limit),
        .dropped_unroutable = atomic_load(&tally->unroutable),
        .members = (uint32_t)atomic_load(&tally->members),
    };
}
