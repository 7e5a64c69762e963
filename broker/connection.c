/*
 * connection.c - sockets by endpoint, counted by their users.
 */
#include "broker/connection.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_MS       1000 /* to find out who answers in the router's place */
#define PROBE_PAUSE_MS 2000 /* what was found out then is not asked again */

static fmq_connection_t *connection_new(fmq_connections_t *self, const char *endpoint,
                                        uint32_t timeout_ms, fmq_error_t *err)
{
    fmq_connection_t *made = calloc(1, sizeof *made);
    if (!made) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a connection");
        return NULL;
    }
    made->socket = fmq_socket_dealer(endpoint, timeout_ms, err);
    if (!made->socket) {
        free(made);
        return NULL;
    }
    (void)snprintf(made->endpoint, sizeof made->endpoint, "%s", endpoint);
    made->next = self->first;
    self->first = made;
    self->size++;
    return made;
}

fmq_connection_t *fmq_connections_join(fmq_connections_t *self, const char *endpoint,
                                       uint32_t timeout_ms, fmq_error_t *err)
{
    fmq_connection_t *at = self->first;
    while (at && (at->stale || strcmp(at->endpoint, endpoint) != 0))
        at = at->next;
    if (!at && !(at = connection_new(self, endpoint, timeout_ms, err)))
        return NULL;
    at->users++;
    return at;
}

void fmq_connections_part(fmq_connections_t *self, fmq_connection_t **connection_p, bool stale)
{
    fmq_connection_t *left = *connection_p;
    if (!left)
        return;
    *connection_p = NULL;
    left->stale = left->stale || stale;
    if (--left->users > 0)
        return;
    fmq_connection_t **place = &self->first;
    while (*place != left)
        place = &(*place)->next;
    *place = left->next;
    self->size--;
    zsock_destroy(&left->socket);
    free(left);
}

static void find_out(const char *endpoint, char *said, size_t capacity)
{
    fmq_endpoint_t where;
    fmq_error_t err;
    fmq_probe_t found = FMQ_PROBE_UNREACHED;
    char why[FMQ_PROBE_SAID_MAX] = "";
    if (fmq_endpoint_resolve(&where, endpoint, FMQ_ENDPOINT_CONNECT, &err) < 0) {
        (void)snprintf(said, capacity, "%s", err.text);
        return;
    }
    for (size_t i = 0; i < where.size && found == FMQ_PROBE_UNREACHED; i++)
        found = fmq_probe(where.places[i], PROBE_MS, why);
    (void)snprintf(said, capacity, "%s", why);
}

const char *fmq_connections_find_out(fmq_connections_t *self, const char *endpoint, int64_t now_ms)
{
    if (strcmp(self->probed, endpoint) == 0 && now_ms - self->probed_ms < PROBE_PAUSE_MS)
        return self->said;
    (void)snprintf(self->probed, sizeof self->probed, "%s", endpoint);
    find_out(endpoint, self->said, sizeof self->said);
    self->probed_ms = now_ms;
    return self->said;
}
