/*
 * outbox.h - what a link's actor wants known: its notes and publications,
 * repeated until the router has them.
 *
 * After a reconnect all of it is announced again.  One thread, no I/O, no
 * clock; messages leave through a function.
 */
#ifndef FEDMQ_BROKER_OUTBOX_H
#define FEDMQ_BROKER_OUTBOX_H

#include "broker/frame.h"
#include "broker/wire.h"

typedef struct fmq_outbox fmq_outbox_t;

/* Takes *payload_p (may be NULL); -1 when it cannot be taken now. */
typedef int(fmq_outbox_send_fn)(void *argument, const fmq_message_t *message,
                                fmq_frame_t **payload_p);

/* Notes get versions from `first` on: to be larger than those of the sender's
 * former life, it is best taken from the wall clock. */
fmq_outbox_t *fmq_outbox_new(uint64_t first, uint32_t resend_ms);
void fmq_outbox_destroy(fmq_outbox_t **self_p);

/* Replaces the note of (to, topic); head's name, role, audience and topic
 * count, its version is set here. */
int fmq_outbox_note(fmq_outbox_t *self, const fmq_message_t *head, const void *body, size_t size);
int fmq_outbox_publish(fmq_outbox_t *self, const fmq_message_t *publish);
/* Forgets the publication; the caller tells the router. */
void fmq_outbox_withdraw(fmq_outbox_t *self, const fmq_digest_t *digest);

/* The router has it. */
void fmq_outbox_note_acked(fmq_outbox_t *self, const fmq_message_t *ack);
void fmq_outbox_published(fmq_outbox_t *self, const fmq_message_t *published);

/* The router knows nothing, or is a new one: announce everything.  Versions
 * are moved above floor if they are not, the first time. */
void fmq_outbox_welcome(fmq_outbox_t *self, uint64_t floor);

/* Sends what has not been sent, or not been acknowledged for long enough. */
void fmq_outbox_flush(fmq_outbox_t *self, int64_t now_ms, fmq_outbox_send_fn *send, void *argument);

/* True while something is not acknowledged; of notes only. */
bool fmq_outbox_pending(const fmq_outbox_t *self);
bool fmq_outbox_notes_pending(const fmq_outbox_t *self);
/* The digests published, as a walk: first with NULL. */
const fmq_digest_t *fmq_outbox_next(fmq_outbox_t *self, const fmq_digest_t *digest);

#endif
