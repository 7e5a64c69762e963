/*
 * weights.h - the inside of a model: its shape, and where its tensors come
 * from.  Where they are computed with is placement.h's affair.
 *
 * All of it is read-only once opened, but for what is made when first asked
 * for, each behind a lock of its own: the digest and the placements.
 */
#ifndef FEDMQ_LLM_WEIGHTS_WEIGHTS_H
#define FEDMQ_LLM_WEIGHTS_WEIGHTS_H

#include <pthread.h>

#include "fedmq/llm/model.h"
#include "llm/weights/parameter.h"
#include "llm/weights/placement.h"

/* Where a part (a layer, or the stem) has its tensors from.  Without lender
 * and file they are in the model's own files, or drawn. */
typedef struct {
    const llm_model_t *lender; /* borrowed: its placements are used, and its files are read */
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
    llm_model_part_t *parts;      /* owned: the layers, and behind them the stem */
    char *directory;              /* owned; "" when random or composed */
    llm_weights_t *weights;       /* owned; NULL when random or composed */
    uint64_t seed;                /* of random weights */
    llm_form_choice_t form;       /* of what is not lent */
    llm_model_digest_t *digest;   /* owned */
    llm_placements_t *placements; /* owned */
};

/* The part that a parameter belongs to. */
static inline llm_model_part_t *llm_model_part_of(const llm_model_t *self,
                                                  const llm_parameter_t *parameter)
{
    return &self->parts[llm_parameter_in_layer(parameter) ? parameter->layer : self->shape.layers];
}

#endif
