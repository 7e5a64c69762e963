/*
 * store.c - sealed objects by digest, under one lock.
 *
 * An entry lives while it has a publication: an (owner, readers) pair.  The
 * lock covers only the tables; bytes are read through references, without it.
 */
#include "fedmq/broker/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "broker/audience.h"

#define PUBLICATIONS_MAX 4096 /* of one object */

typedef struct {
    char owner[FMQ_MEMBER_NAME_MAX];
    char readers[FMQ_MEMBER_NAME_MAX];
} publication_t;

typedef struct {
    fmq_object_t *object;        /* owned reference */
    publication_t *publications; /* owned */
    size_t size, capacity;
} entry_t;

struct fmq_store {
    pthread_mutex_t lock;
    zhashx_t *entries; /* hex digest -> entry_t, owned */
    uint64_t bytes, bytes_max;
};

static void entry_destroy(void **entry_p)
{
    entry_t *entry = *entry_p;
    fmq_object_drop(&entry->object);
    free(entry->publications);
    free(entry);
    *entry_p = NULL;
}

fmq_store_t *fmq_store_new(uint64_t bytes_max)
{
    fmq_store_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->entries = zhashx_new();
    self->bytes_max = bytes_max;
    if (!self->entries || pthread_mutex_init(&self->lock, NULL) != 0) {
        zhashx_destroy(&self->entries);
        free(self);
        return NULL;
    }
    zhashx_set_destructor(self->entries, entry_destroy);
    return self;
}

void fmq_store_destroy(fmq_store_t **self_p)
{
    fmq_store_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->entries);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

/* The entry of object, added without publications when there was none. */
static entry_t *entry_for(fmq_store_t *self, fmq_object_t *object, fmq_error_t *err)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(fmq_object_digest(object), key);
    entry_t *entry = zhashx_lookup(self->entries, key);
    if (entry)
        return entry;
    uint64_t bytes = fmq_object_bytes(object);
    if (bytes > self->bytes_max - self->bytes) {
        fmq_error_set(err, FMQ_ERR_LIMIT,
                      "store is full: %llu of %llu bytes used, object has %llu; withdraw objects "
                      "or enlarge the store",
                      (unsigned long long)self->bytes, (unsigned long long)self->bytes_max,
                      (unsigned long long)bytes);
        return NULL;
    }
    entry = calloc(1, sizeof *entry);
    if (!entry || zhashx_insert(self->entries, key, entry) < 0) {
        free(entry);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an entry of the store");
        return NULL;
    }
    entry->object = fmq_object_hold(object);
    self->bytes += bytes;
    return entry;
}

static int entry_publish(entry_t *entry, const char *owner, const char *readers, fmq_error_t *err)
{
    for (size_t i = 0; i < entry->size; i++)
        if (strcmp(entry->publications[i].owner, owner) == 0 &&
            strcmp(entry->publications[i].readers, readers) == 0)
            return 0;
    if (entry->size == PUBLICATIONS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "object has %d publications already",
                             PUBLICATIONS_MAX);
    if (entry->size == entry->capacity) {
        size_t capacity = entry->capacity ? 2 * entry->capacity : 1;
        publication_t *grown = realloc(entry->publications, capacity * sizeof *grown);
        if (!grown)
            return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a publication");
        entry->publications = grown;
        entry->capacity = capacity;
    }
    publication_t *added = &entry->publications[entry->size++];
    (void)snprintf(added->owner, sizeof added->owner, "%s", owner);
    (void)snprintf(added->readers, sizeof added->readers, "%s", readers);
    return 0;
}

static void entry_withdraw(entry_t *entry, const char *owner)
{
    size_t kept = 0;
    for (size_t i = 0; i < entry->size; i++)
        if (strcmp(entry->publications[i].owner, owner) != 0)
            entry->publications[kept++] = entry->publications[i];
    entry->size = kept;
}

/* Forgets the entry under key once nobody publishes it. */
static void forget_if_unpublished(fmq_store_t *self, const char *key, entry_t *entry)
{
    if (entry->size > 0)
        return;
    self->bytes -= fmq_object_bytes(entry->object);
    zhashx_delete(self->entries, key);
}

int fmq_store_put(fmq_store_t *self, fmq_object_t *object, const char *owner, const char *readers,
                  fmq_error_t *err)
{
    if (!fmq_object_sealed(object))
        return fmq_error_set(err, FMQ_ERR_INTERNAL,
                             "object is not sealed: seal it before it is "
                             "published");
    if (!fmq_name_valid(owner) || !fmq_audience_valid(readers))
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "owner '%s' must be a name of [a-z0-9-], readers '%s' a name, @role "
                             "or *",
                             owner, readers);
    pthread_mutex_lock(&self->lock);
    int rc = -1;
    entry_t *entry = entry_for(self, object, err);
    if (entry) {
        char key[FMQ_DIGEST_HEX_SIZE];
        fmq_digest_hex(fmq_object_digest(object), key);
        rc = entry_publish(entry, owner, readers, err);
        forget_if_unpublished(self, key, entry);
    }
    pthread_mutex_unlock(&self->lock);
    return rc;
}

static bool may_read(const entry_t *entry, const char *reader, const char *role)
{
    for (size_t i = 0; i < entry->size; i++)
        if (strcmp(entry->publications[i].owner, reader) == 0 ||
            fmq_audience_includes(entry->publications[i].readers, reader, role))
            return true;
    return false;
}

fmq_object_t *fmq_store_get(fmq_store_t *self, const fmq_digest_t *digest, const char *reader,
                            const char *reader_role)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, key);
    pthread_mutex_lock(&self->lock);
    entry_t *entry = zhashx_lookup(self->entries, key);
    fmq_object_t *object = NULL;
    if (entry && may_read(entry, reader, reader_role))
        object = fmq_object_hold(entry->object);
    pthread_mutex_unlock(&self->lock);
    return object;
}

bool fmq_store_has(fmq_store_t *self, const fmq_digest_t *digest, const char *owner)
{
    char key[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(digest, key);
    pthread_mutex_lock(&self->lock);
    entry_t *entry = zhashx_lookup(self->entries, key);
    bool found = false;
    for (size_t i = 0; entry && !found && i < entry->size; i++)
        found = strcmp(entry->publications[i].owner, owner) == 0;
    pthread_mutex_unlock(&self->lock);
    return found;
}

/* Withdraws everything of owner's: keys first, for a hash that is being
 * walked must not lose items. */
static void withdraw_all(fmq_store_t *self, const char *owner)
{
    zlistx_t *keys = zhashx_keys(self->entries);
    for (const char *key = keys ? zlistx_first(keys) : NULL; key; key = zlistx_next(keys)) {
        entry_t *entry = zhashx_lookup(self->entries, key);
        entry_withdraw(entry, owner);
        forget_if_unpublished(self, key, entry);
    }
    zlistx_destroy(&keys);
}

void fmq_store_withdraw(fmq_store_t *self, const fmq_digest_t *digest, const char *owner)
{
    pthread_mutex_lock(&self->lock);
    if (digest) {
        char key[FMQ_DIGEST_HEX_SIZE];
        fmq_digest_hex(digest, key);
        entry_t *entry = zhashx_lookup(self->entries, key);
        if (entry) {
            entry_withdraw(entry, owner);
            forget_if_unpublished(self, key, entry);
        }
    } else {
        withdraw_all(self, owner);
    }
    pthread_mutex_unlock(&self->lock);
}

uint64_t fmq_store_bytes(fmq_store_t *self)
{
    pthread_mutex_lock(&self->lock);
    uint64_t bytes = self->bytes;
    pthread_mutex_unlock(&self->lock);
    return bytes;
}

size_t fmq_store_size(fmq_store_t *self)
{
    pthread_mutex_lock(&self->lock);
    size_t size = zhashx_size(self->entries);
    pthread_mutex_unlock(&self->lock);
    return size;
}
