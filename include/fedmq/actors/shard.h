/*
 * shard.h - the data of one client as an object: train, val and test records.
 *
 * The object is the concatenation of three parts in the order train, val,
 * test.  Each part is one line {"part":"train","records":N} and then N lines
 * as llm_records_encode() writes them.
 */
#ifndef FEDMQ_ACTORS_SHARD_H
#define FEDMQ_ACTORS_SHARD_H

#include "fedmq/base/api.h"
#include "fedmq/broker/object.h"
#include "fedmq/llm/data.h"

FMQ_API_BEGIN

#define FMQ_SHARD_MAX         (UINT64_C(1) << 30)  /* bytes of a shard that are accepted */
#define FMQ_SHARD_RECORDS_MAX (FMQ_SHARD_MAX / 16) /* no record of use is smaller */

/* A sealed object of the three parts; a NULL part is an empty one. */
fmq_object_t *fmq_shard_encode(const llm_records_t *const parts[3], fmq_error_t *err);

/* Appends the records of a shard to parts[0..2] (created by the caller).  The
 * bytes are a stranger's: FMQ_ERR_FORMAT names the part.  On failure the parts
 * may hold some of the records: destroy them. */
int fmq_shard_decode(const void *data, size_t size, llm_records_t *const parts[3],
                     fmq_error_t *err);

FMQ_API_END

#endif
