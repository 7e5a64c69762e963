/*
 * options.h - checks of what a routine was asked to do, before it starts.
 */
#ifndef FEDMQ_LLM_TRAIN_OPTIONS_H
#define FEDMQ_LLM_TRAIN_OPTIONS_H

#include "fedmq/llm/train.h"

/* Each returns 0, or -1 with FMQ_ERR_CONFIG naming the key and its range. */
int llm_schedule_check(const llm_schedule_t *self, fmq_error_t *err);
int llm_optimizer_check(const llm_optimizer_t *self, fmq_error_t *err);

/* All of the options, and whether they leave a batch to train on and batches
 * that can be numbered. */
int llm_train_check(const llm_train_options_t *self, size_t examples, fmq_error_t *err);

/* Batches of an epoch over so many examples. */
uint64_t llm_train_epoch_batches(const llm_train_options_t *self, size_t examples);

#endif
