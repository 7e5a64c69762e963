/*
 * answers.c - asks a few records at a time, so that it can be stopped.
 */
#include "actors/shared/answers.h"

#include "fedmq/llm/generate.h"

#define ANSWERS_AT_ONCE 4 /* between two looks at whether to stop */

/* Longest prompt and its answer, as far as the model's context goes. */
static size_t context_for(const fmq_answers_t *self, size_t answer_max)
{
    size_t model = llm_shape_reach(llm_model_shape(self->stack.model));
    size_t prompt = (size_t)fmq_config_int(self->shared->config, "llm.tok_len");
    return prompt + answer_max < model ? prompt + answer_max : model;
}

static int ask_all(const fmq_answers_t *self, llm_generator_t *generator, size_t answer_max,
                   uint64_t counts[2], fmq_error_t *err)
{
    size_t size = llm_records_size(self->records);
    size_t limit = (size_t)fmq_config_int(self->shared->config, "fedmq.match_examples");
    size = limit > 0 && limit < size ? limit : size;
    for (size_t at = 0; at < size; at += ANSWERS_AT_ONCE) {
        uint32_t items[ANSWERS_AT_ONCE];
        uint64_t right = 0, asked = 0;
        llm_part_t part = {.items = items};
        for (; part.size < ANSWERS_AT_ONCE && at + part.size < size; part.size++)
            items[part.size] = (uint32_t)(at + part.size);
        if (llm_evaluate_match(generator, self->shared->tokenizer, self->records, &part, answer_max,
                               NULL, NULL, &right, &asked, err) < 0)
            return -1;
        counts[0] += right;
        counts[1] += asked;
        if (self->progress && self->progress(self->argument, counts[1], size, 0) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped after %llu answers",
                                 (unsigned long long)counts[1]);
    }
    return 0;
}

int fmq_answers_measure(const fmq_answers_t *self, llm_backend_t *be, double *share,
                        uint64_t *total, fmq_error_t *err)
{
    int64_t answer_max = fmq_config_int(self->shared->config, "fedmq.match_tokens");
    uint64_t counts[2] = {0, 0}; /* exact, asked */
    llm_generator_t *generator =
        llm_generator_new_stack(&self->stack, context_for(self, (size_t)answer_max), be, err);
    if (!generator)
        return -1;
    int rc = llm_generator_set_params(generator, self->vector, err);
    if (rc == 0 && self->fixed)
        rc = llm_generator_set_fixed(generator, self->fixed, err);
    if (rc == 0)
        rc = ask_all(self, generator, (size_t)answer_max, counts, err);
    llm_generator_destroy(&generator);
    if (rc < 0)
        return -1;
    *share = counts[1] > 0 ? (double)counts[0] / (double)counts[1] : 0;
    *total = counts[1];
    return 0;
}
