/*
 * placement.h - a model's weights where something computes with them: matrices
 * and vectors of one device.
 *
 * A model has as many placements as there are devices that compute with it.
 * Each part is placed when it is first asked for, once, and stays until the
 * model is destroyed; whoever asks meanwhile waits.  What belongs to a part
 * that another model lends is that model's, and counts there.
 *
 * Private to the engine.
 */
#ifndef FEDMQ_LLM_WEIGHTS_PLACEMENT_H
#define FEDMQ_LLM_WEIGHTS_PLACEMENT_H

#include <pthread.h>

#include "fedmq/llm/model.h"

typedef struct {
    float *weight;
    float *bias; /* NULL for RMS norms */
} llm_placed_norm_t;

typedef struct {
    llm_matrix_t *weight; /* NULL where the family has no such module */
    float *bias;          /* NULL when there is none */
} llm_placed_linear_t;

typedef struct {
    llm_placed_norm_t norms[LLM_LAYER_NORMS]; /* weights with what is stored less put back */
    llm_placed_linear_t linear[LLM_MODULES];
} llm_placed_layer_t;

typedef struct {
    llm_matrix_t *tokens; /* also the head of a tied model */
    llm_matrix_t *head;   /* NULL when tied */
    float *head_bias;     /* NULL when there is none */
    float *positions;     /* NULL without learned positions */
    llm_placed_norm_t norm_embedding, norm_final;
} llm_placed_stem_t;

/* Read-only for who computes; parts that were not asked for are all NULL. */
typedef struct llm_placement {
    llm_placed_layer_t *layers; /* owned, as many as the shape has */
    llm_placed_stem_t stem;
    bool *there;                /* owned: which layers, and behind them the stem */
    size_t bytes;               /* of what is not lent */
    llm_backend_t *keeper;      /* owned: an instance of the device, whose memory all of it is */
    struct llm_placement *next; /* of another device */
} llm_placement_t;

/* Placements are found and filled by whichever thread asks. */
typedef struct {
    pthread_mutex_t lock;
    llm_placement_t *first; /* owned list */
} llm_placements_t;

llm_placements_t *llm_placements_new(void);

/* The weights on the device of be, for as long as the model lives.  parts says
 * which are needed: the layers, and behind them the stem; NULL: all.  NULL with
 * err when they cannot be read or there is no memory. */
const llm_placement_t *llm_model_placed(const llm_model_t *self, llm_backend_t *be,
                                        const bool *parts, fmq_error_t *err);

/* Gives all placements back to their devices, and frees the list. */
void llm_model_displace(llm_model_t *self);

#endif
