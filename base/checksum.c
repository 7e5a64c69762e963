/*
 * checksum.c - four lanes of multiply and fold, so that the latency of one
 * multiplication is hidden by the others.
 *
 * A step is a bijection of the lane for a given word and of the word for a
 * given lane, and so is the last mixing of each lane: one changed word always
 * changes the sum.
 */
#include "base/checksum.h"

#include <string.h>

#define LANES  4
#define FACTOR UINT64_C(0x9e3779b97f4a7c15) /* odd, bits well mixed: 2^64 over the golden ratio */

static uint64_t step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * FACTOR;
    return lane ^ lane >> 32;
}

uint64_t fmq_checksum(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t lanes[LANES] = {1, 2, 3, 4}, words[LANES] = {0};
    size_t at = 0;
    for (; size - at >= sizeof words; at += sizeof words) {
        memcpy(words, bytes + at, sizeof words);
        for (int i = 0; i < LANES; i++)
            lanes[i] = step(lanes[i], words[i]);
    }
    memset(words, 0, sizeof words);
    if (size > at)
        memcpy(words, bytes + at, size - at);
    uint64_t sum = step(0, size);
    for (int i = 0; i < LANES; i++)
        sum = step(sum, step(lanes[i], words[i]));
    return sum;
}
