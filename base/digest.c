/*
 * digest.c - BLAKE2b-256 through libsodium's generichash.  Keyless: a digest
 * names content, it does not prove who made it.
 */
#include "fedmq/base/digest.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(fmq_digest_state_t),
               "libsodium's state must fit into ours");
_Static_assert(_Alignof(crypto_generichash_state) <= _Alignof(fmq_digest_state_t),
               "libsodium's state must be aligned in ours");

/* sodium_init() picks the fastest code for this CPU.  Should it fail, the
 * portable code stays in place and the digests are the same. */
static void choose_implementation(void)
{
    int ignored = sodium_init();
    (void)ignored;
}

static crypto_generichash_state *inside(fmq_digest_state_t *state)
{
    return (crypto_generichash_state *)(void *)state->opaque;
}

void fmq_digest_begin(fmq_digest_state_t *state)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, choose_implementation);
    (void)crypto_generichash_init(inside(state), NULL, 0, FMQ_DIGEST_SIZE);
}

void fmq_digest_add(fmq_digest_state_t *state, const void *data, size_t size)
{
    if (size)
        (void)crypto_generichash_update(inside(state), data, size);
}

fmq_digest_t fmq_digest_end(fmq_digest_state_t *state)
{
    fmq_digest_t digest;
    (void)crypto_generichash_final(inside(state), digest.bytes, sizeof digest.bytes);
    return digest;
}

fmq_digest_t fmq_digest_of(const void *data, size_t size)
{
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    fmq_digest_add(&state, data, size);
    return fmq_digest_end(&state);
}

bool fmq_digest_equal(const fmq_digest_t *a, const fmq_digest_t *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void fmq_digest_hex(const fmq_digest_t *digest, char out[FMQ_DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < FMQ_DIGEST_SIZE; i++) {
        out[2 * i] = digits[digest->bytes[i] >> 4];
        out[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    out[FMQ_DIGEST_HEX_SIZE - 1] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int fmq_digest_from_hex(fmq_digest_t *digest, const char *text, fmq_error_t *err)
{
    fmq_digest_t read;
    if (strnlen(text, FMQ_DIGEST_HEX_SIZE) != FMQ_DIGEST_HEX_SIZE - 1)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "digest '%.80s' is not 64 hex digits", text);
    for (size_t i = 0; i < FMQ_DIGEST_SIZE; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return fmq_error_set(err, FMQ_ERR_FORMAT, "digest '%s' is not 64 hex digits", text);
        read.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *digest = read;
    return 0;
}
