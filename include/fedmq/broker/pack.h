/*
 * pack.h - msgpack into a bounded buffer, and out of a stranger's bytes.
 *
 * Both directions have a sticky error: write or read on, and ask once at the
 * end.  After the first failure nothing more is written, and every read gives
 * zero, false or an empty text.  Neither side allocates.  A reader believes no
 * count: a map, array, text or binary that cannot fit into the bytes that are
 * left is refused at once (msgpack-c's own unpacker reserves 16 GB for a
 * hostile message of 155 bytes), and nothing recurses.
 *
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md.  Writers
 * use the shortest form; readers take every form of the asked-for type.
 */
#ifndef FEDMQ_BROKER_PACK_H
#define FEDMQ_BROKER_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

/* Plain data on the caller's stack; its fields are pack.c's. */
typedef struct {
    uint8_t *data; /* borrowed */
    size_t size, capacity;
    bool failed;
} fmq_packer_t;

/* Begins to write into out, which stays the caller's. */
void fmq_packer_init(fmq_packer_t *self, void *out, size_t capacity);
void fmq_pack_nil(fmq_packer_t *self);
void fmq_pack_bool(fmq_packer_t *self, bool value);
void fmq_pack_uint(fmq_packer_t *self, uint64_t value);
void fmq_pack_int(fmq_packer_t *self, int64_t value);
void fmq_pack_real(fmq_packer_t *self, double value); /* float64 */
void fmq_pack_str(fmq_packer_t *self, const char *text);
void fmq_pack_bin(fmq_packer_t *self, const void *data, size_t size);
/* The next `items` values, or pairs of values, belong to it. */
void fmq_pack_array(fmq_packer_t *self, uint32_t items);
void fmq_pack_map(fmq_packer_t *self, uint32_t pairs);
/* Writes the header of a binary and gives the place of its `size` bytes for
 * the caller to fill; NULL when it does not fit. */
void *fmq_pack_bin_place(fmq_packer_t *self, size_t size);
/* Bytes written; 0 with FMQ_ERR_LIMIT when the buffer was too small. */
size_t fmq_packer_end(const fmq_packer_t *self, fmq_error_t *err);

/* Plain data on the caller's stack; its fields are pack.c's. */
typedef struct {
    const uint8_t *data; /* borrowed */
    size_t size, at;
    const char *why; /* the first failure, or NULL */
    size_t where;
} fmq_unpacker_t;

void fmq_unpacker_init(fmq_unpacker_t *self, const void *data, size_t size);
/* True once something was wrong. */
bool fmq_unpack_failed(const fmq_unpacker_t *self);
/* Makes the error sticky for a reason of the caller's; why is a literal. */
void fmq_unpack_fail(fmq_unpacker_t *self, const char *why);

/* Items of the array, or pairs of the map, that begins here; more than `most`
 * is a failure. */
uint32_t fmq_unpack_array(fmq_unpacker_t *self, uint32_t most);
uint32_t fmq_unpack_map(fmq_unpacker_t *self, uint32_t most);
/* An integer from 0 to most. */
uint64_t fmq_unpack_uint(fmq_unpacker_t *self, uint64_t most);
int64_t fmq_unpack_int(fmq_unpacker_t *self);
/* A float or an integer; NaN and infinities are passed on. */
double fmq_unpack_real(fmq_unpacker_t *self);
bool fmq_unpack_bool(fmq_unpacker_t *self);
/* Copies a text of at most capacity - 1 bytes without NUL inside and ends it
 * with one.  Returns its length. */
size_t fmq_unpack_str(fmq_unpacker_t *self, char *out, size_t capacity);
/* Borrows the bytes of a binary of at most `most` bytes; NULL on failure. */
const void *fmq_unpack_bin(fmq_unpacker_t *self, size_t most, size_t *size);
/* Copies a binary of exactly size bytes. */
void fmq_unpack_bin_exact(fmq_unpacker_t *self, void *out, size_t size);
/* Takes a nil if one is next; false, and nothing taken, if something else is. */
bool fmq_unpack_nil(fmq_unpacker_t *self);
/* Passes over one value, however deep, without recursion. */
void fmq_unpack_skip(fmq_unpacker_t *self);

/* Ends reading: 0 when all was well and no byte is left over; else -1 with
 * FMQ_ERR_FORMAT naming the first failure and its byte. */
int fmq_unpack_done(fmq_unpacker_t *self, fmq_error_t *err);

FMQ_API_END

#endif
