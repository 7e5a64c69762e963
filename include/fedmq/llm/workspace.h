/*
 * workspace.h - the memory and the passes of one training or evaluating actor.
 *
 * Memory is planned once, for batches of at most tokens_max tokens; a pass
 * allocates nothing.  Batches are packed: sequences lie one behind the other
 * without padding.  The head and the loss run on supervised positions only, in
 * blocks, so that the full logits never exist; backward stops at the lowest
 * trainable layer and keeps activations of the layers above it only.
 * A workspace belongs to one thread at a time.  Whoever sets its parameters (and
 * the fixed vector, if any) and zeroes its gradient, as llm_train_run() does,
 * gets the bytes of a new one: nothing else is left of those before.
 */
#ifndef FEDMQ_LLM_WORKSPACE_H
#define FEDMQ_LLM_WORKSPACE_H

#include "fedmq/base/api.h"
#include "fedmq/llm/adapter.h"

FMQ_API_BEGIN

/* Host memory, borrowed for the call. */
typedef struct {
    size_t sequences;
    const uint32_t *starts; /* sequences + 1 row numbers, starts[0] == 0 */
    const int32_t *ids;     /* starts[sequences] token ids */
    size_t supervised;      /* positions with a target, ascending rows */
    const int32_t *rows;    /* row whose output predicts ... */
    const int32_t *targets; /* ... this id (the next token) */
    size_t first_row;       /* rows that come before, of the batch that this is a part of: dropout
                               falls as it would in the whole */
    /* What the frozen layers below the lowest trainable one give for these
     * tokens: activations of the backend, llm_workspace_prefix_bytes() a token.
     * It depends on each sequence alone, to the byte, so that it may be kept
     * from one epoch to the next and in other batches.  Both are ignored when
     * that is 0. */
    const void *prefix; /* NULL: computed; else taken from here */
    void *prefix_out;   /* NULL, or room where a computed one is left */
} llm_batch_t;

/* What a workspace for training does not keep until backward, but computes
 * again there.  Gradients are the same to the byte. */
typedef enum {
    LLM_RECOMPUTE_AUTO,  /* the first of the following that is small enough, or the last */
    LLM_RECOMPUTE_NONE,  /* everything that backward reads is kept */
    LLM_RECOMPUTE_NORMS, /* normed inputs and the MLP's activation: from what they are made of, an
                            element at a time */
    LLM_RECOMPUTE_LAYERS /* all but the stream between layers: for one forward pass more */
} llm_recompute_t;

/* "auto", "none", "norms", "layers". */
const char *llm_recompute_name(llm_recompute_t recompute);

typedef struct {
    size_t tokens_max;     /* of a batch */
    size_t supervised_max; /* 0: tokens_max */
    size_t sequences_max;  /* of a batch, 0: tokens_max; virtual tokens need room for each */
    bool training;         /* plan gradients and activations */
    uint32_t behind;       /* no layer from here on is ever part of a backward pass, which then
                              is not llm_workspace_train()'s; 0: all may be */
    llm_recompute_t recompute;
    /* AUTO: what the pass's memory should not exceed; 0: it may take anything. */
    size_t bytes_wanted;
    /* AUTO: so many workspaces share what is free on the backend, and each
     * should take no more than its part of three quarters of it; 0: nobody
     * asks what is free. */
    unsigned sharers;
} llm_limits_t;

typedef struct llm_workspace llm_workspace_t;

/* What a pass runs through: a model, what trains in it, and what is applied to
 * it without being trained. */
typedef struct {
    const llm_model_t *model;
    const llm_adapter_t *adapter;
    const llm_adapter_t *fixed; /* NULL: none; no tensor may be in both */
} llm_stack_t;

/* Places what is frozen of the stack on the device of be, as the first workspace
 * or generator over it does: nothing of what an adapter of kind FULL covers. */
int llm_stack_place(const llm_stack_t *self, llm_backend_t *be, fmq_error_t *err);

/* Everything is borrowed and must outlive the workspace. */
llm_workspace_t *llm_workspace_new_stack(const llm_stack_t *stack, const llm_limits_t *limits,
                                         llm_backend_t *be, fmq_error_t *err);
/* The vector of stack.fixed; until it is set it is zero (LoRA without effect;
 * a FULL one has to be set). */
int llm_workspace_set_fixed(llm_workspace_t *self, const float *host, fmq_error_t *err);

/* The same without a fixed adapter. */
llm_workspace_t *llm_workspace_new(const llm_model_t *model, const llm_adapter_t *adapter,
                                   const llm_limits_t *limits, llm_backend_t *be, fmq_error_t *err);
void llm_workspace_destroy(llm_workspace_t **self_p);
/* Would one that is made for these compute the same bytes, and fit in here? */
bool llm_workspace_serves(const llm_workspace_t *self, const llm_stack_t *stack,
                          const llm_limits_t *limits);
/* Gives back all memory but the parameters': they can be read, and no pass can
 * be run any more. */
void llm_workspace_strip(llm_workspace_t *self);
size_t llm_workspace_bytes(const llm_workspace_t *self);
/* What was chosen (never AUTO; NONE without training), and the bytes that it
 * spares beside NONE. */
llm_recompute_t llm_workspace_recomputes(const llm_workspace_t *self, size_t *spared);
llm_backend_t *llm_workspace_backend(const llm_workspace_t *self);
const llm_adapter_t *llm_workspace_adapter(const llm_workspace_t *self); /* what trains */

/* The trainable vector on the backend, and its gradient: elements() floats
 * each, owned by the workspace; optimizers work on them in place.  params may
 * be NULL for an adapter with an empty schema. */
float *llm_workspace_params(llm_workspace_t *self);
float *llm_workspace_grads(llm_workspace_t *self); /* NULL unless training */
uint64_t llm_workspace_elements(const llm_workspace_t *self);
int llm_workspace_set_params(llm_workspace_t *self, const float *host, fmq_error_t *err);
/* The same of the elements first .. first + count - 1. */
int llm_workspace_set_range(llm_workspace_t *self, uint64_t first, uint64_t count,
                            const float *host, fmq_error_t *err);
void llm_workspace_get_params(const llm_workspace_t *self, float *host);

/* Bytes a token of a batch's prefix, 0 when no layer is frozen below the
 * lowest trainable one and there is nothing to be saved. */
size_t llm_workspace_prefix_bytes(const llm_workspace_t *self);

/* Runs the frozen layers alone and leaves the batch's prefix in out (host).
 * Byte for byte what prefix_out would get. */
int llm_workspace_prefix(llm_workspace_t *self, const llm_batch_t *batch, void *out,
                         fmq_error_t *err);

/* Sum over supervised positions of -log p(target) into *loss_sum; no dropout,
 * nothing kept.  FMQ_ERR_LIMIT when the batch does not fit, FMQ_ERR_FORMAT for
 * an id outside the vocabulary. A NaN loss is returned as it is, not an error. */
int llm_workspace_loss(llm_workspace_t *self, const llm_batch_t *batch, double *loss_sum,
                       fmq_error_t *err);

/* Forward and backward; grads += scale * d(loss_sum)/d(params).  dropout names
 * the Philox stream for lora_dropout (step must differ from call to call);
 * NULL: no dropout.  A loss that is not finite is returned as it is; LoRA's
 * gradient is then left as it was, while that of full fine-tuning is spoilt
 * and has to be zeroed. */
int llm_workspace_train(llm_workspace_t *self, const llm_batch_t *batch, float scale,
                        const fmq_rng_name_t *dropout, double *loss_sum, fmq_error_t *err);

/* Logits of the given rows, host memory [count][vocab]: golden tests, tools. */
int llm_workspace_logits(llm_workspace_t *self, const llm_batch_t *batch, const int32_t *rows,
                         size_t count, float *out, fmq_error_t *err);

FMQ_API_END

#endif
