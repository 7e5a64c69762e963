/*
 * sample.h - draws a token from a row of logits: temperature, then top-k, then
 * top-p, in the order and with the ties of HF's logits warpers.
 */
#ifndef FEDMQ_LLM_GENERATE_SAMPLE_H
#define FEDMQ_LLM_GENERATE_SAMPLE_H

#include "fedmq/llm/generate.h"

typedef struct {
    double logit; /* after temperature */
    int32_t id;
} llm_candidate_t;

/* FMQ_ERR_CONFIG when a number of how is out of its range. */
int llm_sampling_check(const llm_sampling_t *how, fmq_error_t *err);

/* Chooses *id from logits[vocab] with uniform in [0, 1); how->temperature must
 * be above 0; work is room for vocab candidates.  FMQ_ERR_NUMERIC when a logit
 * is not a number. */
int llm_sample(const llm_sampling_t *how, const float *logits, size_t vocab, double uniform,
               llm_candidate_t *work, int32_t *id, fmq_error_t *err);

#endif
