/*
 * weights.h - the inside of a model, for the passes of this folder only.
 *
 * Matrices are in the backend's own layout; norms, biases and learned
 * positions are plain backend memory.  All of it is read-only once opened.
 */
#ifndef FEDMQ_LLM_MODEL_WEIGHTS_H
#define FEDMQ_LLM_MODEL_WEIGHTS_H

#include <pthread.h>

#include "fedmq/llm/model.h"
#include "llm/model/parameter.h"

typedef struct {
    float *weight; /* owned */
    float *bias;   /* owned; NULL for RMS norms */
} llm_model_norm_t;

typedef struct {
    llm_matrix_t *weight; /* owned; NULL where the family has no such module */
    float *bias;          /* owned; NULL when there is none */
} llm_model_linear_t;

typedef struct {
    llm_model_norm_t norm_attention, norm_mlp;
    llm_model_linear_t linear[LLM_MODULES];
} llm_model_layer_t;

/* The digest is computed when first asked for, by whichever thread asks. */
typedef struct {
    pthread_mutex_t lock;
    bool known;
    fmq_digest_t value;
} llm_model_digest_t;

struct llm_model {
    llm_shape_t shape;
    llm_parameters_t parameters;
    char *directory;        /* owned; "" when random */
    llm_weights_t *weights; /* owned; NULL when random */
    uint64_t seed;          /* of random weights */
    llm_backend_t *be;      /* borrowed */
    size_t bytes;
    llm_matrix_t *tokens; /* owned; also the head of a tied model */
    llm_matrix_t *head;   /* owned; NULL when tied */
    float *positions;     /* owned; NULL without learned positions */
    llm_model_norm_t norm_final;
    llm_model_layer_t *layers;  /* owned, shape.layers of them */
    llm_model_digest_t *digest; /* owned */
};

#endif
