/*
 * schema.h - the ordered list of named tensors that make up a state.
 *
 * A state (an adapter, a full model, an optimizer moment) is one contiguous
 * vector; its schema says which tensor lies where.  Two ends that hold schemas
 * with the same digest may exchange states.  A schema is immutable once its
 * digest has been asked for, and may then be read from any thread.
 */
#ifndef FEDMQ_BASE_SCHEMA_H
#define FEDMQ_BASE_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/digest.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_SCHEMA_TENSORS_MAX  65536
#define FMQ_SCHEMA_NAME_MAX     192 /* bytes with the final NUL */
#define FMQ_SCHEMA_RANK_MAX     4
#define FMQ_SCHEMA_ELEMENTS_MAX (UINT64_C(1) << 40)

typedef enum { FMQ_F32 = 0, FMQ_F16, FMQ_BF16, FMQ_I8, FMQ_U8, FMQ_I32, FMQ_I64 } fmq_dtype_t;

typedef struct {
    char name[FMQ_SCHEMA_NAME_MAX];
    uint32_t rank;
    uint64_t shape[FMQ_SCHEMA_RANK_MAX]; /* row-major; unused entries are 1 */
    uint64_t offset;                     /* first element within the state */
    uint64_t count;                      /* product of shape */
} fmq_tensor_t;

typedef struct fmq_schema fmq_schema_t;

struct fmq_codec_ops;           /* fedmq/extend/codec.h */
#define FMQ_SCHEMA_CODECS_MAX 8 /* beside those that everybody has */

/* Bytes of one element. */
size_t fmq_dtype_size(fmq_dtype_t dtype);
/* "f32", "bf16", ... */
const char *fmq_dtype_name(fmq_dtype_t dtype);

/* An empty schema of states with elements of dtype.  NULL: out of memory. */
fmq_schema_t *fmq_schema_new(fmq_dtype_t dtype);
void fmq_schema_destroy(fmq_schema_t **self_p);

/* Appends a tensor behind the last one.  Returns 0, or -1 with FMQ_ERR_LIMIT,
 * FMQ_ERR_FORMAT (empty or repeated name, zero extent) or FMQ_ERR_NOMEM. */
int fmq_schema_add(fmq_schema_t *self, const char *name, uint32_t rank, const uint64_t *shape,
                   fmq_error_t *err);

/* A further codec that states of this schema may travel in; borrowed.  It is no part of the
 * digest.  -1 with FMQ_ERR_LIMIT. */
int fmq_schema_add_codec(fmq_schema_t *self, const struct fmq_codec_ops *codec, fmq_error_t *err);
/* NULL behind the last of them. */
const struct fmq_codec_ops *fmq_schema_codec(const fmq_schema_t *self, size_t index);

fmq_dtype_t fmq_schema_dtype(const fmq_schema_t *self);
size_t fmq_schema_size(const fmq_schema_t *self);                          /* tensors */
uint64_t fmq_schema_elements(const fmq_schema_t *self);                    /* elements of a state */
const fmq_tensor_t *fmq_schema_at(const fmq_schema_t *self, size_t index); /* borrowed */
const fmq_tensor_t *fmq_schema_find(const fmq_schema_t *self, const char *name); /* or NULL */

/* Digest over dtype, and name and shape of every tensor in order (the exact
 * bytes are in docs/protocol.md). */
fmq_digest_t fmq_schema_digest(const fmq_schema_t *self);

FMQ_API_END

#endif
