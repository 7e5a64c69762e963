/*
 * state.h - a tensor state as an object, and back.
 *
 * The state's flat vector is cut into ranges of at most
 * FMQ_STATE_RANGE_MAX elements; range i is chunk i, whatever the codec, so that
 * the same chunk of every client's update covers the same elements.  A chunk
 * is a msgpack array of slices {tensor, offset, count, codec, data}
 * (docs/protocol.md), each decodable on its own.
 */
#ifndef FEDMQ_BROKER_STATE_H
#define FEDMQ_BROKER_STATE_H

#include <stdbool.h>

#include "fedmq/base/api.h"
#include "fedmq/base/schema.h"
#include "fedmq/broker/object.h"

FMQ_API_BEGIN

#define FMQ_STATE_RANGE_MAX 61440u /* elements of a chunk: 240 KiB of f32 */

/* By number, as on the wire.  Those that a schema was given (fmq_schema_add_codec()) have numbers
 * from FMQ_CODEC_OWN_FIRST on and are known to who has that schema alone. */
typedef enum {
    FMQ_CODEC_F32 = 0,
    FMQ_CODEC_F16,
    FMQ_CODEC_BF16,
    FMQ_CODEC_MOST = 127 /* what a number may be */
} fmq_codec_t;

/* -1 when there is no codec of that name ("f32", "f16", "bf16"). */
int fmq_codec_find(const char *name);
const char *fmq_codec_name(fmq_codec_t codec);
/* The name of each, by number, and what it is; NULL behind the last. */
const char *fmq_codec_at(size_t index, const char **help);
/* Can states of this schema be read in it? */
bool fmq_state_knows(const fmq_schema_t *schema, uint32_t codec);

/* Encodes schema's elements of vector, and seals the object.  NULL with
 * FMQ_ERR_NUMERIC naming a tensor and element that is not finite or beyond the
 * codec's range, FMQ_ERR_UNSUPPORTED for a codec that schema does not know, FMQ_ERR_LIMIT when a
 * chunk would hold more than some 600 tiny tensors or the state more chunks than an object may
 * have, or FMQ_ERR_NOMEM. */
fmq_object_t *fmq_state_encode(const fmq_schema_t *schema, const float *vector, fmq_codec_t codec,
                               fmq_error_t *err);

uint32_t fmq_state_chunks(const fmq_schema_t *schema);
/* The range that chunk index covers. */
void fmq_state_range(const fmq_schema_t *schema, uint32_t index, uint64_t *first, uint64_t *count);

/* Decodes chunk index into out[count of its range].  The bytes are a
 * stranger's: wrong structure, lengths, codec or coverage is FMQ_ERR_FORMAT
 * with out untouched; a NaN or infinity is FMQ_ERR_NUMERIC after out was
 * written. */
int fmq_state_decode(const fmq_schema_t *schema, uint32_t index, const void *data, size_t size,
                     float *out, fmq_error_t *err);

/* Elements of a state that lie in one chunk. */
typedef struct {
    uint64_t first, count;
} fmq_state_part_t;

/* The same of a part of the chunk that it lies in, into out[count]: all of the
 * bytes are judged but for numbers that are not finite outside the part. */
int fmq_state_decode_part(const fmq_schema_t *schema, const fmq_state_part_t *part,
                          const void *data, size_t size, float *out, fmq_error_t *err);

FMQ_API_END

#endif
