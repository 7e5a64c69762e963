/*
 * random.cuh - dropout's masks: Philox4x32-10, block and word for word what
 * base/rng.c draws.
 *
 * Element i of a stream is decided by word i % 4 of block i / 4, whoever asks
 * and in whatever order.
 */
#ifndef LLM_BACKEND_CUDA_RANDOM_CUH
#define LLM_BACKEND_CUDA_RANDOM_CUH

#include "llm/backend/cuda/device.cuh"

/* Block number block of the stream: Salmon et al., SC'11. */
DEVICE void philox(uint32_t words[4], const llm_cuda_dropout_t &stream, uint32_t block)
{
    uint32_t c0 = block, c1 = stream.counter[1], c2 = stream.counter[2], c3 = stream.counter[3];
    uint32_t k0 = stream.key[0], k1 = stream.key[1];
#pragma unroll
    for (int i = 0; i < 10; i++) {
        uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        uint32_t high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

/* Bit j says whether element at + j is kept, for eight elements. */
DEVICE uint32_t kept8(const llm_cuda_dropout_t &stream, uint64_t at)
{
    const uint64_t first = stream.first + at;
    uint32_t kept = 0;
    const int offset = (int)(first % 4); /* 0 wherever rows are a multiple of 4 */
    for (int part = 0; part < (offset ? 3 : 2); part++) {
        uint32_t words[4], bits = 0;
        philox(words, stream, (uint32_t)(first / 4) + (uint32_t)part);
#pragma unroll
        for (int j = 0; j < 4; j++)
            bits |= (uint32_t)((uint64_t)words[j] >= stream.threshold) << j;
        kept |= part ? bits << (4 * part - offset) : bits >> offset;
    }
    return kept & 0xffu;
}

#endif
