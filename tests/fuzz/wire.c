/*
 * wire.c - fuzz target: the header frames of the fabric's messages.  What is
 * accepted must survive being encoded and decoded again.
 */
#include <string.h>

#include "broker/wire.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t first[FMQ_WIRE_HEADER_MAX], second[FMQ_WIRE_HEADER_MAX];
    fmq_message_t message, again;
    fmq_error_t err;
    if (fmq_message_decode(&message, data, size, &err) < 0)
        return 0;
    size_t length = fmq_message_encode(&message, first);
    if (length == 0 || fmq_message_decode(&again, first, length, &err) < 0 ||
        fmq_message_encode(&again, second) != length || memcmp(first, second, length) != 0)
        __builtin_trap();
    return 0;
}
