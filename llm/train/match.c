/*
 * match.c - greedy answers against the expected ones, to the letter.  Kinder
 * comparisons (numbers, choices) belong to evaluation tasks, not here.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "fedmq/llm/train.h"

/* Moves *text behind white space and *size before it. */
static void trim(const char **text, size_t *size)
{
    while (*size > 0 && isspace((unsigned char)**text)) {
        (*text)++;
        (*size)--;
    }
    while (*size > 0 && isspace((unsigned char)(*text)[*size - 1]))
        (*size)--;
}

static bool same_trimmed(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    trim(&a, &a_size);
    trim(&b, &b_size);
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

typedef struct {
    llm_generator_t *generator;       /* borrowed */
    const llm_tokenizer_t *tokenizer; /* borrowed */
    llm_sampling_t how;
    llm_ids_t prompt, answer; /* owned */
} asker_t;

/* The answer to a record, the caller's. */
static char *ask(asker_t *self, const llm_record_t *record, fmq_error_t *err)
{
    char *text = llm_prompt_format(record, err);
    if (!text)
        return NULL;
    self->prompt.size = 0;
    self->answer.size = 0;
    int result =
        llm_tokenizer_encode(self->tokenizer, text, strlen(text), true, &self->prompt, err);
    free(text);
    if (result < 0)
        return NULL;
    fmq_error_t why;
    if (llm_generator_run(self->generator, self->prompt.ids, self->prompt.size, &self->how,
                          &self->answer, &why) < 0) {
        /* A prompt beyond the context has no answer, which is a wrong one. */
        if (why.code != FMQ_ERR_LIMIT) {
            fmq_error_copy(err, &why);
            return NULL;
        }
        self->answer.size = 0;
    }
    return llm_tokenizer_decode(self->tokenizer, self->answer.ids, self->answer.size, true, NULL,
                                err);
}

int llm_evaluate_match(struct llm_generator *generator, const llm_tokenizer_t *tokenizer,
                       const llm_records_t *records, const llm_part_t *part, size_t new_tokens_max,
                       llm_answer_fn *each, void *argument, uint64_t *exact, uint64_t *total,
                       fmq_error_t *err)
{
    asker_t asker = {.generator = generator,
                     .tokenizer = tokenizer,
                     .how = {.new_tokens_max = new_tokens_max, .top_p = 1}};
    asker.how.ends = llm_tokenizer_ends(tokenizer, &asker.how.ends_size);
    size_t known = llm_records_size(records), count = part ? part->size : known;
    uint64_t matched = 0;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        size_t index = part ? part->items[i] : i;
        if (index >= known) {
            result = fmq_error_set(err, FMQ_ERR_INTERNAL, "a part names record %zu of %zu", index,
                                   known);
            break;
        }
        const llm_record_t *record = llm_records_at(records, index);
        char *answer = ask(&asker, record, err);
        if (!answer) {
            result = fmq_error_prefix(err, "record %zu", index);
            break;
        }
        bool same = same_trimmed(answer, record->output);
        matched += same;
        if (each)
            each(argument, index, record, answer, same);
        free(answer);
    }
    llm_ids_release(&asker.prompt);
    llm_ids_release(&asker.answer);
    if (result == 0) {
        *exact = matched;
        *total = count;
    }
    return result;
}
