/*
 * mutation.h - deterministic damage for decoders: flips, cuts, insertions and
 * runs of random bytes, from one seed, so that a failure can be repeated.
 */
#ifndef FEDMQ_TESTS_BROKER_MUTATION_H
#define FEDMQ_TESTS_BROKER_MUTATION_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t state;
} mutation_t;

/* splitmix64, Steele, Lea and Flood 2014. */
static inline uint64_t mutation_random(mutation_t *self)
{
    uint64_t z = self->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline size_t mutation_below(mutation_t *self, size_t n)
{
    return n == 0 ? 0 : (size_t)(mutation_random(self) % n);
}

/* Bytes that mean something to msgpack, where errors hide. */
static inline uint8_t mutation_byte(mutation_t *self)
{
    static const uint8_t telling[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                      0xc1, 0xc4, 0xc5, 0xc6, 0xc9, 0xcb, 0xcf, 0xd3, 0xd9,
                                      0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};
    uint64_t random = mutation_random(self);
    return random & 1 ? (uint8_t)(random >> 8) : telling[(random >> 8) % sizeof telling];
}

/* Copies size bytes of from to `to` (capacity bytes), damages them in 1 to 4
 * places, and returns the new size. */
static inline size_t mutation_apply(mutation_t *self, uint8_t *to, size_t capacity,
                                    const uint8_t *from, size_t size)
{
    size = size < capacity ? size : capacity;
    if (size > 0)
        memcpy(to, from, size);
    for (size_t damages = 1 + mutation_below(self, 4); damages > 0; damages--) {
        size_t at = mutation_below(self, size);
        switch (mutation_below(self, 5)) {
        case 0:
            size = at;
            break;
        case 1:
            if (size > 0)
                to[at] ^= (uint8_t)(1u << mutation_below(self, 8));
            break;
        case 2:
            if (size > 0)
                to[at] = mutation_byte(self);
            break;
        case 3:
            if (size < capacity) {
                memmove(to + at + 1, to + at, size - at);
                to[at] = mutation_byte(self);
                size++;
            }
            break;
        default:
            for (size_t i = at; i < size && i < at + 8; i++)
                to[i] = mutation_byte(self);
        }
    }
    return size;
}

/* A heap copy of exactly size bytes, so that the address sanitizer sees a
 * read beyond them.  The caller frees it. */
static inline uint8_t *mutation_exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy && size > 0)
        memcpy(copy, data, size);
    return copy;
}

#endif
