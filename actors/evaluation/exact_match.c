/*
 * exact_match.c - asks a few records at a time, so that it can be stopped.
 */
#include "actors/evaluation/exact_match.h"

#include "actors/evaluation/named.h"
#include "fedmq/llm/generate.h"

#define ANSWERS_AT_ONCE 4 /* between two looks at whether to stop */

/* Longest prompt and its answer, as far as the model's context goes. */
static size_t context_for(const fmq_exact_match_t *self, size_t answer_max)
{
    size_t model = llm_adapter_reach(self->stack.adapter);
    size_t prompt = (size_t)fmq_config_int(self->context->config, "llm.tok_len");
    return prompt + answer_max < model ? prompt + answer_max : model;
}

static int ask_all(const fmq_exact_match_t *self, llm_generator_t *generator, size_t answer_max,
                   uint64_t counts[2], fmq_error_t *err)
{
    llm_part_t answered = {0};
    int rc = llm_records_answered(self->records, &answered, err);
    size_t limit = (size_t)fmq_config_int(self->context->config, "fedmq.match_examples");
    if (limit > 0 && limit < answered.size)
        answered.size = limit;
    for (size_t at = 0; rc == 0 && at < answered.size; at += ANSWERS_AT_ONCE) {
        uint64_t right = 0, asked = 0;
        size_t left = answered.size - at;
        llm_part_t part = {.items = answered.items + at,
                           .size = left < ANSWERS_AT_ONCE ? left : ANSWERS_AT_ONCE};
        rc = llm_evaluate_match(generator, self->context->tokenizer, self->records, &part,
                                answer_max, NULL, NULL, &right, &asked, err);
        counts[0] += right;
        counts[1] += asked;
        if (rc == 0 && self->progress &&
            self->progress(self->argument, counts[1], answered.size, 0) != 0)
            rc = fmq_error_set(err, FMQ_ERR_STOPPED, "stopped after %llu answers",
                               (unsigned long long)counts[1]);
    }
    llm_part_release(&answered);
    return rc;
}

int fmq_exact_match_measure(const fmq_exact_match_t *self, llm_backend_t *be, const char *of,
                            fmq_metrics_t *out, fmq_error_t *err)
{
    int64_t answer_max = fmq_config_int(self->context->config, "fedmq.match_tokens");
    uint64_t counts[2] = {0, 0}; /* exact, asked */
    if (answer_max <= 0)
        return 0;
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
    double share = counts[1] > 0 ? (double)counts[0] / (double)counts[1] : 0;
    if (fmq_named_metric(out, of, "exact_match", share, err) < 0)
        return -1;
    return fmq_named_metric(out, of, "exact_total", (double)counts[1], err);
}
