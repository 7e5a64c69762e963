/*
 * sodium.h - the part of libsodium's interface that the engine uses, for
 * machines that lack the library.  Digests tell contents apart within a run and
 * are no cryptography.  scripts/device-check builds with it; nothing else does.
 */
#ifndef STANDIN_SODIUM_H
#define STANDIN_SODIUM_H

#include <stddef.h>
#include <stdint.h>

#define crypto_generichash_BYTES     32U
#define crypto_generichash_BYTES_MAX 64U
#define crypto_shorthash_BYTES       8U
#define crypto_shorthash_KEYBYTES    16U

typedef struct {
    uint64_t words[4];
} crypto_generichash_state;

int sodium_init(void);
void randombytes_buf(void *to, size_t size);
int crypto_shorthash(unsigned char *out, const unsigned char *in, unsigned long long size,
                     const unsigned char *key);
int crypto_generichash_init(crypto_generichash_state *state, const unsigned char *key,
                            size_t key_size, size_t size);
int crypto_generichash_update(crypto_generichash_state *state, const unsigned char *in,
                              unsigned long long size);
int crypto_generichash_final(crypto_generichash_state *state, unsigned char *out, size_t size);

#endif
