/*
 * load.h - backends that are modules, found and opened at run time, so that one
 * build of libfedmq serves machines with and without their drivers.
 */
#ifndef LLM_BACKEND_LOAD_H
#define LLM_BACKEND_LOAD_H

#include "fedmq/llm/backend.h"

/* A kind of device that a module computes on. */
typedef struct {
    const char *name;     /* "cuda" */
    const char *variable; /* of the environment: the module's path */
    const char *file;     /* its name where the variable is not set */
} llm_module_t;

/* An instance on device number `device` of that kind.  The module is what the
 * variable names, or else lies in the folder of libfedmq or of the program, in
 * the folder that libraries are installed in, or where the loader looks.  It
 * stays loaded.  NULL with err, FMQ_ERR_UNSUPPORTED where there is no module or
 * no device that will do, FMQ_ERR_MISMATCH where it is of another build. */
llm_backend_t *llm_module_open(const llm_module_t *module, int device, bool bf16, fmq_error_t *err);

#endif
