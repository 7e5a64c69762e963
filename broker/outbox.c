/*
 * outbox.c - announcements and their acknowledgements.
 *
 * Announcements that the router has not acknowledged are in one list; a walk
 * over it is all that sending needs.
 */
#include "broker/outbox.h"

#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#define KEY_SIZE (FMQ_DIGEST_HEX_SIZE + FMQ_MEMBER_NAME_MAX + FMQ_TOPIC_MAX)

typedef struct announcement {
    fmq_message_t head;
    uint8_t *body; /* owned; NULL for a publication */
    size_t size;
    bool sent;
    int64_t sent_ms;
    struct announcement *before, *after; /* both NULL: acknowledged */
} announcement_t;

struct fmq_outbox {
    zhashx_t *notes;        /* "to topic" -> announcement_t, owned */
    zhashx_t *publications; /* "digest readers" -> announcement_t, owned */
    announcement_t pending; /* head of a circular list */
    size_t notes_pending;
    uint64_t first, version;
    bool settled; /* versions are above those of a former life */
    uint32_t resend_ms;
};

static void unlink_announcement(announcement_t *item)
{
    if (!item->before)
        return;
    item->before->after = item->after;
    item->after->before = item->before;
    item->before = item->after = NULL;
}

static bool is_note(const announcement_t *item)
{
    return item->head.type == FMQ_MESSAGE_NOTE;
}

static void set_pending(fmq_outbox_t *self, announcement_t *item, bool pending)
{
    bool was = item->before != NULL;
    item->sent = false;
    if (was == pending)
        return;
    if (is_note(item))
        self->notes_pending += pending ? 1 : SIZE_MAX;
    if (!pending) {
        unlink_announcement(item);
        return;
    }
    item->before = self->pending.before;
    item->after = &self->pending;
    self->pending.before->after = item;
    self->pending.before = item;
}

static void announcement_destroy(void **item_p)
{
    announcement_t *item = *item_p;
    unlink_announcement(item);
    free(item->body);
    free(item);
    *item_p = NULL;
}

fmq_outbox_t *fmq_outbox_new(uint64_t first, uint32_t resend_ms)
{
    fmq_outbox_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->first = self->version = first;
    self->resend_ms = resend_ms;
    self->pending.before = self->pending.after = &self->pending;
    self->notes = zhashx_new();
    self->publications = zhashx_new();
    if (!self->notes || !self->publications) {
        fmq_outbox_destroy(&self);
        return NULL;
    }
    zhashx_set_destructor(self->notes, announcement_destroy);
    zhashx_set_destructor(self->publications, announcement_destroy);
    return self;
}

void fmq_outbox_destroy(fmq_outbox_t **self_p)
{
    fmq_outbox_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->notes);
    zhashx_destroy(&self->publications);
    free(self);
    *self_p = NULL;
}

static announcement_t *item_at(zhashx_t *table, const char *key)
{
    announcement_t *item = zhashx_lookup(table, key);
    if (item)
        return item;
    item = calloc(1, sizeof *item);
    if (item && zhashx_insert(table, key, item) < 0) {
        free(item);
        return NULL;
    }
    return item;
}

static void note_key(const fmq_message_t *head, char key[KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, "%s %s", head->audience, head->topic);
}

static void publication_key(const fmq_message_t *head, char key[KEY_SIZE])
{
    fmq_digest_hex(&head->digest, key);
    (void)snprintf(key + FMQ_DIGEST_HEX_SIZE - 1, KEY_SIZE - FMQ_DIGEST_HEX_SIZE + 1, " %s",
                   head->audience);
}

int fmq_outbox_note(fmq_outbox_t *self, const fmq_message_t *head, const void *body, size_t size)
{
    char key[KEY_SIZE];
    note_key(head, key);
    uint8_t *copy = malloc(size > 0 ? size : 1);
    announcement_t *item = copy ? item_at(self->notes, key) : NULL;
    if (!item) {
        free(copy);
        return -1;
    }
    if (size > 0)
        memcpy(copy, body, size);
    free(item->body);
    item->head = *head;
    item->head.type = FMQ_MESSAGE_NOTE;
    item->head.version = self->version++;
    item->body = copy;
    item->size = size;
    set_pending(self, item, true);
    return 0;
}

int fmq_outbox_publish(fmq_outbox_t *self, const fmq_message_t *publish)
{
    char key[KEY_SIZE];
    publication_key(publish, key);
    announcement_t *item = item_at(self->publications, key);
    if (!item)
        return -1;
    item->head = *publish;
    set_pending(self, item, true);
    return 0;
}

void fmq_outbox_withdraw(fmq_outbox_t *self, const fmq_digest_t *digest)
{
    zlistx_t *keys = zhashx_keys(self->publications);
    for (const char *key = keys ? zlistx_first(keys) : NULL; key; key = zlistx_next(keys)) {
        const announcement_t *item = zhashx_lookup(self->publications, key);
        if (fmq_digest_equal(&item->head.digest, digest))
            zhashx_delete(self->publications, key);
    }
    zlistx_destroy(&keys);
}

void fmq_outbox_note_acked(fmq_outbox_t *self, const fmq_message_t *ack)
{
    char key[KEY_SIZE];
    note_key(ack, key);
    announcement_t *item = zhashx_lookup(self->notes, key);
    if (item && ack->version == item->head.version)
        set_pending(self, item, false);
}

void fmq_outbox_published(fmq_outbox_t *self, const fmq_message_t *published)
{
    char key[KEY_SIZE];
    publication_key(published, key);
    announcement_t *item = zhashx_lookup(self->publications, key);
    if (item)
        set_pending(self, item, false);
}

/* A former life of this name may have used versions that the wall clock does
 * not show, when it was set back: move above them before the first sending. */
static void settle(fmq_outbox_t *self, uint64_t floor)
{
    if (self->settled)
        return;
    self->settled = true;
    if (floor < self->first)
        return;
    uint64_t shift = floor + 1 - self->first;
    self->version += shift;
    for (announcement_t *item = zhashx_first(self->notes); item; item = zhashx_next(self->notes))
        item->head.version += shift;
}

void fmq_outbox_welcome(fmq_outbox_t *self, uint64_t floor)
{
    settle(self, floor);
    for (announcement_t *item = zhashx_first(self->publications); item;
         item = zhashx_next(self->publications))
        set_pending(self, item, true);
    for (announcement_t *item = zhashx_first(self->notes); item; item = zhashx_next(self->notes))
        set_pending(self, item, true);
}

static int send_item(const announcement_t *item, fmq_outbox_send_fn *send, void *argument)
{
    if (!is_note(item))
        return send(argument, &item->head, NULL);
    fmq_frame_t *payload = fmq_frame_copy(item->body, item->size);
    int rc = payload ? send(argument, &item->head, &payload) : -1;
    fmq_frame_destroy(&payload);
    return rc;
}

void fmq_outbox_flush(fmq_outbox_t *self, int64_t now_ms, fmq_outbox_send_fn *send, void *argument)
{
    for (announcement_t *item = self->pending.after; item != &self->pending; item = item->after) {
        if (item->sent && now_ms - item->sent_ms < (int64_t)self->resend_ms)
            continue;
        if (send_item(item, send, argument) < 0)
            return;
        item->sent = true;
        item->sent_ms = now_ms;
    }
}

bool fmq_outbox_pending(const fmq_outbox_t *self)
{
    return self->pending.after != &self->pending;
}

bool fmq_outbox_notes_pending(const fmq_outbox_t *self)
{
    return self->notes_pending > 0;
}

const fmq_digest_t *fmq_outbox_next(fmq_outbox_t *self, const fmq_digest_t *digest)
{
    const announcement_t *item =
        digest ? zhashx_next(self->publications) : zhashx_first(self->publications);
    return item ? &item->head.digest : NULL;
}
