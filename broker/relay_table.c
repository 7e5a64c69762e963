/*
 * relay_table.c - finding, beginning and sweeping away relays.
 */
#include "broker/relay_table.h"

#include <stdlib.h>

#define KEY_SIZE (FMQ_MEMBER_NAME_MAX + 16)

static void relay_destroy(void **item)
{
    fmq_relay_t *relay = *item;
    fmq_backlog_release(&relay->backlog);
    fmq_stream_close(&relay->stream);
    fmq_assembly_release(&relay->pulled);
    free(relay);
    *item = NULL;
}

int fmq_relay_table_init(fmq_relay_table_t *self)
{
    self->relays = zhashx_new();
    self->tickets = zhashx_new();
    self->done = zlistx_new();
    if (!self->relays || !self->tickets || !self->done)
        return -1;
    zhashx_set_destructor(self->relays, relay_destroy);
    return 0;
}

void fmq_relay_table_release(fmq_relay_table_t *self)
{
    zlistx_destroy(&self->done);
    zhashx_destroy(&self->tickets);
    zhashx_destroy(&self->relays);
}

static void key_of(const char *reader, uint32_t ticket, char key[KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, "%s %u", reader, ticket);
}

bool fmq_relay_is_pull(const fmq_relay_t *relay)
{
    return relay->reader[0] == '\0';
}

fmq_relay_t *fmq_relay_table_add(fmq_relay_table_t *self, const fmq_relay_t *like, fmq_error_t *err)
{
    char key[KEY_SIZE];
    fmq_relay_t *relay = calloc(1, sizeof *relay);
    key_of(like->reader, like->reader_ticket, key);
    if (!relay || zhashx_insert(self->relays, key, relay) < 0) {
        free(relay);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a relay");
        return NULL;
    }
    *relay = *like;
    return relay;
}

fmq_relay_t *fmq_relay_table_of_reader(fmq_relay_table_t *self, const char *reader, uint32_t ticket)
{
    char key[KEY_SIZE];
    key_of(reader, ticket, key);
    return zhashx_lookup(self->relays, key);
}

fmq_relay_t *fmq_relay_table_of_ticket(fmq_relay_table_t *self, uint32_t ticket)
{
    char key[KEY_SIZE];
    key_of("", ticket, key);
    return zhashx_lookup(self->tickets, key);
}

static void forget_ticket(fmq_relay_table_t *self, const fmq_relay_t *relay)
{
    char key[KEY_SIZE];
    key_of("", relay->ticket, key);
    zhashx_delete(self->tickets, key);
}

int fmq_relay_table_renew_ticket(fmq_relay_table_t *self, fmq_relay_t *relay)
{
    char key[KEY_SIZE];
    forget_ticket(self, relay);
    relay->ticket = ++self->ticket;
    key_of("", relay->ticket, key);
    return zhashx_insert(self->tickets, key, relay);
}

zlistx_t *fmq_relay_table_list(fmq_relay_table_t *self)
{
    zlistx_t *all = zlistx_new();
    for (fmq_relay_t *relay = zhashx_first(self->relays); all && relay;
         relay = zhashx_next(self->relays))
        (void)zlistx_add_end(all, relay);
    return all;
}

void fmq_relay_table_finish(fmq_relay_table_t *self, fmq_relay_t *relay)
{
    if (relay->source == FMQ_SOURCE_DONE)
        return;
    forget_ticket(self, relay);
    relay->source = FMQ_SOURCE_DONE;
    (void)zlistx_add_end(self->done, relay);
}

void fmq_relay_table_sweep(fmq_relay_table_t *self)
{
    const fmq_relay_t *relay;
    while ((relay = zlistx_detach(self->done, NULL))) {
        char key[KEY_SIZE];
        key_of(relay->reader, relay->reader_ticket, key);
        zhashx_delete(self->relays, key);
    }
}
