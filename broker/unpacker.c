/*
 * unpacker.c - reads msgpack from a stranger's bytes with a sticky error.
 *
 * It walks the bytes once and allocates nothing.  It believes no length before
 * it has compared it with the bytes that are left.
 */
#include <string.h>

#include "fedmq/broker/pack.h"

typedef enum { NIL, BOOLEAN, UNSIGNED, NEGATIVE, REAL, STR, BIN, ARRAY, MAP, EXT, BROKEN } kind_t;

/* One value's head: its kind and, by kind, its number, size or item count. */
typedef struct {
    kind_t kind;
    uint64_t number; /* UNSIGNED, NEGATIVE (two's complement), BOOLEAN; sizes and counts */
    double real;
} head_t;

void fmq_unpacker_init(fmq_unpacker_t *self, const void *data, size_t size)
{
    *self = (fmq_unpacker_t){.data = data, .size = size};
}

bool fmq_unpack_failed(const fmq_unpacker_t *self)
{
    return self->why != NULL;
}

void fmq_unpack_fail(fmq_unpacker_t *self, const char *why)
{
    if (self->why)
        return;
    self->why = why;
    self->where = self->at;
}

static size_t left(const fmq_unpacker_t *self)
{
    return self->size - self->at;
}

/* A big-endian number of `bytes` bytes. */
static uint64_t number(fmq_unpacker_t *self, size_t bytes)
{
    if (bytes > left(self)) {
        fmq_unpack_fail(self, "cut off within a number");
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | self->data[self->at + i];
    self->at += bytes;
    return value;
}

/* Sign-extends the low `bytes` bytes and says whether the result is negative. */
static head_t signed_head(uint64_t value, size_t bytes)
{
    uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    if (!(value & sign))
        return (head_t){.kind = UNSIGNED, .number = value};
    return (head_t){.kind = NEGATIVE, .number = value | ~(sign | (sign - 1))};
}

static double real_of(uint64_t bits, size_t bytes)
{
    if (bytes == 4) {
        uint32_t narrow = (uint32_t)bits;
        float value;
        memcpy(&value, &narrow, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Heads 0xc0 to 0xdf, which say their kind in one byte. */
static head_t long_head(fmq_unpacker_t *self, uint8_t byte)
{
    switch (byte) {
    case 0xc0:
        return (head_t){.kind = NIL};
    case 0xc2:
    case 0xc3:
        return (head_t){.kind = BOOLEAN, .number = byte & 1u};
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return (head_t){.kind = BIN, .number = number(self, (size_t)1 << (byte - 0xc4))};
    case 0xc7:
    case 0xc8:
    case 0xc9: /* size, then one byte of type that is counted as content */
        return (head_t){.kind = EXT, .number = number(self, (size_t)1 << (byte - 0xc7)) + 1};
    case 0xca:
        return (head_t){.kind = REAL, .real = real_of(number(self, 4), 4)};
    case 0xcb:
        return (head_t){.kind = REAL, .real = real_of(number(self, 8), 8)};
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return (head_t){.kind = UNSIGNED, .number = number(self, (size_t)1 << (byte - 0xcc))};
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: {
        size_t bytes = (size_t)1 << (byte - 0xd0);
        return signed_head(number(self, bytes), bytes);
    }
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return (head_t){.kind = EXT, .number = (UINT64_C(1) << (byte - 0xd4)) + 1};
    case 0xd9:
    case 0xda:
    case 0xdb:
        return (head_t){.kind = STR, .number = number(self, (size_t)1 << (byte - 0xd9))};
    case 0xdc:
    case 0xdd:
        return (head_t){.kind = ARRAY, .number = number(self, (size_t)2 << (byte - 0xdc))};
    case 0xde:
    case 0xdf:
        return (head_t){.kind = MAP, .number = number(self, (size_t)2 << (byte - 0xde))};
    default:
        fmq_unpack_fail(self, "byte 0xc1 means nothing");
        return (head_t){.kind = BROKEN};
    }
}

static head_t any_head(fmq_unpacker_t *self)
{
    if (left(self) == 0) {
        fmq_unpack_fail(self, "cut off before a value");
        return (head_t){.kind = BROKEN};
    }
    uint8_t byte = self->data[self->at++];
    if (byte <= 0x7f)
        return (head_t){.kind = UNSIGNED, .number = byte};
    if (byte >= 0xe0)
        return signed_head(byte, 1);
    if (byte >= 0xc0)
        return long_head(self, byte);
    if (byte >= 0xa0)
        return (head_t){.kind = STR, .number = byte & 0x1fu};
    return (head_t){.kind = byte >= 0x90 ? ARRAY : MAP, .number = byte & 0x0fu};
}

/* Content must fit: a byte for each item, two for each pair. */
static bool fits(const fmq_unpacker_t *self, const head_t *head)
{
    switch (head->kind) {
    case STR:
    case BIN:
    case EXT:
    case ARRAY:
        return head->number <= left(self);
    case MAP:
        return head->number <= left(self) / 2;
    default:
        return true;
    }
}

/* Reads a head; BROKEN once the sticky error is set. */
static head_t next(fmq_unpacker_t *self)
{
    if (self->why)
        return (head_t){.kind = BROKEN};
    size_t start = self->at;
    head_t head = any_head(self);
    if (!self->why && !fits(self, &head))
        fmq_unpack_fail(self, "claims more than there is");
    if (self->why) {
        self->where = start;
        return (head_t){.kind = BROKEN};
    }
    return head;
}

static void expected(fmq_unpacker_t *self, const head_t *head, const char *why)
{
    if (head->kind != BROKEN)
        fmq_unpack_fail(self, why);
}

uint32_t fmq_unpack_array(fmq_unpacker_t *self, uint32_t most)
{
    head_t head = next(self);
    if (head.kind == ARRAY && head.number <= most)
        return (uint32_t)head.number;
    expected(self, &head, head.kind == ARRAY ? "array is too long" : "expected an array");
    return 0;
}

uint32_t fmq_unpack_map(fmq_unpacker_t *self, uint32_t most)
{
    head_t head = next(self);
    if (head.kind == MAP && head.number <= most)
        return (uint32_t)head.number;
    expected(self, &head, head.kind == MAP ? "map is too long" : "expected a map");
    return 0;
}

uint64_t fmq_unpack_uint(fmq_unpacker_t *self, uint64_t most)
{
    head_t head = next(self);
    if (head.kind == UNSIGNED && head.number <= most)
        return head.number;
    expected(self, &head,
             head.kind == UNSIGNED ? "integer is too large" : "expected an integer from 0 on");
    return 0;
}

int64_t fmq_unpack_int(fmq_unpacker_t *self)
{
    head_t head = next(self);
    if (head.kind == UNSIGNED && head.number <= INT64_MAX)
        return (int64_t)head.number;
    if (head.kind == NEGATIVE)
        return -(int64_t)~head.number - 1;
    expected(self, &head, "expected a signed integer");
    return 0;
}

double fmq_unpack_real(fmq_unpacker_t *self)
{
    head_t head = next(self);
    if (head.kind == REAL)
        return head.real;
    if (head.kind == UNSIGNED)
        return (double)head.number;
    if (head.kind == NEGATIVE)
        return -(double)~head.number - 1.0;
    expected(self, &head, "expected a number");
    return 0.0;
}

bool fmq_unpack_bool(fmq_unpacker_t *self)
{
    head_t head = next(self);
    if (head.kind == BOOLEAN)
        return head.number != 0;
    expected(self, &head, "expected true or false");
    return false;
}

size_t fmq_unpack_str(fmq_unpacker_t *self, char *out, size_t capacity)
{
    out[0] = '\0';
    head_t head = next(self);
    if (head.kind != STR) {
        expected(self, &head, "expected a text");
        return 0;
    }
    size_t size = (size_t)head.number;
    if (size >= capacity || memchr(self->data + self->at, '\0', size)) {
        fmq_unpack_fail(self, size >= capacity ? "text is too long" : "text holds a zero byte");
        return 0;
    }
    memcpy(out, self->data + self->at, size);
    out[size] = '\0';
    self->at += size;
    return size;
}

const void *fmq_unpack_bin(fmq_unpacker_t *self, size_t most, size_t *size)
{
    *size = 0;
    head_t head = next(self);
    if (head.kind != BIN || head.number > most) {
        expected(self, &head, head.kind == BIN ? "binary is too long" : "expected a binary");
        return NULL;
    }
    *size = (size_t)head.number;
    const void *data = self->data + self->at;
    self->at += *size;
    return data;
}

void fmq_unpack_bin_exact(fmq_unpacker_t *self, void *out, size_t size)
{
    size_t got;
    const void *data = fmq_unpack_bin(self, size, &got);
    if (data && got == size) {
        memcpy(out, data, size);
        return;
    }
    memset(out, 0, size);
    fmq_unpack_fail(self, "binary has another size");
}

bool fmq_unpack_nil(fmq_unpacker_t *self)
{
    if (self->why || left(self) == 0 || self->data[self->at] != 0xc0)
        return false;
    self->at++;
    return true;
}

void fmq_unpack_skip(fmq_unpacker_t *self)
{
    /* Every pending value needs a byte at least, so that neither the sum nor
     * the loop can exceed the size of the message. */
    uint64_t pending = 1;
    while (pending > 0) {
        head_t head = next(self);
        if (head.kind == BROKEN)
            return;
        pending--;
        if (head.kind == STR || head.kind == BIN || head.kind == EXT)
            self->at += (size_t)head.number;
        else if (head.kind == ARRAY)
            pending += head.number;
        else if (head.kind == MAP)
            pending += 2 * head.number;
        if (pending > left(self)) {
            fmq_unpack_fail(self, "claims more than there is");
            return;
        }
    }
}

int fmq_unpack_done(fmq_unpacker_t *self, fmq_error_t *err)
{
    if (!self->why && left(self) > 0)
        fmq_unpack_fail(self, "bytes are left over");
    if (!self->why)
        return 0;
    return fmq_error_set(err, FMQ_ERR_FORMAT, "message of %zu bytes: %s at byte %zu", self->size,
                         self->why, self->where);
}
