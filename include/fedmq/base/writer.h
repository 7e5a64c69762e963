/*
 * writer.h - output that never makes its caller wait.
 *
 * A terminal that is paused, a pipe that nobody reads and a full disk hold up
 * whoever writes to them.  A writer takes texts into a bounded queue and has a
 * thread of its own write them, in the order in which they came.  What does not
 * fit, or fails, is dropped and counted by lines, and said in its place as soon
 * as something can be written again.  No failure is final: a full disk may
 * have room again and a fifo a new reader, so later texts are tried as before.
 *
 * Thread-safe.  Its thread has all signals blocked, so that a reader that has
 * gone is an error of write() (EPIPE) and ends no process.
 */
#ifndef FEDMQ_BASE_WRITER_H
#define FEDMQ_BASE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

#define FMQ_WRITER_BYTES    (1 << 20) /* that may wait, unless told otherwise */
#define FMQ_WRITER_TEXT_MAX 65536     /* bytes; a longer text is dropped */

typedef enum {
    FMQ_WRITER_PASSING,   /* may be missed: written when nothing else waits; whatever comes after
                             it takes its place, and it is never counted */
    FMQ_WRITER_LINE,      /* may fill three quarters of the queue */
    FMQ_WRITER_IMPORTANT, /* may fill all of it: warnings, errors, the last lines */
} fmq_writer_kind_t;

typedef struct fmq_writer fmq_writer_t;

/* Puts what is said in the place of lines that were dropped into out, with a
 * newline, and returns its size.  Called from the writer's thread. */
typedef size_t(fmq_writer_notice_fn)(void *argument, uint64_t lines, char *out, size_t capacity);

typedef struct {
    int descriptor;               /* borrowed; stays open until the writer is closed */
    size_t capacity;              /* bytes that may wait; 0: FMQ_WRITER_BYTES */
    fmq_writer_notice_fn *notice; /* NULL: "dropped 12 lines that could not be written" */
    void *argument;               /* of notice, borrowed */
} fmq_writer_options_t;

typedef struct {
    uint64_t dropped; /* lines that were never written, so far */
    uint64_t waiting; /* bytes */
    int error;        /* errno of the last write if that failed, else 0 */
} fmq_writer_state_t;

/* Starts the thread.  NULL with err FMQ_ERR_NOMEM. */
fmq_writer_t *fmq_writer_new(const fmq_writer_options_t *options, fmq_error_t *err);

/* Takes a copy of size bytes, whole lines unless they are PASSING; never waits
 * for the output. */
void fmq_writer_put(fmq_writer_t *self, fmq_writer_kind_t kind, const char *text, size_t size);

/* Waits until everything that was put is written or dropped, but at most
 * wait_ms without progress.  Returns 0, or -1 when something still waits. */
int fmq_writer_flush(fmq_writer_t *self, int wait_ms);

/* As flush, then ends the thread even in the middle of a write, and drops what
 * was not written; what is put later is dropped too.  Returns how many lines
 * the writer has dropped and never could say so. */
uint64_t fmq_writer_close(fmq_writer_t *self, int wait_ms);

/* Closes without waiting what was not closed.  Nobody may use it any more. */
void fmq_writer_destroy(fmq_writer_t **self_p);

fmq_writer_state_t fmq_writer_state(fmq_writer_t *self);

FMQ_API_END

#endif
