/*
 * wire.h - the fabric's messages, and their header frames.
 *
 * A message is one header frame, a msgpack array [version, type, fields...]
 * with exactly the fields that its type has (docs/protocol.md), and for NOTE
 * and CHUNK one payload frame.  This class knows bytes, not what a message
 * leads to.
 */
#ifndef FEDMQ_BROKER_WIRE_H
#define FEDMQ_BROKER_WIRE_H

#include <stdbool.h>

#include "fedmq/broker/link.h"

#define FMQ_WIRE_VERSION    1u
#define FMQ_WIRE_HEADER_MAX 512u /* bytes of a header frame */
#define FMQ_WIRE_REASON_MAX 256u /* bytes with the final NUL */
#define FMQ_WIRE_CREDIT_MAX 64u  /* chunks that may be in flight of one fetch */

typedef enum {
    FMQ_MESSAGE_HELLO = 1, /* a link introduces itself */
    FMQ_MESSAGE_WELCOME,   /* the router takes it */
    FMQ_MESSAGE_REFUSED,   /* the router will never take it */
    FMQ_MESSAGE_WHO,       /* the router does not know the sender: say HELLO */
    FMQ_MESSAGE_PING,      /* a link's sign of life, with progress */
    FMQ_MESSAGE_PONG,      /* the router's */
    FMQ_MESSAGE_BYE,       /* a link leaves for good */
    FMQ_MESSAGE_NOTE,      /* latest value of (from, to, topic) */
    FMQ_MESSAGE_NOTE_ACK,  /* has it, or a newer one */
    FMQ_MESSAGE_MEMBER,    /* router to servers: how a member is */
    FMQ_MESSAGE_PUBLISH,   /* an object is offered to readers */
    FMQ_MESSAGE_PUBLISHED, /* the router knows so */
    FMQ_MESSAGE_WITHDRAW,  /* an object is no longer offered */
    FMQ_MESSAGE_FETCH,     /* send chunks from index on, at most credit of them */
    FMQ_MESSAGE_CREDIT,    /* so many more */
    FMQ_MESSAGE_CHUNK,     /* one of them */
    FMQ_MESSAGE_GONE,      /* there will be no more: why */
    FMQ_MESSAGE_CANCEL,    /* no more, please */
    FMQ_MESSAGES_END
} fmq_message_type_t;

/* All fields of all types; a type uses those that its row names. */
typedef struct {
    fmq_message_type_t type;
    fmq_role_t role;
    char name[FMQ_MEMBER_NAME_MAX];     /* who: HELLO, MEMBER; from: NOTE; FETCH: the other end */
    char audience[FMQ_MEMBER_NAME_MAX]; /* to: NOTE; readers: PUBLISH */
    char topic[FMQ_TOPIC_MAX];
    uint64_t incarnation, session, version, step, steps, bytes;
    uint32_t timeout_ms, ticket, index, chunks, credit;
    bool alive;
    fmq_digest_t digest;
    fmq_error_code_t code;
    char reason[FMQ_WIRE_REASON_MAX];
} fmq_message_t;

const char *fmq_message_name(fmq_message_type_t type);
/* True for the types that have a payload frame, of at most that many bytes. */
bool fmq_message_has_payload(fmq_message_type_t type, size_t *most);

/* Writes the header into out and returns its size, or 0 when a field of our
 * own is out of its bounds. */
size_t fmq_message_encode(const fmq_message_t *message, uint8_t out[FMQ_WIRE_HEADER_MAX]);

/* Reads a stranger's header.  Returns 0, or -1 with FMQ_ERR_FORMAT or, for
 * another version, FMQ_ERR_UNSUPPORTED; *out is untouched on failure. */
int fmq_message_decode(fmq_message_t *out, const void *data, size_t size, fmq_error_t *err);

#endif
