/*
 * manifest.c - fuzz target: what a client's model is made of.  What is
 * accepted must survive being encoded and decoded again.
 */
#include <string.h>

#include "fedmq/actors/model_transfer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char first[FMQ_MANIFEST_MAX], second[FMQ_MANIFEST_MAX];
    static fmq_manifest_t manifest, again;
    llm_shape_t shape;
    fmq_error_t err;
    if (fmq_manifest_decode(&manifest, data, size, &err) < 0)
        return 0;
    if (fmq_manifest_shape(&manifest, &shape, &err) == 0 && shape.layers < manifest.r)
        __builtin_trap();
    (void)fmq_manifest_bytes(&manifest);
    size_t length = fmq_manifest_encode(&manifest, first, sizeof first, &err);
    if (length == 0 || fmq_manifest_decode(&again, first, length, &err) < 0 ||
        fmq_manifest_encode(&again, second, sizeof second, &err) != length ||
        memcmp(first, second, length) != 0)
        __builtin_trap();
    return 0;
}
