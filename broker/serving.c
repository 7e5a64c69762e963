/*
 * serving.c - a list of streams, served in turn.
 *
 * Those that may send are at the front, those that wait for credit behind
 * them, so that pumping looks at no stream in vain.
 */
#include "broker/serving.h"

#include <stdlib.h>

#include <czmq.h>

#define KEY_SIZE 16

typedef struct {
    fmq_stream_t stream;
    void *place; /* in the list `ready`; NULL: it waits for credit */
} served_t;

struct fmq_serving {
    zhashx_t *streams; /* ticket -> served_t, owned */
    zlistx_t *ready;   /* served_t, borrowed */
};

static void served_destroy(void **item)
{
    served_t *served = *item;
    fmq_stream_close(&served->stream);
    free(served);
    *item = NULL;
}

static void key_of(uint32_t ticket, char key[KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, "%u", ticket);
}

fmq_serving_t *fmq_serving_new(void)
{
    fmq_serving_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->streams = zhashx_new();
    self->ready = zlistx_new();
    if (!self->streams || !self->ready) {
        fmq_serving_destroy(&self);
        return NULL;
    }
    zhashx_set_destructor(self->streams, served_destroy);
    return self;
}

void fmq_serving_destroy(fmq_serving_t **self_p)
{
    fmq_serving_t *self = *self_p;
    if (!self)
        return;
    zlistx_destroy(&self->ready);
    zhashx_destroy(&self->streams);
    free(self);
    *self_p = NULL;
}

static served_t *find(fmq_serving_t *self, uint32_t ticket)
{
    char key[KEY_SIZE];
    key_of(ticket, key);
    return zhashx_lookup(self->streams, key);
}

static void make_ready(fmq_serving_t *self, served_t *served)
{
    if (!served->place && fmq_stream_ready(&served->stream))
        served->place = zlistx_add_end(self->ready, served);
}

static void forget(fmq_serving_t *self, served_t *served)
{
    char key[KEY_SIZE];
    if (served->place)
        (void)zlistx_detach(self->ready, served->place);
    key_of(served->stream.ticket, key);
    zhashx_delete(self->streams, key);
}

int fmq_serving_fetch(fmq_serving_t *self, const fmq_message_t *fetch, fmq_object_t *object,
                      fmq_error_t *err)
{
    char key[KEY_SIZE];
    key_of(fetch->ticket, key);
    fmq_serving_cancel(self, fetch->ticket);
    if (zhashx_size(self->streams) >= FMQ_SERVING_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "%u fetches are being served already",
                             FMQ_SERVING_MAX);
    served_t *served = calloc(1, sizeof *served);
    if (!served)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a stream");
    if (fmq_stream_open(&served->stream, object, fetch->ticket, fetch->index, fetch->credit, err) <
        0) {
        free(served);
        return -1;
    }
    if (zhashx_insert(self->streams, key, served) < 0) {
        fmq_stream_close(&served->stream);
        free(served);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a stream");
    }
    make_ready(self, served);
    return 0;
}

void fmq_serving_credit(fmq_serving_t *self, const fmq_message_t *credit)
{
    served_t *served = find(self, credit->ticket);
    if (!served)
        return;
    uint32_t room = FMQ_WIRE_CREDIT_MAX - served->stream.credit;
    served->stream.credit += credit->credit < room ? credit->credit : room;
    make_ready(self, served);
}

void fmq_serving_cancel(fmq_serving_t *self, uint32_t ticket)
{
    served_t *served = find(self, ticket);
    if (served)
        forget(self, served);
}

void fmq_serving_reset(fmq_serving_t *self)
{
    zlistx_purge(self->ready);
    zhashx_purge(self->streams);
}

/* Passes one chunk on, and remembers whether the sink took it. */
typedef struct {
    fmq_stream_send_fn *send;
    void *argument;
    bool taken, refused;
} single_t;

static int send_single(void *argument, const fmq_message_t *chunk, fmq_frame_t **payload_p)
{
    single_t *single = argument;
    if (single->taken)
        return -1;
    single->refused = single->send(single->argument, chunk, payload_p) < 0;
    single->taken = !single->refused;
    return single->refused ? -1 : 0;
}

bool fmq_serving_pump(fmq_serving_t *self, fmq_stream_send_fn *send, void *argument)
{
    served_t *served;
    while ((served = zlistx_detach(self->ready, NULL))) {
        single_t single = {.send = send, .argument = argument};
        served->place = NULL;
        if (fmq_stream_pump(&served->stream, send_single, &single))
            forget(self, served);
        else
            make_ready(self, served);
        if (single.refused)
            return true;
    }
    return false;
}

size_t fmq_serving_size(const fmq_serving_t *self)
{
    return zhashx_size(self->streams);
}
