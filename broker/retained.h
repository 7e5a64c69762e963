/*
 * retained.h - the newest note of each (from, to, topic), and who has it.
 *
 * The router's memory of notes.  A note stays until a newer version replaces
 * it; every reader it is for gets it, late ones too, again and again until the
 * reader acknowledges.  Notes are indexed by whom they are for: a join costs what
 * is for the one who joins.  One thread, no I/O, no clock: notes leave through a
 * function that the caller passes in.
 */
#ifndef FEDMQ_BROKER_RETAINED_H
#define FEDMQ_BROKER_RETAINED_H

#include "broker/wire.h"

#define FMQ_NOTES_MAX       262144u             /* of all senders */
#define FMQ_NOTES_BYTES_MAX (UINT64_C(1) << 30) /* bodies of all senders */
/* Of one sender that may address few, or everybody. */
#define FMQ_NOTES_FEW       64u
#define FMQ_NOTES_FEW_BYTES (UINT64_C(1) << 20)

typedef struct fmq_retained fmq_retained_t;

/* Sends a note to a reader.  0, or -1 when it cannot be taken now. */
typedef int(fmq_retained_send_fn)(void *argument, const char *reader, const fmq_message_t *note,
                                  const void *body, size_t size);

/* An unacknowledged note is sent again after resend_ms. */
fmq_retained_t *fmq_retained_new(uint32_t resend_ms);
void fmq_retained_destroy(fmq_retained_t **self_p);

/* Stores a note unless there is one as new.  Returns 0 (then the sender may
 * be told that it is here), or -1 with FMQ_ERR_LIMIT or FMQ_ERR_NOMEM. */
int fmq_retained_put(fmq_retained_t *self, const fmq_message_t *note, const void *body, size_t size,
                     fmq_error_t *err);

/* The newest version among a sender's notes; 0: none. */
uint64_t fmq_retained_floor(const fmq_retained_t *self, const char *sender);

/* A reader is there; anew: it has read nothing yet.  Else what it has
 * acknowledged is remembered. */
int fmq_retained_join(fmq_retained_t *self, const char *name, fmq_role_t role, bool anew,
                      fmq_error_t *err);
/* A reader is gone; nothing is sent to it until it joins again. */
void fmq_retained_leave(fmq_retained_t *self, const char *name);

/* The reader has this version, or a newer one. */
void fmq_retained_ack(fmq_retained_t *self, const char *reader, const fmq_message_t *ack);

/* Sends what has never been sent; with `again`, also what has waited for an
 * acknowledgement for long enough.  A reader that cannot take a note now is
 * left for the next time. */
void fmq_retained_flush(fmq_retained_t *self, int64_t now_ms, bool again,
                        fmq_retained_send_fn *send, void *argument);

size_t fmq_retained_size(const fmq_retained_t *self);
uint64_t fmq_retained_bytes(const fmq_retained_t *self);

#endif
