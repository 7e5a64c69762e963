/*
 * retained.c - notes, readers, and the copies that readers still have to get.
 *
 * Notes stand on shelves, one for each audience ("client-3", "@client", "*"),
 * in the order in which they first came: who joins is given three shelves,
 * however many notes there are for others.  A copy ties one note to one reader
 * that it is for.  Copies that were never sent in their present version are in
 * the list `fresh`, those that wait for an acknowledgement in `waiting`; the
 * others are in no list.
 */
#include "broker/retained.h"

#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "broker/audience.h"
#include "broker/permission.h"

#define READERS_MAX 65536 /* beyond it those that are gone are forgotten */
#define KEY_SIZE    (2 * FMQ_MEMBER_NAME_MAX + FMQ_TOPIC_MAX)

typedef struct note {
    fmq_message_t head;
    uint8_t *body; /* owned */
    size_t size;
    struct note *next; /* of the same audience; borrowed */
} note_t;

typedef struct {
    note_t *first, *last; /* borrowed */
} shelf_t;

typedef struct copy {
    note_t *note; /* borrowed */
    struct reader *reader;
    uint64_t acked; /* version */
    int64_t sent_ms;
    struct copy *before, *after; /* both NULL: in no list */
} copy_t;

typedef struct reader {
    char name[FMQ_MEMBER_NAME_MAX];
    fmq_role_t role;
    bool present;
    zhashx_t *copies; /* note key -> copy_t, owned */
} reader_t;

/* How much one sender has here. */
typedef struct {
    uint64_t floor, bytes;
    uint32_t notes;
} sender_t;

struct fmq_retained {
    uint32_t resend_ms;
    zhashx_t *notes;   /* key -> note_t, owned */
    zhashx_t *shelves; /* audience -> shelf_t, owned */
    zhashx_t *readers; /* name -> reader_t, owned */
    zhashx_t *senders; /* name -> sender_t, owned */
    uint64_t bytes;
    copy_t fresh, waiting; /* heads of circular lists */
};

static void key_of(const char *from, const char *to, const char *topic, char key[KEY_SIZE])
{
    (void)snprintf(key, KEY_SIZE, "%s %s %s", from, to, topic);
}

static void note_destroy(void **item)
{
    note_t *note = *item;
    free(note->body);
    free(note);
    *item = NULL;
}

static void copy_unlink(copy_t *copy)
{
    if (!copy->before)
        return;
    copy->before->after = copy->after;
    copy->after->before = copy->before;
    copy->before = copy->after = NULL;
}

static void copy_append(copy_t *list, copy_t *copy)
{
    copy_unlink(copy);
    copy->before = list->before;
    copy->after = list;
    list->before->after = copy;
    list->before = copy;
}

static void copy_destroy(void **item)
{
    copy_unlink(*item);
    free(*item);
    *item = NULL;
}

static void reader_destroy(void **item)
{
    reader_t *reader = *item;
    zhashx_destroy(&reader->copies);
    free(reader);
    *item = NULL;
}

static void plain_destroy(void **item)
{
    free(*item);
    *item = NULL;
}

fmq_retained_t *fmq_retained_new(uint32_t resend_ms)
{
    fmq_retained_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->resend_ms = resend_ms;
    self->fresh.before = self->fresh.after = &self->fresh;
    self->waiting.before = self->waiting.after = &self->waiting;
    self->notes = zhashx_new();
    self->readers = zhashx_new();
    self->senders = zhashx_new();
    self->shelves = zhashx_new();
    if (!self->notes || !self->readers || !self->senders || !self->shelves) {
        fmq_retained_destroy(&self);
        return NULL;
    }
    zhashx_set_destructor(self->notes, note_destroy);
    zhashx_set_destructor(self->readers, reader_destroy);
    zhashx_set_destructor(self->senders, plain_destroy);
    zhashx_set_destructor(self->shelves, plain_destroy);
    return self;
}

void fmq_retained_destroy(fmq_retained_t **self_p)
{
    fmq_retained_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->readers); /* copies first: they point to notes */
    zhashx_destroy(&self->notes);
    zhashx_destroy(&self->senders);
    zhashx_destroy(&self->shelves);
    free(self);
    *self_p = NULL;
}

static bool is_for(const note_t *note, const reader_t *reader)
{
    return strcmp(note->head.name, reader->name) != 0 &&
           fmq_audience_includes(note->head.audience, reader->name, fmq_role_name(reader->role)) &&
           fmq_role_may_reach(note->head.role, reader->role);
}

/* Puts the copy where its version says it belongs. */
static void place_copy(fmq_retained_t *self, copy_t *copy)
{
    if (!copy->reader->present || copy->acked >= copy->note->head.version)
        copy_unlink(copy);
    else
        copy_append(&self->fresh, copy);
}

static int hand_to(fmq_retained_t *self, note_t *note, const char *key, reader_t *reader,
                   fmq_error_t *err)
{
    if (!is_for(note, reader))
        return 0;
    copy_t *copy = zhashx_lookup(reader->copies, key);
    if (!copy) {
        copy = calloc(1, sizeof *copy);
        if (!copy || zhashx_insert(reader->copies, key, copy) < 0) {
            free(copy);
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a note's copy");
        }
        copy->note = note;
        copy->reader = reader;
    }
    place_copy(self, copy);
    return 0;
}

static int hand_to_all(fmq_retained_t *self, note_t *note, const char *key, fmq_error_t *err)
{
    if (!fmq_audience_is_many(note->head.audience)) {
        reader_t *reader = zhashx_lookup(self->readers, note->head.audience);
        return reader ? hand_to(self, note, key, reader, err) : 0;
    }
    for (reader_t *reader = zhashx_first(self->readers); reader;
         reader = zhashx_next(self->readers))
        if (hand_to(self, note, key, reader, err) < 0)
            return -1;
    return 0;
}

/* What a table has under key, of zeros when there was nothing; NULL: no memory. */
static void *entry_of(zhashx_t *table, const char *key, size_t size)
{
    void *entry = zhashx_lookup(table, key);
    if (entry)
        return entry;
    entry = calloc(1, size);
    if (entry && zhashx_insert(table, key, entry) < 0) {
        free(entry);
        return NULL;
    }
    return entry;
}

/* Whether a sender may have so many more notes and bytes. */
static int check_limits(const fmq_retained_t *self, const sender_t *sender, fmq_role_t role,
                        uint64_t more_bytes, uint32_t more_notes, fmq_error_t *err)
{
    bool many = fmq_role_may_address(role, "*");
    uint32_t notes_max = many ? FMQ_NOTES_MAX : FMQ_NOTES_FEW;
    uint64_t bytes_max = many ? FMQ_NOTES_BYTES_MAX : FMQ_NOTES_FEW_BYTES;
    if (sender->notes + more_notes > notes_max || sender->bytes + more_bytes > bytes_max ||
        zhashx_size(self->notes) + more_notes > FMQ_NOTES_MAX ||
        self->bytes + more_bytes > FMQ_NOTES_BYTES_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "too many notes: a %s may leave %u with %llu bytes in all",
                             fmq_role_name(role), notes_max, (unsigned long long)bytes_max);
    return 0;
}

/* A note under a key that has none, on its shelf. */
static note_t *note_new(fmq_retained_t *self, const char *key, const char *audience,
                        sender_t *sender)
{
    shelf_t *shelf = entry_of(self->shelves, audience, sizeof *shelf);
    note_t *note = shelf ? entry_of(self->notes, key, sizeof *note) : NULL;
    if (!note)
        return NULL;
    *(shelf->last ? &shelf->last->next : &shelf->first) = note;
    shelf->last = note;
    sender->notes++;
    return note;
}

int fmq_retained_put(fmq_retained_t *self, const fmq_message_t *head, const void *body, size_t size,
                     fmq_error_t *err)
{
    char key[KEY_SIZE];
    key_of(head->name, head->audience, head->topic, key);
    sender_t *sender = entry_of(self->senders, head->name, sizeof *sender);
    note_t *note = zhashx_lookup(self->notes, key);
    if (note && note->head.version >= head->version)
        return 0;
    size_t had = note ? note->size : 0;
    uint64_t more = size > had ? size - had : 0;
    if (!sender)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a sender of notes");
    if (check_limits(self, sender, head->role, more, note ? 0 : 1, err) < 0)
        return -1;
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (!copy || (!note && !(note = note_new(self, key, head->audience, sender)))) {
        free(copy);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a note of %zu bytes", size);
    }
    if (size > 0)
        memcpy(copy, body, size);
    free(note->body);
    note->head = *head;
    note->body = copy;
    note->size = size;
    sender->bytes += size - had;
    self->bytes += size - had;
    if (head->version > sender->floor)
        sender->floor = head->version;
    return hand_to_all(self, note, key, err);
}

uint64_t fmq_retained_floor(const fmq_retained_t *self, const char *name)
{
    const sender_t *sender = zhashx_lookup(self->senders, name);
    return sender ? sender->floor : 0;
}

/* Forgets the readers that are gone, so that names that come and go do not
 * fill memory. */
static void forget_absent(fmq_retained_t *self)
{
    zlistx_t *names = zhashx_keys(self->readers);
    for (const char *name = names ? zlistx_first(names) : NULL; name; name = zlistx_next(names)) {
        const reader_t *reader = zhashx_lookup(self->readers, name);
        if (!reader->present)
            zhashx_delete(self->readers, name);
    }
    zlistx_destroy(&names);
}

static reader_t *reader_new(const char *name)
{
    reader_t *reader = calloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->copies = zhashx_new();
    if (!reader->copies) {
        free(reader);
        return NULL;
    }
    zhashx_set_destructor(reader->copies, copy_destroy);
    (void)snprintf(reader->name, sizeof reader->name, "%s", name);
    return reader;
}

/* All that is for a reader: by its name, for its role, for everybody. */
static int hand_shelves_to(fmq_retained_t *self, reader_t *reader, fmq_error_t *err)
{
    char role[FMQ_MEMBER_NAME_MAX];
    (void)snprintf(role, sizeof role, "@%s", fmq_role_name(reader->role));
    const char *const audiences[] = {reader->name, role, "*"};
    for (size_t i = 0; i < sizeof audiences / sizeof *audiences; i++) {
        const shelf_t *shelf = zhashx_lookup(self->shelves, audiences[i]);
        for (note_t *note = shelf ? shelf->first : NULL; note; note = note->next) {
            char key[KEY_SIZE];
            key_of(note->head.name, note->head.audience, note->head.topic, key);
            if (hand_to(self, note, key, reader, err) < 0)
                return -1;
        }
    }
    return 0;
}

int fmq_retained_join(fmq_retained_t *self, const char *name, fmq_role_t role, bool anew,
                      fmq_error_t *err)
{
    reader_t *reader = zhashx_lookup(self->readers, name);
    if (!reader) {
        if (zhashx_size(self->readers) >= READERS_MAX)
            forget_absent(self);
        reader = reader_new(name);
        if (!reader || zhashx_insert(self->readers, name, reader) < 0) {
            if (reader)
                zhashx_destroy(&reader->copies);
            free(reader);
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a reader of notes");
        }
    } else if (anew) {
        zhashx_purge(reader->copies);
    }
    reader->role = role;
    reader->present = true;
    return hand_shelves_to(self, reader, err);
}

void fmq_retained_leave(fmq_retained_t *self, const char *name)
{
    reader_t *reader = zhashx_lookup(self->readers, name);
    if (!reader)
        return;
    reader->present = false;
    for (copy_t *copy = zhashx_first(reader->copies); copy; copy = zhashx_next(reader->copies))
        copy_unlink(copy);
}

void fmq_retained_ack(fmq_retained_t *self, const char *name, const fmq_message_t *ack)
{
    char key[KEY_SIZE];
    key_of(ack->name, ack->audience, ack->topic, key);
    reader_t *reader = zhashx_lookup(self->readers, name);
    copy_t *copy = reader ? zhashx_lookup(reader->copies, key) : NULL;
    if (!copy || ack->version > copy->note->head.version || ack->version <= copy->acked)
        return;
    copy->acked = ack->version;
    if (copy->acked == copy->note->head.version)
        copy_unlink(copy);
}

/* Sends one copy and moves it among those that wait.  -1: not now. */
static int send_copy(fmq_retained_t *self, copy_t *copy, int64_t now_ms, fmq_retained_send_fn *send,
                     void *argument)
{
    const note_t *note = copy->note;
    if (send(argument, copy->reader->name, &note->head, note->body, note->size) < 0)
        return -1;
    copy->sent_ms = now_ms;
    copy_append(&self->waiting, copy);
    return 0;
}

void fmq_retained_flush(fmq_retained_t *self, int64_t now_ms, bool again,
                        fmq_retained_send_fn *send, void *argument)
{
    const copy_t *last = self->fresh.before;
    for (copy_t *copy = self->fresh.after; copy != &self->fresh;) {
        copy_t *after = copy->after;
        bool end = copy == last;
        (void)send_copy(self, copy, now_ms, send, argument);
        if (end)
            break;
        copy = after;
    }
    if (!again)
        return;
    /* Oldest first: whatever is sent again goes to the end, with a new time. */
    for (copy_t *copy = self->waiting.after; copy != &self->waiting;) {
        copy_t *after = copy->after;
        if (now_ms - copy->sent_ms < (int64_t)self->resend_ms)
            break;
        (void)send_copy(self, copy, now_ms, send, argument);
        copy = after;
    }
}

size_t fmq_retained_size(const fmq_retained_t *self)
{
    return zhashx_size(self->notes);
}

uint64_t fmq_retained_bytes(const fmq_retained_t *self)
{
    return self->bytes;
}
