/*
 * blob.h - an object that is not here yet, and where those that came are kept.
 */
#ifndef FEDMQ_ACTORS_BLOB_H
#define FEDMQ_ACTORS_BLOB_H

#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

typedef struct {
    fmq_digest_t digest;
    uint64_t bytes;
} fmq_blob_t;

/* fedmq.layer_cache, or where that is "" $XDG_CACHE_HOME/fedmq/layers or
 * ~/.cache/fedmq/layers; made if it is not there.  The caller's. */
char *fmq_blob_cache_directory(const char *configured, fmq_error_t *err);

FMQ_API_END

#endif
