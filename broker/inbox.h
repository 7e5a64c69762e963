/*
 * inbox.h - what a link has heard and its actor has not been told yet: the
 * newest version of every note, the newest state of every member.
 *
 * An actor that is busy for long finds one event of each, not thousands.  One
 * thread, no I/O, no clock.
 */
#ifndef FEDMQ_BROKER_INBOX_H
#define FEDMQ_BROKER_INBOX_H

#include "broker/frame.h"
#include "broker/wire.h"

typedef struct fmq_inbox fmq_inbox_t;

fmq_inbox_t *fmq_inbox_new(void);
void fmq_inbox_destroy(fmq_inbox_t **self_p);

/* Takes *body_p when the note is newer than what is known.  0 when the router
 * may be told that it is here; -1 when out of memory. */
int fmq_inbox_note(fmq_inbox_t *self, const fmq_message_t *note, fmq_frame_t **body_p);
int fmq_inbox_member(fmq_inbox_t *self, const fmq_message_t *member);

/* Fills event with the next news, oldest first; *body_p is the body of a NOTE
 * and the caller's.  False when there is none. */
bool fmq_inbox_next(fmq_inbox_t *self, fmq_event_t *event, fmq_frame_t **body_p);

#endif
