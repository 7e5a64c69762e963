/*
 * loader.h - batches out of a dataset: packed, in order or shuffled.
 *
 * The memory for the largest batch is taken once.  A loader knows nothing of
 * models; its batches are valid until the next one is packed.
 */
#ifndef FEDMQ_LLM_TRAIN_LOADER_H
#define FEDMQ_LLM_TRAIN_LOADER_H

#include "fedmq/base/rng.h"
#include "fedmq/llm/dataset.h"
#include "fedmq/llm/train.h"

typedef struct llm_loader llm_loader_t;

/* The dataset is borrowed.  FMQ_ERR_CONFIG for a batch size of 0,
 * FMQ_ERR_LIMIT when a batch could exceed 2^31 - 1 tokens. */
llm_loader_t *llm_loader_new(const llm_dataset_t *dataset, uint32_t batch_size, fmq_error_t *err);
void llm_loader_destroy(llm_loader_t **self_p);

/* Puts the examples in the order of an epoch: shuffled by the stream called
 * name, or the dataset's own when name is NULL. */
void llm_loader_arrange(llm_loader_t *self, const fmq_rng_name_t *name);

/* Packs batch number index (from 0) of the present order; returns its number
 * of examples, 0 behind the last.  The last batch may be smaller. */
size_t llm_loader_pack(llm_loader_t *self, size_t index, llm_batch_t *batch);
/* The dataset's numbers of that batch's examples, in its order; valid until
 * the next arrangement. */
const uint32_t *llm_loader_examples(const llm_loader_t *self, size_t index);

#endif
