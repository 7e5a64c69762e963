/*
 * digest.h - content addresses: BLAKE2b-256 (RFC 7693), by libsodium.
 */
#ifndef FEDMQ_BASE_DIGEST_H
#define FEDMQ_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_DIGEST_SIZE     32
#define FMQ_DIGEST_HEX_SIZE 65 /* with the final NUL */

typedef struct {
    uint8_t bytes[FMQ_DIGEST_SIZE];
} fmq_digest_t;

/* Running digest over bytes given piece by piece; plain storage for the
 * caller's stack, its inside is libsodium's. */
typedef struct {
    uint8_t opaque[512] __attribute__((aligned(64)));
} fmq_digest_state_t;

void fmq_digest_begin(fmq_digest_state_t *state);
void fmq_digest_add(fmq_digest_state_t *state, const void *data, size_t size);
fmq_digest_t fmq_digest_end(fmq_digest_state_t *state);

/* Digest of one piece. */
fmq_digest_t fmq_digest_of(const void *data, size_t size);

bool fmq_digest_equal(const fmq_digest_t *a, const fmq_digest_t *b);

/* Lower-case hexadecimal. */
void fmq_digest_hex(const fmq_digest_t *digest, char out[FMQ_DIGEST_HEX_SIZE]);

/* Returns 0, or -1 with FMQ_ERR_FORMAT unless text is 64 hex digits. */
int fmq_digest_from_hex(fmq_digest_t *digest, const char *text, fmq_error_t *err);

FMQ_API_END

#endif
