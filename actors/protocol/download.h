/*
 * download.h - a fetch that is tried again, and what a failure of one means.
 *
 * There is one policy for everybody who fetches.  Trouble on the way (somebody
 * is away, slow, short of memory, or has not published yet) is TRANSIENT: the
 * fetch is repeated, after a pause that grows, for as long as its owner wants
 * the object.  Content that is not what was asked for is WRONG: it would come
 * again, so it is not asked for again.  How long somebody is waited for is not
 * decided here.
 *
 * A download is a reader (fedmq/actors/receive.h) with that policy.  It is told
 * of every event of its link and of the time, and belongs to the link's thread.
 */
#ifndef FEDMQ_ACTORS_PROTOCOL_DOWNLOAD_H
#define FEDMQ_ACTORS_PROTOCOL_DOWNLOAD_H

#include "fedmq/actors/receive.h"
#include "fedmq/base/log.h"

#define FMQ_DOWNLOAD_PAUSE_MS     500  /* after the first failure, doubling ... */
#define FMQ_DOWNLOAD_PAUSE_MAX_MS 8000 /* ... up to this */

typedef enum { FMQ_DOWNLOAD_TRANSIENT, FMQ_DOWNLOAD_WRONG } fmq_download_fault_t;

fmq_download_fault_t fmq_download_judge(fmq_error_code_t code);

/* How long to wait before trying again after so many failures, from 1. */
int64_t fmq_download_pause_ms(uint32_t failures);

/* From whom and what; everything is borrowed for the download's life, but owner
 * and digest are copied. */
typedef struct {
    fmq_link_t *link;
    fmq_log_t *log;           /* may be NULL */
    const char *actor, *what; /* of its lines: "client-3", "state" */
    const char *owner;
    const fmq_digest_t *digest;
} fmq_download_from_t;

typedef struct {
    fmq_download_from_t from;
    char owner[FMQ_MEMBER_NAME_MAX];
    fmq_digest_t digest;
    uint64_t bytes_max;
    fmq_state_reader_t state; /* of a vector ... */
    fmq_bytes_reader_t bytes; /* ... or of plain bytes */
    bool plain;
    bool active;  /* wanted and not complete yet */
    bool running; /* ... and the link is at it */
    uint32_t failures;
    int64_t again_ms; /* not running: when it is tried again */
} fmq_download_t;

/* Begins; a zeroed or cancelled download may begin anew.  The vector is filled
 * from the front, anew with each attempt.  Bytes are in `bytes` when it is
 * done, until fmq_download_cancel(). */
void fmq_download_vector(fmq_download_t *self, const fmq_download_from_t *from,
                         const fmq_schema_t *schema, float *vector, int64_t now_ms);
void fmq_download_bytes(fmq_download_t *self, const fmq_download_from_t *from, uint64_t limit,
                        int64_t now_ms);

/* FAILED: the content is WRONG, err says how, and the download is over.
 * Transient trouble is MORE, and a line in the log. */
fmq_receive_t fmq_download_take(fmq_download_t *self, const fmq_event_t *event, int64_t now_ms,
                                fmq_error_t *err);

/* Tries again when it is time to.  Call when fmq_download_patience() is over:
 * milliseconds, at most `most` (-1: without end). */
void fmq_download_work(fmq_download_t *self, int64_t now_ms);
int fmq_download_patience(const fmq_download_t *self, int64_t now_ms, int most);

/* Stops and releases; harmless when zeroed. */
void fmq_download_cancel(fmq_download_t *self);

#endif
