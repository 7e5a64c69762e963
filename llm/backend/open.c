/*
 * open.c - the backend that a device's name stands for: the one place that
 * knows which kinds of devices there are.
 */
#include <stdbool.h>
#include <string.h>

#include "fedmq/llm/backend.h"

/* "cuda" is the first one, "cuda:N" number N. */
static bool is_cuda(const char *device)
{
    static const char kind[] = "cuda";
    size_t size = sizeof kind - 1;
    if (strncmp(device, kind, size) != 0)
        return false;
    if (device[size] == '\0')
        return true;
    const char *number = device + size + 1;
    size_t digits = strspn(number, "0123456789");
    return device[size] == ':' && digits > 0 && digits <= 4 && number[digits] == '\0';
}

llm_backend_t *llm_backend_open(const char *device, unsigned threads, fmq_error_t *err)
{
    if (strcmp(device, "cpu") == 0)
        return llm_backend_cpu_new(threads, err);
    if (strcmp(device, "cpu:bf16") == 0)
        return llm_backend_cpu_new_half(threads, err);
    if (is_cuda(device))
        fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                      "device '%s': this build has no CUDA module, so that it computes on the CPU "
                      "alone; use 'cpu'",
                      device);
    else
        fmq_error_set(err, FMQ_ERR_CONFIG,
                      "there is no device '%.40s'; known are cpu, cpu:bf16, cuda and cuda:N (the "
                      "GPU of number N, from 0)",
                      device);
    return NULL;
}
