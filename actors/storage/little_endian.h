/*
 * little_endian.h - numbers as the files of a run have them.
 */
#ifndef FEDMQ_ACTORS_STORAGE_LITTLE_ENDIAN_H
#define FEDMQ_ACTORS_STORAGE_LITTLE_ENDIAN_H

#include <stdint.h>

static inline void fmq_put_u32(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> 8 * i);
}

static inline void fmq_put_u64(unsigned char *out, uint64_t value)
{
    fmq_put_u32(out, (uint32_t)value);
    fmq_put_u32(out + 4, (uint32_t)(value >> 32));
}

static inline uint32_t fmq_get_u32(const unsigned char *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static inline uint64_t fmq_get_u64(const unsigned char *in)
{
    return fmq_get_u32(in) | (uint64_t)fmq_get_u32(in + 4) << 32;
}

#endif
