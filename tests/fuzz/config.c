/*
 * config.c - fuzz target: config.json.  What is accepted must be within its
 * limits, and must read the same when it is written and read again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fedmq/llm/shape.h"
#include "tests/fuzz/fuzz.h"

static void check(const llm_shape_t *shape, const char *path)
{
    llm_shape_t again;
    fmq_error_t err;
    size_t out, in;
    memset(&again, 0, sizeof again);
    if (shape->layers - 1 >= LLM_LAYERS_MAX || shape->width - 1 >= LLM_WIDTH_MAX ||
        shape->heads % shape->kv_heads != 0 || llm_shape_parameters(shape) == 0)
        __builtin_trap();
    for (int m = 0; m < LLM_MODULES; m++)
        llm_shape_module(shape, (llm_module_t)m, &out, &in);
    float *frequencies = calloc(shape->head_width, sizeof *frequencies);
    if (frequencies && shape->arch->positions == LLM_POSITIONS_ROPE)
        llm_shape_rope_frequencies(shape, frequencies);
    free(frequencies);
    if (!path) /* most of the time: saving waits for the disk */
        return;
    if (llm_shape_save(shape, path, &err) < 0 || llm_shape_load(&again, path, &err) < 0 ||
        memcmp(shape, &again, sizeof again) != 0)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    llm_shape_t shape;
    fmq_error_t err;
    memset(&shape, 0, sizeof shape);
    (void)snprintf(path, sizeof path, "/tmp/fedmq-fuzz-config-%ld", (long)getpid());
    FILE *stream = fopen(path, "wb");
    if (!stream)
        return 0;
    (void)fwrite(data, 1, size, stream);
    (void)fclose(stream);
    if (llm_shape_load(&shape, path, &err) == 0)
        check(&shape, size % 16 == 0 ? path : NULL);
    (void)unlink(path);
    return 0;
}
