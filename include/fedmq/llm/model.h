/*
 * model.h - a decoder's shape and frozen weights.
 *
 * Opened once a process and shared read-only by every actor.  A model is what
 * its files say; where something computes with it, its weights are placed:
 * once for each device, whichever thread asks first, and for as long as the
 * model lives.  Whoever only reads, digests, exports or lends it places none.
 */
#ifndef FEDMQ_LLM_MODEL_H
#define FEDMQ_LLM_MODEL_H

#include "fedmq/base/api.h"
#include "fedmq/llm/backend.h"
#include "fedmq/llm/hub.h"
#include "fedmq/llm/shape.h"

FMQ_API_BEGIN

typedef struct llm_model llm_model_t;

/* What a model's frozen weights are kept as where it is placed.  Not given:
 * F32 where a backend computes in F32, and BF16 where in BF16.  Of INT8, INT4
 * and NF4 the token embedding and the head are kept in BF16, as bitsandbytes
 * leaves them alone.  Norms, biases and learned positions are always F32, and
 * what a part file holds as small integers stays what it is. */
typedef struct {
    bool given;
    llm_matrix_form_t form;
} llm_form_choice_t;

/* "auto", "f32", "bf16", "int8", "int4" or "nf4".  -1 with FMQ_ERR_CONFIG that
 * names them. */
int llm_form_choice_parse(const char *name, llm_form_choice_t *out, fmq_error_t *err);
const char *llm_form_choice_name(const llm_form_choice_t *self);

/* Opens the model in directory: config.json and safetensors.  Its weights are
 * placed on the device of be; NULL: when something first computes with it.  be
 * may go before the model, and any other backend may compute with it. */
llm_model_t *llm_model_open(const char *directory, llm_backend_t *be, fmq_error_t *err);

/* A model with random weights (normal(0, 0.02), norms 1, biases 0, GPT-2's
 * scaled residual projections), from Philox (seed, FMQ_RNG_MODEL_INIT). */
llm_model_t *llm_model_new_random(const llm_shape_t *shape, uint64_t seed, llm_backend_t *be,
                                  fmq_error_t *err);

/* Says what the weights are kept as; before any of them is placed (open the
 * model without a backend), and else -1 with FMQ_ERR_INTERNAL.  Parts that are
 * lent are kept as their lender says.  Digests, reads and exports are of the
 * files, whatever is chosen. */
int llm_model_set_form(llm_model_t *self, const llm_form_choice_t *choice, fmq_error_t *err);
llm_form_choice_t llm_model_form(const llm_model_t *self);

/* Places the weights on the device of be, where they are not there yet: so that
 * they are read, and that memory is found to be too small, before and not while
 * something computes.  -1 with err FMQ_ERR_NOMEM, or what reading met. */
int llm_model_place(const llm_model_t *self, llm_backend_t *be, fmq_error_t *err);

/* No workspace or generator may be left that computes with it. */
void llm_model_destroy(llm_model_t **self_p);
const llm_shape_t *llm_model_shape(const llm_model_t *self);
const char *llm_model_directory(const llm_model_t *self); /* "" when random */
/* Digest over config and all weights: both ends of a run must agree on it. */
fmq_digest_t llm_model_digest(const llm_model_t *self);
/* Bytes held for it on all devices; parts that another model lends count there
 * (llm_model_compose()). */
size_t llm_model_bytes(const llm_model_t *self);
/* Writes an HF model directory with vectors merged in: W + s B A for LoRA,
 * the tensors themselves for FULL.  dtype of the file; the tokenizer's files
 * are copied from tokenizer_from (may be NULL).  Atomic as llm_adapter_save(). */
struct llm_adapter;
typedef struct {
    const struct llm_adapter *adapter; /* over this model */
    const float *vector;
} llm_merge_t;
int llm_model_export(const llm_model_t *self, const llm_merge_t *merges, size_t count,
                     const char *tokenizer_from, fmq_dtype_t dtype, const char *directory,
                     fmq_error_t *err);
/* Copies one tensor, by its HF name and in its HF shape, as F32 into host
 * memory; MLP channels that a pruned layer lacks are zeros.  FMQ_ERR_NOTFOUND when the model has no
 * such tensor. */
int llm_model_read(const llm_model_t *self, const char *name, float *out, fmq_error_t *err);

FMQ_API_END

#endif
