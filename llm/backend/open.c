/*
 * open.c - the backend that a device's name stands for: the one place that
 * knows which kinds of devices there are.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/backend.h"
#include "llm/backend/load.h"

#define DIGITS_MAX 4 /* of a device's number */

/* A device's name, taken apart: KIND[:NUMBER][:f32|:bf16]. */
typedef struct {
    size_t kind; /* bytes of it */
    bool numbered, typed;
    int number;
    bool bf16;
} name_t;

/* What lies between colons; false where there is no more. */
static bool next_part(const char **at, const char **part, size_t *size)
{
    if (**at != ':')
        return false;
    *part = *at + 1;
    *size = strcspn(*part, ":");
    *at = *part + *size;
    return true;
}

static bool is(const char *part, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(part, word, size) == 0;
}

static bool parse(const char *device, name_t *out)
{
    name_t name = {.kind = strcspn(device, ":")};
    const char *at = device + name.kind, *part;
    size_t size;
    while (next_part(&at, &part, &size)) {
        size_t digits = strspn(part, "0123456789");
        if (name.typed)
            return false;
        if (!name.numbered && size > 0 && size <= DIGITS_MAX && digits == size) {
            name.numbered = true;
            name.number = atoi(part);
            continue;
        }
        name.bf16 = is(part, size, "bf16");
        if (!name.bf16 && !is(part, size, "f32"))
            return false;
        name.typed = true;
    }
    *out = name;
    return true;
}

static const llm_module_t *module_of(const char *device, size_t kind)
{
    static const llm_module_t modules[] = {
        {"cuda", "FEDMQ_CUDA", "libfedmq-cuda.so"},
        {"cuda-emulated", "FEDMQ_CUDA_EMULATED", "libfedmq-cuda-emulated.so"},
    };
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (is(device, kind, modules[i].name))
            return &modules[i];
    return NULL;
}

llm_backend_t *llm_backend_open(const char *device, unsigned threads, fmq_error_t *err)
{
    name_t name;
    bool known = parse(device, &name);
    if (known && is(device, name.kind, "cpu") && !name.numbered)
        return name.bf16 ? llm_backend_cpu_new_half(threads, err)
                         : llm_backend_cpu_new(threads, err);
    const llm_module_t *module = known ? module_of(device, name.kind) : NULL;
    if (module)
        return llm_module_open(module, name.number, name.bf16 || !name.typed, err);
    fmq_error_set(err, FMQ_ERR_CONFIG,
                  "there is no device '%.40s'; known are cpu, cpu:bf16, cuda and cuda:N (the "
                  "GPU of number N, from 0), with :f32 or :bf16 behind them",
                  device);
    return NULL;
}
