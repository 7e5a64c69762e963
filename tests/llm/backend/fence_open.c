/*
 * fence_open.c - in a program that is linked with --wrap=llm_backend_open,
 * every device that is opened by its name is behind a fence.
 */
#include "fence.h"

llm_backend_t *__real_llm_backend_open(const char *device, unsigned threads, fmq_error_t *err);
llm_backend_t *__wrap_llm_backend_open(const char *device, unsigned threads, fmq_error_t *err);

llm_backend_t *__wrap_llm_backend_open(const char *device, unsigned threads, fmq_error_t *err)
{
    llm_backend_t *inner = __real_llm_backend_open(device, threads, err);
    llm_backend_t *be = inner ? fence_new(&inner, err) : NULL;
    llm_backend_destroy(&inner);
    return be;
}
