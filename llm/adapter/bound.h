/*
 * bound.h - the table of a model's weights and of what adapters add to them.
 *
 * It says for every module which frozen matrix it uses, which part of a
 * vector, and where gradients go.  llm/pass/decoder.c fills it; the passes read
 * it and never ask what kind of adapter there is.  Types only; all pointers are
 * borrowed unless said otherwise.
 */
#ifndef FEDMQ_LLM_ADAPTER_BOUND_H
#define FEDMQ_LLM_ADAPTER_BOUND_H

#include "fedmq/llm/adapter.h"
#include "fedmq/llm/backend.h"

/* Factors of what goes through a module; at NULL: none. */
typedef struct {
    const float *at;
    float *grad; /* NULL when fixed */
    /* Of outputs: the bias is added behind them, and so many times -1 are here;
     * NULL: the bias is scaled, too. */
    const float *minus_one;
} llm_bound_scale_t;

/* A linear module: y = x W^T + bias + scaling (x A^T) B^T, its x or y scaled.
 * W is frozen, or part of a vector.  Vectors are laid out for the shape; where a layer has
 * fewer MLP channels, the first ones are used and the others stay as they are. */
typedef struct {
    size_t out, in;
    size_t weight_stride, a_stride; /* between rows of weight and of a */
    const llm_matrix_t *frozen;     /* NULL when weight is set */
    const float *weight;            /* [out][in], or [in][out] when input_major */
    float *dweight;
    bool input_major;
    const float *bias; /* or NULL */
    float *dbias;      /* NULL when frozen */
    uint32_t rank;     /* 0: no LoRA */
    float scaling, dropout;
    uint32_t stream; /* tells this module's dropout from the others' */
    const float *a, *b;
    float *da, *db; /* NULL when fixed */
    llm_bound_scale_t scale_in, scale_out;
} llm_bound_linear_t;

typedef struct {
    const float *weight, *bias; /* bias NULL for RMS norms */
    float *dweight, *dbias;     /* NULL when frozen */
    size_t width;               /* channels of a row; 0: the family has no such norm */
} llm_bound_norm_t;

typedef struct {
    llm_bound_norm_t norms[LLM_LAYER_NORMS];
    llm_bound_linear_t linear[LLM_MODULES];
} llm_bound_layer_t;

/* What is added to the embedding of token t: scaling B[width][rank] A[.][t]. */
typedef struct {
    uint32_t rank; /* 0: nothing */
    float scaling;
    const float *a, *b; /* A[rank][vocab] */
    float *da, *db;     /* NULL when fixed */
} llm_bound_lookup_t;

/* The parts of a layer in the order of the forward pass. */
typedef enum { LLM_STAGE_QKV, LLM_STAGE_O, LLM_STAGE_UP, LLM_STAGE_DOWN, LLM_STAGES } llm_stage_t;

/* An adapter's vector on a backend, to be bound or computed with. */
typedef struct {
    const llm_adapter_t *adapter; /* NULL: there is none */
    const float *at;
    float *grads; /* NULL: nothing trains */
    bool fixed;   /* applied without being trained: no dropout */
    float *own;   /* what its pieces compute for themselves */
} llm_vector_t;

typedef struct {
    const llm_shape_t *shape;
    llm_backend_t *be;
    const struct llm_placement *placement; /* of what is frozen, on be; borrowed from the model */
    bool trains;                           /* anything */
    uint32_t first_layer;                  /* backward stops in this layer ... */
    llm_stage_t first_stage;   /* ... at this part of it; LLM_STAGES: at its beginning */
    llm_bound_layer_t *layers; /* owned */
    llm_bound_norm_t norm_embedding, norm_final;
    const llm_matrix_t *tokens; /* NULL when token_table is set */
    const float *token_table;
    float *dtoken_table;
    const float *positions; /* of position 0; NULL without learned positions */
    float *dpositions;
    llm_bound_lookup_t lookup;
    llm_bound_linear_t head;
    llm_vector_t trained, fixed; /* what the table was filled from */
    float *own;                  /* owned, on the backend: floats of the vectors' pieces, or NULL */
    size_t own_bytes;
    bool begun; /* what pieces compute once is there */
} llm_decoder_t;

llm_stage_t llm_module_stage(llm_module_t module);

#endif
