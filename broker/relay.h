/*
 * relay.h - chunks on their way through the router.
 *
 * A relay brings one object from its source to one reader: from the router's
 * store, or from its owner chunk by chunk, with the reader's credit passed on,
 * so that the router never holds more than a window of it.  A *pull* is a
 * relay whose reader is the store itself.  A relay whose source is not there
 * (owner silent, object not yet published) waits for a while before it fails.
 * One thread, no I/O, no clock; messages leave through a function.
 */
#ifndef FEDMQ_BROKER_RELAY_H
#define FEDMQ_BROKER_RELAY_H

#include "broker/catalog.h"
#include "broker/frame.h"

#define FMQ_RELAYS_MAX        65536u
#define FMQ_RELAYS_READER_MAX 1024u /* fetches of one member at once */
#define FMQ_RELAY_WINDOW      8u    /* chunks in flight of a pull */

typedef struct fmq_relays fmq_relays_t;

/* Sends a message to a member, taking *payload_p (may be NULL); -1 when it
 * cannot be taken now. */
typedef int(fmq_relays_send_fn)(void *argument, const char *member, const fmq_message_t *message,
                                fmq_frame_t **payload_p);

typedef struct {
    fmq_store_t *store;     /* borrowed */
    fmq_catalog_t *catalog; /* borrowed */
    uint32_t grace_ms;      /* how long a source may be missing */
    fmq_relays_send_fn *send;
    void *argument;
} fmq_relays_options_t;

fmq_relays_t *fmq_relays_new(const fmq_relays_options_t *options);
void fmq_relays_destroy(fmq_relays_t **self_p);

/* A reader's FETCH.  Replaces an older one of the same digest.  -1 with
 * FMQ_ERR_LIMIT, FMQ_ERR_DENIED or FMQ_ERR_NOMEM: the reader was told. */
int fmq_relays_fetch(fmq_relays_t *self, const char *reader, fmq_role_t role,
                     const fmq_message_t *fetch, int64_t now_ms, fmq_error_t *err);
/* A reader's CREDIT; -1 when it is more than anyone may have. */
int fmq_relays_credit(fmq_relays_t *self, const char *reader, const fmq_message_t *credit,
                      fmq_error_t *err);
void fmq_relays_cancel(fmq_relays_t *self, const char *reader, uint32_t ticket);

/* An owner's CHUNK; takes *payload_p.  -1 for what nobody asked for; a chunk
 * of a fetch that has ended is dropped without blame. */
int fmq_relays_chunk(fmq_relays_t *self, const char *owner, const fmq_message_t *chunk,
                     fmq_frame_t **payload_p, int64_t now_ms, fmq_error_t *err);
/* An owner's GONE. */
void fmq_relays_gone(fmq_relays_t *self, const char *owner, const fmq_message_t *gone,
                     int64_t now_ms);

/* A publication is new or known again: begins to pull it if it is for many and
 * not here, and wakes the relays that wait for it. */
void fmq_relays_published(fmq_relays_t *self, fmq_publication_t *publication, int64_t now_ms);

/* A member's connection is gone: its fetches end (it will ask anew), and what
 * it serves stops; for good: then its readers are told. */
void fmq_relays_lost(fmq_relays_t *self, const char *member, bool for_good, int64_t now_ms);

/* Sends what could not be sent before, and gives up what waited too long. */
void fmq_relays_tick(fmq_relays_t *self, int64_t now_ms);

/* True while something waits to be sent: call tick again within milliseconds. */
bool fmq_relays_blocked(const fmq_relays_t *self);
size_t fmq_relays_size(const fmq_relays_t *self);

#endif
