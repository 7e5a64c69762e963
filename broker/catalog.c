/*
 * catalog.c - publications by owner and digest.
 */
#include "broker/catalog.h"

#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "broker/audience.h"
#include "broker/permission.h"

#define KEY_SIZE (FMQ_DIGEST_HEX_SIZE + FMQ_MEMBER_NAME_MAX)

struct fmq_catalog {
    zhashx_t *publications; /* "digest owner" -> fmq_publication_t, owned */
    zhashx_t *counts;       /* owner -> uint32_t, owned */
};

static void free_item(void **item)
{
    free(*item);
    *item = NULL;
}

static void key_of(const char *owner, const fmq_digest_t *digest, char key[KEY_SIZE])
{
    fmq_digest_hex(digest, key);
    (void)snprintf(key + FMQ_DIGEST_HEX_SIZE - 1, KEY_SIZE - FMQ_DIGEST_HEX_SIZE + 1, " %s", owner);
}

fmq_catalog_t *fmq_catalog_new(void)
{
    fmq_catalog_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->publications = zhashx_new();
    self->counts = zhashx_new();
    if (!self->publications || !self->counts) {
        fmq_catalog_destroy(&self);
        return NULL;
    }
    zhashx_set_destructor(self->publications, free_item);
    zhashx_set_destructor(self->counts, free_item);
    return self;
}

void fmq_catalog_destroy(fmq_catalog_t **self_p)
{
    fmq_catalog_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->publications);
    zhashx_destroy(&self->counts);
    free(self);
    *self_p = NULL;
}

static uint32_t *count_of(fmq_catalog_t *self, const char *owner)
{
    uint32_t *count = zhashx_lookup(self->counts, owner);
    if (count)
        return count;
    count = calloc(1, sizeof *count);
    if (count && zhashx_insert(self->counts, owner, count) < 0) {
        free(count);
        return NULL;
    }
    return count;
}

static fmq_publication_t *add(fmq_catalog_t *self, const char *key, const char *owner,
                              fmq_role_t role, fmq_error_t *err)
{
    uint32_t *count = count_of(self, owner);
    uint32_t most = fmq_role_may_address(role, "*") ? FMQ_CATALOG_OWNER_MAX : FMQ_CATALOG_FEW;
    if (count && (*count >= most || zhashx_size(self->publications) >= FMQ_CATALOG_MAX)) {
        fmq_error_set(err, FMQ_ERR_LIMIT, "'%s' has %u publications: a %s may have %u", owner,
                      *count, fmq_role_name(role), most);
        return NULL;
    }
    fmq_publication_t *made = calloc(1, sizeof *made);
    if (!count || !made || zhashx_insert(self->publications, key, made) < 0) {
        free(made);
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a publication");
        return NULL;
    }
    ++*count;
    (void)snprintf(made->owner, sizeof made->owner, "%s", owner);
    made->role = role;
    return made;
}

static int add_readers(fmq_publication_t *publication, const char *audience, fmq_error_t *err)
{
    for (uint32_t i = 0; i < publication->audiences; i++)
        if (strcmp(publication->readers[i], audience) == 0)
            return 0;
    if (publication->audiences == FMQ_CATALOG_READERS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "publication has %u audiences already",
                             FMQ_CATALOG_READERS_MAX);
    (void)snprintf(publication->readers[publication->audiences++], FMQ_MEMBER_NAME_MAX, "%s",
                   audience);
    return 0;
}

fmq_publication_t *fmq_catalog_put(fmq_catalog_t *self, const char *owner, fmq_role_t role,
                                   const fmq_message_t *publish, fmq_error_t *err)
{
    char key[KEY_SIZE];
    key_of(owner, &publish->digest, key);
    fmq_publication_t *publication = zhashx_lookup(self->publications, key);
    if (!publication) {
        publication = add(self, key, owner, role, err);
        if (!publication)
            return NULL;
        publication->digest = publish->digest;
        publication->bytes = publish->bytes;
        publication->chunks = publish->chunks;
    }
    if (publication->bytes != publish->bytes || publication->chunks != publish->chunks) {
        fmq_error_set(err, FMQ_ERR_MISMATCH, "'%s' publishes one digest with two sizes", owner);
        return NULL;
    }
    publication->doubtful = false;
    return add_readers(publication, publish->audience, err) < 0 ? NULL : publication;
}

fmq_publication_t *fmq_catalog_find(fmq_catalog_t *self, const char *owner,
                                    const fmq_digest_t *digest)
{
    char key[KEY_SIZE];
    key_of(owner, digest, key);
    return zhashx_lookup(self->publications, key);
}

void fmq_catalog_remove(fmq_catalog_t *self, const char *owner, const fmq_digest_t *digest)
{
    char key[KEY_SIZE];
    key_of(owner, digest, key);
    fmq_publication_t *publication = zhashx_lookup(self->publications, key);
    if (!publication)
        return;
    uint32_t *count = zhashx_lookup(self->counts, publication->owner);
    if (count && --*count == 0)
        zhashx_delete(self->counts, publication->owner);
    zhashx_delete(self->publications, key);
}

void fmq_catalog_doubt(fmq_catalog_t *self, const char *owner, int64_t now_ms)
{
    if (!zhashx_lookup(self->counts, owner))
        return;
    for (fmq_publication_t *at = zhashx_first(self->publications); at;
         at = zhashx_next(self->publications)) {
        if (strcmp(at->owner, owner) != 0)
            continue;
        at->doubtful = true;
        at->doubtful_ms = now_ms;
    }
}

fmq_publication_t *fmq_catalog_any(fmq_catalog_t *self, const char *owner, int64_t since_ms)
{
    if (owner && !zhashx_lookup(self->counts, owner))
        return NULL;
    for (fmq_publication_t *at = zhashx_first(self->publications); at;
         at = zhashx_next(self->publications))
        if (owner ? strcmp(at->owner, owner) == 0 : at->doubtful && at->doubtful_ms < since_ms)
            return at;
    return NULL;
}

bool fmq_publication_is_for(const fmq_publication_t *self, const char *reader, fmq_role_t role)
{
    for (uint32_t i = 0; i < self->audiences; i++)
        if (fmq_audience_includes(self->readers[i], reader, fmq_role_name(role)) &&
            fmq_role_may_reach(self->role, role))
            return true;
    return strcmp(self->owner, reader) == 0;
}

bool fmq_publication_is_many(const fmq_publication_t *self)
{
    for (uint32_t i = 0; i < self->audiences; i++)
        if (fmq_audience_is_many(self->readers[i]))
            return true;
    return false;
}

size_t fmq_catalog_size(const fmq_catalog_t *self)
{
    return zhashx_size(self->publications);
}
