/*
 * wire.c - one table says which fields each message has; encoding and
 * decoding are loops over its rows.
 */
#include "broker/wire.h"

#include <stddef.h>
#include <string.h>

#include "broker/audience.h"
#include "fedmq/broker/pack.h"

#define FIELDS_MAX 5

typedef enum {
    END,
    NAME,        /* [a-z0-9-], 1 to 63 */
    AUDIENCE,    /* name, "@role" or "*" */
    TOPIC,       /* as NAME, 1 to 31 */
    REASON,      /* text */
    ROLE,        /* 0 to 4 */
    CODE,        /* an error code */
    ALIVE,       /* boolean */
    DIGEST,      /* 32 bytes */
    INCARNATION, /* numbers */
    SESSION,
    VERSION,
    STEP,
    STEPS,
    BYTES,
    TIMEOUT,
    TICKET,
    INDEX,
    CHUNKS,
    CREDIT
} field_t;

typedef struct {
    const char *name;
    field_t fields[FIELDS_MAX + 1];
    size_t payload_most; /* 0: no payload frame */
} row_t;

static const row_t rows[FMQ_MESSAGES_END] = {
    [FMQ_MESSAGE_HELLO] = {"HELLO", {NAME, ROLE, INCARNATION}, 0},
    [FMQ_MESSAGE_WELCOME] = {"WELCOME", {SESSION, VERSION, TIMEOUT}, 0},
    [FMQ_MESSAGE_REFUSED] = {"REFUSED", {CODE, REASON}, 0},
    [FMQ_MESSAGE_WHO] = {"WHO", {END}, 0},
    [FMQ_MESSAGE_PING] = {"PING", {STEP, STEPS}, 0},
    [FMQ_MESSAGE_PONG] = {"PONG", {SESSION}, 0},
    [FMQ_MESSAGE_BYE] = {"BYE", {END}, 0},
    [FMQ_MESSAGE_NOTE] = {"NOTE", {NAME, ROLE, AUDIENCE, TOPIC, VERSION}, FMQ_NOTE_MAX},
    [FMQ_MESSAGE_NOTE_ACK] = {"NOTE_ACK", {NAME, AUDIENCE, TOPIC, VERSION}, 0},
    [FMQ_MESSAGE_MEMBER] = {"MEMBER", {NAME, ROLE, ALIVE, STEP, STEPS}, 0},
    [FMQ_MESSAGE_PUBLISH] = {"PUBLISH", {DIGEST, BYTES, CHUNKS, AUDIENCE}, 0},
    [FMQ_MESSAGE_PUBLISHED] = {"PUBLISHED", {DIGEST, AUDIENCE}, 0},
    [FMQ_MESSAGE_WITHDRAW] = {"WITHDRAW", {DIGEST}, 0},
    [FMQ_MESSAGE_FETCH] = {"FETCH", {TICKET, NAME, DIGEST, INDEX, CREDIT}, 0},
    [FMQ_MESSAGE_CREDIT] = {"CREDIT", {TICKET, CREDIT}, 0},
    [FMQ_MESSAGE_CHUNK] = {"CHUNK", {TICKET, INDEX, CHUNKS}, FMQ_CHUNK_MAX},
    [FMQ_MESSAGE_GONE] = {"GONE", {TICKET, CODE, REASON}, 0},
    [FMQ_MESSAGE_CANCEL] = {"CANCEL", {TICKET}, 0},
};

/* Where a number lies in the message, and its bound. */
typedef struct {
    size_t at;
    size_t width; /* bytes: 4 or 8 */
    uint64_t most;
} number_t;

#define NUMBER(member, bound)                                                                      \
    {                                                                                              \
        offsetof(fmq_message_t, member), sizeof(((fmq_message_t *)0)->member), bound               \
    }

static const number_t numbers[] = {
    [INCARNATION] = NUMBER(incarnation, UINT64_MAX),
    [SESSION] = NUMBER(session, UINT64_MAX),
    [VERSION] = NUMBER(version, UINT64_MAX),
    [STEP] = NUMBER(step, UINT64_MAX),
    [STEPS] = NUMBER(steps, UINT64_MAX),
    [BYTES] = NUMBER(bytes, (uint64_t)FMQ_CHUNK_MAX *FMQ_OBJECT_CHUNKS_MAX),
    [TIMEOUT] = NUMBER(timeout_ms, INT32_MAX),
    [TICKET] = NUMBER(ticket, UINT32_MAX),
    [INDEX] = NUMBER(index, FMQ_OBJECT_CHUNKS_MAX),
    [CHUNKS] = NUMBER(chunks, FMQ_OBJECT_CHUNKS_MAX),
    [CREDIT] = NUMBER(credit, FMQ_WIRE_CREDIT_MAX),
};

static const row_t *row_of(fmq_message_type_t type)
{
    return type >= FMQ_MESSAGE_HELLO && type < FMQ_MESSAGES_END ? &rows[type] : NULL;
}

const char *fmq_message_name(fmq_message_type_t type)
{
    const row_t *row = row_of(type);
    return row ? row->name : "unknown";
}

bool fmq_message_has_payload(fmq_message_type_t type, size_t *most)
{
    const row_t *row = row_of(type);
    *most = row ? row->payload_most : 0;
    return *most > 0;
}

static uint32_t fields_of(const row_t *row)
{
    uint32_t fields = 0;
    while (row->fields[fields] != END)
        fields++;
    return fields;
}

static uint64_t get_number(const fmq_message_t *message, const number_t *number)
{
    const uint8_t *at = (const uint8_t *)message + number->at;
    uint32_t narrow;
    uint64_t wide;
    if (number->width == sizeof narrow) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static void set_number(fmq_message_t *message, const number_t *number, uint64_t value)
{
    uint8_t *at = (uint8_t *)message + number->at;
    uint32_t narrow = (uint32_t)value;
    if (number->width == sizeof narrow)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &value, sizeof value);
}

static void encode_field(fmq_packer_t *out, const fmq_message_t *message, field_t field)
{
    switch (field) {
    case NAME:
        fmq_pack_str(out, message->name);
        break;
    case AUDIENCE:
        fmq_pack_str(out, message->audience);
        break;
    case TOPIC:
        fmq_pack_str(out, message->topic);
        break;
    case REASON:
        fmq_pack_str(out, message->reason);
        break;
    case ROLE:
        fmq_pack_uint(out, message->role);
        break;
    case CODE:
        fmq_pack_uint(out, message->code);
        break;
    case ALIVE:
        fmq_pack_bool(out, message->alive);
        break;
    case DIGEST:
        fmq_pack_bin(out, message->digest.bytes, FMQ_DIGEST_SIZE);
        break;
    default:
        fmq_pack_uint(out, get_number(message, &numbers[field]));
    }
}

size_t fmq_message_encode(const fmq_message_t *message, uint8_t out[FMQ_WIRE_HEADER_MAX])
{
    const row_t *row = row_of(message->type);
    if (!row)
        return 0;
    fmq_packer_t packer;
    fmq_packer_init(&packer, out, FMQ_WIRE_HEADER_MAX);
    fmq_pack_array(&packer, 2 + fields_of(row));
    fmq_pack_uint(&packer, FMQ_WIRE_VERSION);
    fmq_pack_uint(&packer, message->type);
    for (const field_t *field = row->fields; *field != END; field++)
        encode_field(&packer, message, *field);
    return fmq_packer_end(&packer, NULL);
}

static void decode_field(fmq_unpacker_t *in, fmq_message_t *message, field_t field)
{
    switch (field) {
    case NAME:
        fmq_unpack_str(in, message->name, sizeof message->name);
        if (!fmq_name_valid(message->name))
            fmq_unpack_fail(in, "not a member's name");
        break;
    case AUDIENCE:
        fmq_unpack_str(in, message->audience, sizeof message->audience);
        if (!fmq_audience_valid(message->audience))
            fmq_unpack_fail(in, "not a name, @role or *");
        break;
    case TOPIC:
        fmq_unpack_str(in, message->topic, sizeof message->topic);
        if (!fmq_name_valid(message->topic))
            fmq_unpack_fail(in, "not a topic");
        break;
    case REASON:
        fmq_unpack_str(in, message->reason, sizeof message->reason);
        break;
    case ROLE:
        message->role = (fmq_role_t)fmq_unpack_uint(in, FMQ_ROLES - 1);
        break;
    case CODE:
        message->code = (fmq_error_code_t)fmq_unpack_uint(in, FMQ_ERR_INTERNAL);
        break;
    case ALIVE:
        message->alive = fmq_unpack_bool(in);
        break;
    case DIGEST:
        fmq_unpack_bin_exact(in, message->digest.bytes, FMQ_DIGEST_SIZE);
        break;
    default:
        set_number(message, &numbers[field], fmq_unpack_uint(in, numbers[field].most));
    }
}

int fmq_message_decode(fmq_message_t *out, const void *data, size_t size, fmq_error_t *err)
{
    if (size > FMQ_WIRE_HEADER_MAX)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "header of %zu bytes: at most %u", size,
                             FMQ_WIRE_HEADER_MAX);
    fmq_unpacker_t in;
    fmq_unpacker_init(&in, data, size);
    uint32_t items = fmq_unpack_array(&in, 64);
    uint64_t version = fmq_unpack_uint(&in, UINT64_MAX);
    if (!fmq_unpack_failed(&in) && version != FMQ_WIRE_VERSION)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "peer speaks protocol version %llu, this program %u: update the older",
                             (unsigned long long)version, FMQ_WIRE_VERSION);
    fmq_message_t message = {.type =
                                 (fmq_message_type_t)fmq_unpack_uint(&in, FMQ_MESSAGES_END - 1)};
    const row_t *row = row_of(message.type);
    if (!row || items != 2 + fields_of(row))
        fmq_unpack_fail(&in, "unknown type, or another number of fields than it has");
    for (const field_t *field = row ? row->fields : NULL; field && *field != END; field++)
        decode_field(&in, &message, *field);
    if (fmq_unpack_done(&in, err) < 0)
        return fmq_error_prefix(err, "header of %s", fmq_message_name(message.type));
    *out = message;
    return 0;
}
