/*
 * inbox.c - latest values, and which of them are news.
 */
#include "broker/inbox.h"

#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#define KEY_SIZE (2 * FMQ_MEMBER_NAME_MAX + FMQ_TOPIC_MAX)

typedef struct {
    fmq_message_t head;
    fmq_frame_t *body; /* owned; NULL once given to the actor, and for members */
    bool news;
} item_t;

struct fmq_inbox {
    zhashx_t *items; /* "from to topic", or a member's name -> item_t, owned */
    zlistx_t *news;  /* item_t, borrowed */
};

static void item_destroy(void **item_p)
{
    item_t *item = *item_p;
    fmq_frame_destroy(&item->body);
    free(item);
    *item_p = NULL;
}

fmq_inbox_t *fmq_inbox_new(void)
{
    fmq_inbox_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->items = zhashx_new();
    self->news = zlistx_new();
    if (!self->items || !self->news) {
        fmq_inbox_destroy(&self);
        return NULL;
    }
    zhashx_set_destructor(self->items, item_destroy);
    return self;
}

void fmq_inbox_destroy(fmq_inbox_t **self_p)
{
    fmq_inbox_t *self = *self_p;
    if (!self)
        return;
    zlistx_destroy(&self->news);
    zhashx_destroy(&self->items);
    free(self);
    *self_p = NULL;
}

static item_t *item_at(fmq_inbox_t *self, const char *key)
{
    item_t *item = zhashx_lookup(self->items, key);
    if (item)
        return item;
    item = calloc(1, sizeof *item);
    if (item && zhashx_insert(self->items, key, item) < 0) {
        free(item);
        return NULL;
    }
    return item;
}

static int make_news(fmq_inbox_t *self, item_t *item)
{
    if (item->news)
        return 0;
    item->news = zlistx_add_end(self->news, item) != NULL;
    return item->news ? 0 : -1;
}

int fmq_inbox_note(fmq_inbox_t *self, const fmq_message_t *note, fmq_frame_t **body_p)
{
    char key[KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s %s %s", note->name, note->audience, note->topic);
    item_t *item = item_at(self, key);
    if (!item)
        return -1;
    if (item->head.version >= note->version)
        return 0;
    if (make_news(self, item) < 0)
        return -1;
    fmq_frame_destroy(&item->body);
    item->head = *note;
    item->body = *body_p;
    *body_p = NULL;
    return 0;
}

int fmq_inbox_member(fmq_inbox_t *self, const fmq_message_t *member)
{
    item_t *item = item_at(self, member->name);
    if (!item || make_news(self, item) < 0)
        return -1;
    item->head = *member;
    return 0;
}

bool fmq_inbox_next(fmq_inbox_t *self, fmq_event_t *event, fmq_frame_t **body_p)
{
    item_t *item = zlistx_detach(self->news, NULL);
    if (!item)
        return false;
    item->news = false;
    const fmq_message_t *head = &item->head;
    bool note = head->type == FMQ_MESSAGE_NOTE;
    *event = (fmq_event_t){.type = note ? FMQ_EVENT_NOTE : FMQ_EVENT_MEMBER,
                           .role = head->role,
                           .alive = note || head->alive,
                           .step = head->step,
                           .steps = head->steps,
                           .version = head->version};
    memcpy(event->member, head->name, sizeof event->member);
    memcpy(event->topic, head->topic, sizeof event->topic);
    *body_p = item->body;
    item->body = NULL;
    return true;
}
