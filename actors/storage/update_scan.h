/*
 * update_scan.h - what an earlier process has left in an update log.
 *
 * Reads the records from the front on.  What is damaged is passed over, byte by
 * byte, up to the next record that is intact; an update counts when a commit
 * names it and all its chunks are there and have its digest.
 */
#ifndef FEDMQ_ACTORS_STORAGE_UPDATE_SCAN_H
#define FEDMQ_ACTORS_STORAGE_UPDATE_SCAN_H

#include "actors/storage/update_record.h"
#include "fedmq/base/log.h"

/* Where a chunk's bytes lie: offset << 19 | size. */
typedef uint64_t fmq_chunk_place_t;

#define FMQ_PLACE_SIZE_BITS 19 /* FMQ_CHUNK_MAX fits */

static inline fmq_chunk_place_t fmq_chunk_place(uint64_t offset, size_t size)
{
    return offset << FMQ_PLACE_SIZE_BITS | size;
}

static inline uint64_t fmq_chunk_place_offset(fmq_chunk_place_t place)
{
    return place >> FMQ_PLACE_SIZE_BITS;
}

static inline size_t fmq_chunk_place_size(fmq_chunk_place_t place)
{
    return (size_t)(place & ((UINT64_C(1) << FMQ_PLACE_SIZE_BITS) - 1));
}

typedef struct {
    int fd;
    const char *path;
    const fmq_updates_head_t *head;
    fmq_log_t *log; /* may be NULL */
    /* An update that is whole; takes places, one for each chunk, over.  -1 with
     * err ends the scan. */
    int (*found)(void *argument, const fmq_commit_item_t *item, fmq_chunk_place_t **places,
                 fmq_error_t *err);
    void *argument;
} fmq_update_scan_t;

/* *end: behind the last commit; what lies there belongs to nobody.  *writers:
 * above all numbers of writers.  -1 with FMQ_ERR_IO or FMQ_ERR_NOMEM. */
int fmq_update_scan(const fmq_update_scan_t *self, uint64_t *end, uint32_t *writers,
                    fmq_error_t *err);

#endif
