/*
 * load.c - finds a backend's module, and asks it for an instance.
 */
#define _GNU_SOURCE /* dladdr */
#include "llm/backend/load.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/module.h"
#include "llm/backend/cuda/module.h"

/* Where libraries lie as seen from programs, once both are installed. */
#ifndef FEDMQ_LIBRARIES_FROM_PROGRAMS
#define FEDMQ_LIBRARIES_FROM_PROGRAMS "../lib"
#endif

/* The folder of a path, in place; false where the path names none. */
static bool cut_to_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

/* The folder of what this code is part of: libfedmq, or a program. */
static bool own_folder(char folder[PATH_MAX])
{
    static const char here[] = LLM_CUDA_ENTRY; /* in this very library */
    Dl_info about;
    if (!dladdr(here, &about) || !about.dli_fname)
        return false;
    int size = snprintf(folder, PATH_MAX, "%s", about.dli_fname);
    return size > 0 && size < PATH_MAX && cut_to_folder(folder);
}

static bool program_folder(char folder[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (size <= 0)
        return false;
    folder[size] = '\0';
    return cut_to_folder(folder);
}

/* The path of the module in a folder, or in the one for libraries beside it. */
static bool is_in(const char *folder, const llm_module_t *module, char path[PATH_MAX])
{
    static const char *const below[] = {"", "/" FEDMQ_LIBRARIES_FROM_PROGRAMS};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        int size = snprintf(path, PATH_MAX, "%s%s/%s", folder, below[i], module->file);
        if (size > 0 && size < PATH_MAX && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* What dlopen() is to be given: a path, or a name for the loader to look up. */
static const char *find(const llm_module_t *module, char path[PATH_MAX])
{
    char folder[PATH_MAX];
    const char *said = getenv(module->variable);
    if (said && *said)
        return said;
    if ((own_folder(folder) && is_in(folder, module, path)) ||
        (program_folder(folder) && is_in(folder, module, path)))
        return path;
    return module->file;
}

/* Every text says which device it is about, and the way out. */
static llm_backend_t *refuse(const llm_module_t *module, int device, fmq_error_t *err)
{
    (void)fmq_error_prefix(err, "device '%s:%d'", module->name, device);
    return NULL;
}

llm_backend_t *llm_module_open(const llm_module_t *module, int device, bool bf16, fmq_error_t *err)
{
    char path[PATH_MAX];
    const char *file = find(module, path);
    void *symbol = NULL;
    fmq_error_t why;
    llm_cuda_entry_t entry;
    if (fmq_module_symbol(file, LLM_CUDA_ENTRY, &symbol, &why) < 0) {
        if (why.code == FMQ_ERR_MISMATCH)
            fmq_error_set(err, FMQ_ERR_MISMATCH,
                          "'%s' is no CUDA module of this version: %s; install it from the same "
                          "build, or use 'cpu'",
                          file, why.text);
        else
            fmq_error_set(
                err, FMQ_ERR_UNSUPPORTED,
                "no CUDA module: %s; install %s beside libfedmq, name it in $%s, or use 'cpu'",
                why.text, module->file, module->variable);
        return refuse(module, device, err);
    }
    memcpy(&entry, &symbol, sizeof entry); /* POSIX has it so; ISO C has no such cast */
    llm_cuda_request_t request = {.table = LLM_CUDA_TABLE,
                                  .ops_bytes = sizeof(llm_ops_t),
                                  .instance_bytes = sizeof(llm_instance_t),
                                  .device = device,
                                  .bf16 = bf16};
    llm_backend_t *be = NULL;
    return entry(&request, &be, err) == 0 ? be : refuse(module, device, err);
}
