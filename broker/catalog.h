/*
 * catalog.h - which objects members have published, to whom, and where they
 * are.
 *
 * Knows digests, not bytes.  One thread, no I/O, no clock.
 */
#ifndef FEDMQ_BROKER_CATALOG_H
#define FEDMQ_BROKER_CATALOG_H

#include "broker/wire.h"

#define FMQ_CATALOG_MAX         262144u /* publications in all */
#define FMQ_CATALOG_OWNER_MAX   65536u  /* of one member that may address everybody */
#define FMQ_CATALOG_FEW         1024u   /* of one that may not */
#define FMQ_CATALOG_READERS_MAX 8u      /* audiences of one publication */

typedef enum {
    FMQ_PLACE_OWNER,  /* its owner has it, and is asked for every reader */
    FMQ_PLACE_COMING, /* it is on its way to the router's store */
    FMQ_PLACE_STORE,  /* the router's store has it because the router fetched it */
    FMQ_PLACE_SHARED  /* the store has it because the owner's process shares it */
} fmq_place_t;

typedef struct {
    fmq_digest_t digest;
    char owner[FMQ_MEMBER_NAME_MAX];
    fmq_role_t role; /* the owner's */
    uint64_t bytes;
    uint32_t chunks;
    fmq_place_t place;
    uint32_t audiences;
    char readers[FMQ_CATALOG_READERS_MAX][FMQ_MEMBER_NAME_MAX];
    bool doubtful; /* not announced again since its owner reconnected */
    int64_t doubtful_ms;
} fmq_publication_t;

typedef struct fmq_catalog fmq_catalog_t;

fmq_catalog_t *fmq_catalog_new(void);
void fmq_catalog_destroy(fmq_catalog_t **self_p);

/* Adds a publication or readers of it.  Borrowed; NULL with FMQ_ERR_LIMIT,
 * FMQ_ERR_MISMATCH (another size than before) or FMQ_ERR_NOMEM. */
fmq_publication_t *fmq_catalog_put(fmq_catalog_t *self, const char *owner, fmq_role_t role,
                                   const fmq_message_t *publish, fmq_error_t *err);
fmq_publication_t *fmq_catalog_find(fmq_catalog_t *self, const char *owner,
                                    const fmq_digest_t *digest);
void fmq_catalog_remove(fmq_catalog_t *self, const char *owner, const fmq_digest_t *digest);

/* owner reconnected and will announce again: what it does not is doubtful. */
void fmq_catalog_doubt(fmq_catalog_t *self, const char *owner, int64_t now_ms);
/* One of owner's publications (owner NULL: a doubtful one since before
 * since_ms), or NULL. */
fmq_publication_t *fmq_catalog_any(fmq_catalog_t *self, const char *owner, int64_t since_ms);

/* May this reader have it? */
bool fmq_publication_is_for(const fmq_publication_t *self, const char *reader, fmq_role_t role);
/* Is an audience of it more than one member? */
bool fmq_publication_is_many(const fmq_publication_t *self);

size_t fmq_catalog_size(const fmq_catalog_t *self);

#endif
