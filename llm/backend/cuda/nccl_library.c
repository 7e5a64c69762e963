/*
 * nccl_library.c - finds NCCL when several devices want it: a machine without it,
 * or with one device, needs no such library.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "llm/backend/cuda/nccl.h"

#define FILE_NAME "libnccl.so.2"

int llm_nccl_find(llm_nccl_t *out, fmq_error_t *err)
{
    const char *said = getenv("FEDMQ_NCCL");
    void *library = dlopen(said && *said ? said : FILE_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "no NCCL: %s; install " FILE_NAME ", or name it in $FEDMQ_NCCL",
                             why ? why : FILE_NAME);
    }
    const struct {
        const char *name;
        void *at;
    } functions[] = {
        {"ncclCommInitAll", &out->init_all}, {"ncclGroupStart", &out->group_start},
        {"ncclGroupEnd", &out->group_end},   {"ncclSend", &out->send},
        {"ncclRecv", &out->receive},         {"ncclCommGetAsyncError", &out->async_error},
        {"ncclCommDestroy", &out->destroy},  {"ncclCommAbort", &out->abort},
        {"ncclGetErrorString", &out->text}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *symbol = dlsym(library, functions[i].name);
        if (!symbol)
            return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                                 "'%s' is no NCCL of 2.7 or later: it has no %s; name another one "
                                 "in $FEDMQ_NCCL",
                                 said && *said ? said : FILE_NAME, functions[i].name);
        memcpy(functions[i].at, &symbol, sizeof symbol); /* POSIX has it so; ISO C has no cast */
    }
    return 0;
}
