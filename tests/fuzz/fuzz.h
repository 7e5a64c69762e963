/*
 * fuzz.h - what every fuzz target has: libFuzzer's entry point.
 *
 * A target must return 0, never crash, hang or leak, whatever the bytes are;
 * it traps when a decoder accepts what it must not.
 */
#ifndef FEDMQ_TESTS_FUZZ_H
#define FEDMQ_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
