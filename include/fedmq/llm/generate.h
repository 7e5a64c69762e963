/*
 * generate.h - text from a model: greedy or sampled, with a KV cache.
 *
 * A generator plans its cache once for context tokens.  One thread at a time.
 */
#ifndef FEDMQ_LLM_GENERATE_H
#define FEDMQ_LLM_GENERATE_H

#include "fedmq/base/api.h"
#include "fedmq/llm/tokenizer.h"
#include "fedmq/llm/workspace.h"

FMQ_API_BEGIN

typedef struct {
    size_t new_tokens_max;
    double temperature; /* 0: greedy */
    uint32_t top_k;     /* 0: off */
    double top_p;       /* 1: off */
    uint64_t seed;
    const int32_t *ends; /* borrowed: stop after any of these ids (it is not appended) */
    size_t ends_size;    /* 0: never */
} llm_sampling_t;

typedef struct llm_generator llm_generator_t;

/* context: prompt and new tokens together, at most the model's own.  model,
 * adapter and be are borrowed. */
llm_generator_t *llm_generator_new(const llm_model_t *model, const llm_adapter_t *adapter,
                                   size_t context, llm_backend_t *be, fmq_error_t *err);
/* The same over a stack with a fixed adapter. */
llm_generator_t *llm_generator_new_stack(const llm_stack_t *stack, size_t context,
                                         llm_backend_t *be, fmq_error_t *err);
int llm_generator_set_fixed(llm_generator_t *self, const float *host, fmq_error_t *err);
void llm_generator_destroy(llm_generator_t **self_p);
int llm_generator_set_params(llm_generator_t *self, const float *host, fmq_error_t *err);

/* Appends the new ids to out.  Stops at an end, new_tokens_max or the context's
 * end.  FMQ_ERR_LIMIT when the prompt alone does not fit or is empty. */
int llm_generator_run(llm_generator_t *self, const int32_t *prompt, size_t count,
                      const llm_sampling_t *how, llm_ids_t *out, fmq_error_t *err);

FMQ_API_END

#endif
