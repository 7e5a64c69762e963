/*
 * byte_tokenizer.h - a tokenizer made for tests: an id for every byte, BOS in
 * front.
 *
 * It takes the place of the real one at link time, and can be told to fail.
 */
#ifndef FEDMQ_TESTS_BYTE_TOKENIZER_H
#define FEDMQ_TESTS_BYTE_TOKENIZER_H

#include "fedmq/llm/tokenizer.h"

#define BYTE_BOS 256
#define BYTE_EOS 257

struct llm_tokenizer {
    size_t refused_at; /* fails at the call with this number; 0: never */
    size_t calls;
    size_t largest; /* bytes of the longest text so far */
};

#endif
