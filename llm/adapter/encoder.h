/*
 * encoder.h - the tensors of virtual tokens, and what makes rows of them.
 *
 * Rows begin as an embedding [count][embedded].  Without modules these are the
 * rows; else they pass through layers of a bidirectional LSTM, if any, and a
 * chain of dense modules with tanh or ReLU between them:
 *   PEFT's PromptEncoder    embedding, lstm_head (torch.nn.LSTM), mlp_head
 *   PEFT's PrefixEncoder    embedding, transform
 * A layout knows offsets only; an encoder has the memory of a backend and runs
 * there: products are the backend's, the few rows between them pass by the host.
 */
#ifndef FEDMQ_LLM_ADAPTER_ENCODER_H
#define FEDMQ_LLM_ADAPTER_ENCODER_H

#include "fedmq/base/rng.h"
#include "fedmq/base/schema.h"
#include "fedmq/llm/adapter.h"
#include "fedmq/llm/backend.h"

#define LLM_ENCODER_DENSE_MAX  3
#define LLM_ENCODER_DIRECTIONS 2

typedef struct {
    size_t out, in;
    uint64_t weight, bias; /* first elements within the vector: [out][in], [out] */
} llm_encoder_dense_t;

/* One direction of a layer of the LSTM; gates are i, f, g, o. */
typedef struct {
    size_t in;
    uint64_t weight_ih, weight_hh, bias_ih, bias_hh; /* [4H][in], [4H][H], [4H], [4H] */
} llm_encoder_cell_t;

typedef struct {
    llm_virtual_spec_t spec;
    bool prefix;                   /* rows are keys and values of every layer */
    size_t count, embedded, width; /* rows; of the embedding; of what comes out */
    size_t hidden;                 /* H of the LSTM */
    uint64_t embedding;
    uint32_t lstm_layers; /* 0: none */
    llm_encoder_cell_t cells[LLM_ENCODER_LAYERS_MAX][LLM_ENCODER_DIRECTIONS];
    uint32_t dense_size; /* 0: the embedding is what comes out */
    llm_encoder_dense_t dense[LLM_ENCODER_DENSE_MAX];
    bool tanh; /* between dense modules; else ReLU */
} llm_encoder_layout_t;

/* Keys and values of a layer in a row of prefix tuning. */
size_t llm_virtual_pair_width(const llm_shape_t *shape);
/* PEFT's token_dim. */
size_t llm_virtual_token_dim(const llm_adapter_spec_t *spec, const llm_shape_t *shape);

/* Adds the tensors to the schema, under PEFT's names without the adapter's.
 * FMQ_ERR_CONFIG for numbers that make no sense. */
int llm_encoder_lay_out(llm_encoder_layout_t *self, const llm_adapter_spec_t *spec,
                        const llm_shape_t *shape, fmq_schema_t *schema, fmq_error_t *err);

/* First values, as torch and PEFT draw them, from Philox (seed,
 * FMQ_RNG_ADAPTER_INIT, number of the tensor within schema). */
int llm_encoder_draw(const llm_encoder_layout_t *self, const fmq_schema_t *schema,
                     const llm_model_t *model, uint64_t seed, float *vector, fmq_error_t *err);

typedef struct llm_encoder llm_encoder_t;

/* layout and be are borrowed.  training: backward may be run. */
llm_encoder_t *llm_encoder_new(const llm_encoder_layout_t *layout, llm_backend_t *be, bool training,
                               fmq_error_t *err);
void llm_encoder_destroy(llm_encoder_t **self_p);
size_t llm_encoder_bytes(const llm_encoder_t *self);

/* Rows [count][width], the encoder's or within params, until the next forward or
 * params change.  dropout NULL: none. */
const float *llm_encoder_forward(llm_encoder_t *self, const float *params,
                                 const fmq_rng_name_t *dropout);

/* grads += what drows [count][width] makes of them, with the params and values of
 * the last forward. */
void llm_encoder_backward(llm_encoder_t *self, const float *params, float *grads,
                          const float *drows);

#endif
