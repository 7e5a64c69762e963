/*
 * codec.h - a codec as a table of functions: runs of 32-bit floats as bytes, and back.
 *
 * A state travels in chunks, a chunk in runs of at most FMQ_STATE_RANGE_MAX elements of one
 * tensor; a codec sees one run at a time and knows nothing else.  It is asked by several threads
 * at once, and the same floats must give the same bytes everywhere: objects are named by their
 * digest.  Neither direction passes on a NaN or an infinity.
 */
#ifndef FEDMQ_EXTEND_CODEC_H
#define FEDMQ_EXTEND_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FMQ_CODEC_OWN_FIRST 64u  /* numbers of extensions' codecs are from here ... */
#define FMQ_CODEC_OWN_LAST  127u /* ... to here */
#define FMQ_CODEC_ONE_MAX   64u  /* bytes of a run of one element */

typedef struct fmq_codec_ops {
    const char *name; /* of fedmq.codec */
    const char *help; /* one line */
    uint32_t number;  /* of it on the wire; of two that are loaded no two may have the same */
    /* Bytes of a run of so many elements: at most 4 each, at most FMQ_CODEC_ONE_MAX of one. */
    size_t (*bytes)(size_t count);
    /* Writes bytes(count) of them; false when an element is not finite, or cannot be told in this
     * codec.  out needs no alignment. */
    bool (*encode)(void *out, const float *in, size_t count);
    /* Of a run of count elements those from first on, wanted of them; false when one is not
     * finite.  The bytes are a stranger's, bytes(count) of them; in needs no alignment. */
    bool (*decode)(float *out, const void *in, size_t count, size_t first, size_t wanted);
} fmq_codec_ops_t;

#endif
