/*
 * virtual.h - virtual tokens within a pass: rows in front of every sequence of a
 * packed batch, which lie in the plan's buffers like those of real tokens.
 *
 * Prompt and p-tuning write their embeddings there.  Prefix tuning writes keys
 * and values there in each layer, where attention is about to read them; what
 * else these rows hold nobody looks at, and no gradient but that of the keys and
 * values leaves them.  A struct of zeros stands for none, and every function
 * does nothing then.
 */
#ifndef FEDMQ_LLM_PASS_VIRTUAL_H
#define FEDMQ_LLM_PASS_VIRTUAL_H

#include "fedmq/llm/adapter.h"
#include "llm/adapter/encoder.h"
#include "llm/pass/plan.h"

typedef struct {
    llm_backend_t *be;                  /* borrowed */
    const llm_encoder_layout_t *layout; /* borrowed from the adapter; NULL: none */
    llm_encoder_t *encoder;             /* owned */
    const float *params;                /* borrowed: the vector of the adapter */
    float *grads;                       /* borrowed, or NULL */
    size_t pair;                        /* key and value of a layer; 0: rows are embeddings */
    const float *rows;                  /* [count][layout's width] */
    llm_act_t *acts;                    /* owned: the same as activations; NULL for embeddings */
    size_t bytes;
    float *drows;          /* [count][width]; NULL unless training */
    float *memory;         /* owned: drows and the following */
    float *sum, *identity; /* [count][pair], [count][count] */
    llm_act_t *taken;      /* owned: [count][pair] */
} llm_virtual_t;

/* Where the sequences of a batch lie; starts count virtual rows. */
typedef struct {
    size_t sequences;
    const uint32_t *starts;
} llm_virtual_batch_t;

/* How many a stack's adapter puts in front of each sequence. */
size_t llm_virtual_count(const llm_virtual_t *self);

/* grads NULL: no backward.  The struct must be zero before; release after
 * failure too. */
int llm_virtual_init(llm_virtual_t *self, const llm_adapter_t *adapter, llm_backend_t *be,
                     bool training, fmq_error_t *err);
void llm_virtual_bind(llm_virtual_t *self, const float *params, float *grads);
void llm_virtual_release(llm_virtual_t *self);
size_t llm_virtual_bytes(const llm_virtual_t *self);

/* Makes the rows of what the vector holds now; once before the first layer. */
void llm_virtual_begin(llm_virtual_t *self, const fmq_rng_name_t *dropout);
/* Before backward. */
void llm_virtual_zero_gradient(llm_virtual_t *self);
/* After backward: what was added up reaches the vector's gradient. */
void llm_virtual_end(llm_virtual_t *self);

/* Embeddings into x [T][C]; and their gradient out of dx. */
void llm_virtual_embed(const llm_virtual_t *self, llm_act_t *x, size_t C,
                       const llm_virtual_batch_t *batch);
void llm_virtual_embed_backward(const llm_virtual_t *self, const llm_act_t *dx, size_t C,
                                const llm_virtual_batch_t *batch);

/* Keys and values of a layer into those of a batch; and their gradient out of
 * the batch's: what is taken is zeros then, as are the queries'. */
void llm_virtual_attend(const llm_virtual_t *self, uint32_t layer, const llm_qkv_t *qkv,
                        const llm_virtual_batch_t *batch);
void llm_virtual_attend_backward(const llm_virtual_t *self, uint32_t layer, const llm_qkv_t *dqkv,
                                 const llm_virtual_batch_t *batch);

#endif
