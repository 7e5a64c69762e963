/*
 * module.c - dlopen() and dlsym(), with their errors as texts.
 */
#include "base/module.h"

#include <dlfcn.h>

int fmq_module_symbol(const char *file, const char *symbol, void **out, fmq_error_t *why)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        return fmq_error_set(why, FMQ_ERR_UNSUPPORTED, "%s", reason ? reason : file);
    }
    void *found = dlsym(library, symbol);
    if (!found)
        return fmq_error_set(why, FMQ_ERR_MISMATCH, "it has no %s", symbol);
    *out = found;
    return 0;
}
