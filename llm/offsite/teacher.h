/*
 * teacher.h - what the full model has to say about a batch: the streams behind
 * some of its layers, and its logits.
 *
 * It is asked with the stream h that enters the emulated layers, because the
 * client's model has computed that already.  Streams that a cache keeps are
 * not computed again; to the byte, nothing else changes.
 */
#ifndef FEDMQ_LLM_OFFSITE_TEACHER_H
#define FEDMQ_LLM_OFFSITE_TEACHER_H

#include "fedmq/llm/align.h"

/* Rows of logits at a time, of either model: both lie in memory together. */
#define LLM_ALIGN_ROWS_MAX 64

typedef struct {
    const llm_offsite_t *offsite; /* borrowed, as be and cache */
    llm_backend_t *be;
    llm_prefix_cache_t *cache; /* or NULL */
    llm_workspace_t *ws;       /* owned */
    size_t tokens_max, sequences_max, width;
    bool whole;                   /* is asked for logits too */
    size_t taps;                  /* streams asked for, and at most one for ourselves */
    uint32_t tap[LLM_LAYERS_MAX]; /* ... is the one behind this layer */
    llm_act_t *streams;           /* owned by be, [taps][tokens_max][width] */
    char *host;                   /* owned, the same in host memory, with a cache */
    const void **kept;            /* owned, [sequences_max]: NULL where it is missing */
    uint32_t *starts;             /* owned: the missing ones, packed ... */
    int32_t *ids;                 /* owned */
} llm_teacher_t;

typedef struct {
    const uint32_t *tap; /* layers whose streams are wanted, within [l, r) */
    size_t taps;
    bool whole;
    size_t tokens_max, sequences_max; /* of a batch */
} llm_teacher_wish_t;

/* adapter: A's vector, host.  A cache is bound and tagged.  Release after
 * failure too. */
int llm_teacher_init(llm_teacher_t *self, const llm_align_t *align, const llm_teacher_wish_t *wish,
                     const float *adapter, fmq_error_t *err);
void llm_teacher_release(llm_teacher_t *self);

/* Sequence s of the batch is example examples[s]; h is [tokens][width] on the
 * backend. */
int llm_teacher_run(llm_teacher_t *self, const llm_batch_t *batch, const uint32_t *examples,
                    const llm_act_t *h, fmq_error_t *err);
/* The stream behind layer tap[i] of the wish, [tokens][width] on the backend. */
const llm_act_t *llm_teacher_stream(const llm_teacher_t *self, size_t i);

#endif
