/*
 * weights.h - the inside of a model, for the passes of this folder only.
 *
 * Matrices are in the backend's own layout; norms, biases and learned
 * positions are plain backend memory.  All of it is read-only once opened.
 * What belongs to a part that is lent by another model is that model's.
 */
#ifndef FEDMQ_LLM_WEIGHTS_WEIGHTS_H
#define FEDMQ_LLM_WEIGHTS_WEIGHTS_H

#include <pthread.h>

#include "fedmq/llm/model.h"
#include "llm/weights/parameter.h"

typedef struct {
    float *weight;
    float *bias; /* NULL for RMS norms */
} llm_model_norm_t;

typedef struct {
    llm_matrix_t *weight; /* NULL where the family has no such module */
    float *bias;          /* NULL when there is none */
} llm_model_linear_t;

typedef struct {
    llm_model_norm_t norm_attention, norm_mlp;
    llm_model_linear_t linear[LLM_MODULES];
} llm_model_layer_t;

/* Where a part (a layer, or the stem) has its tensors from.  Without lender
 * and file they are in the model's own files, or drawn. */
typedef struct {
    const llm_model_t *lender; /* borrowed: its memory is used, and its files are read */
    uint32_t layer;            /* of the lender */
    llm_weights_t *file;       /* owned: a part file, whose names are relative */
    char *path;                /* owned: of the part file, for error texts */
    uint32_t ffn;              /* channels of the MLP, at most the shape's */
} llm_model_part_t;

/* The digest is computed when first asked for, by whichever thread asks. */
typedef struct {
    pthread_mutex_t lock;
    bool known;
    fmq_digest_t value;
} llm_model_digest_t;

struct llm_model {
    llm_shape_t shape;
    llm_parameters_t parameters;
    llm_model_part_t *parts; /* owned: the layers, and behind them the stem */
    char *directory;         /* owned; "" when random or composed */
    llm_weights_t *weights;  /* owned; NULL when random or composed */
    uint64_t seed;           /* of random weights */
    llm_backend_t *be;       /* borrowed */
    size_t bytes;            /* of what is not lent */
    llm_matrix_t *tokens;    /* also the head of a tied model */
    llm_matrix_t *head;      /* NULL when tied */
    float *positions;        /* NULL without learned positions */
    llm_model_norm_t norm_final;
    llm_model_layer_t *layers;  /* owned, shape.layers of them */
    llm_model_digest_t *digest; /* owned */
};

/* The part that a parameter belongs to. */
static inline llm_model_part_t *llm_model_part_of(const llm_model_t *self,
                                                  const llm_parameter_t *parameter)
{
    return &self->parts[llm_parameter_in_layer(parameter) ? parameter->layer : self->shape.layers];
}

#endif
