/*
 * prompt.c - the two prompts of Stanford Alpaca, to the byte.
 *
 * The answer follows the last colon directly, as in FS-LLM: no newline and no
 * space stands between them.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/records.h"

#define RESPONSE "\n\n### Response:"

static const char with_input[] =
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n### Instruction:\n";
static const char without_input[] =
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.\n\n### Instruction:\n";
static const char input_heading[] = "\n\n### Input:\n";

static char *joined(const char *const parts[], size_t count, fmq_error_t *err)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(parts[i]);
        if (length > LLM_RECORD_TEXT_MAX) {
            fmq_error_set(err, FMQ_ERR_LIMIT, "a field has %zu bytes, more than %u", length,
                          LLM_RECORD_TEXT_MAX);
            return NULL;
        }
        size += length;
    }
    char *text = malloc(size);
    if (!text) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "cannot write a prompt: out of memory");
        return NULL;
    }
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(parts[i]);
        memcpy(at, parts[i], length);
        at += length;
    }
    *at = '\0';
    return text;
}

char *llm_prompt_format(const llm_record_t *record, fmq_error_t *err)
{
    if (!*record->instruction && !*record->input)
        return joined(NULL, 0, err);
    if (!*record->input)
        return joined((const char *[]){without_input, record->instruction, RESPONSE}, 3, err);
    return joined(
        (const char *[]){with_input, record->instruction, input_heading, record->input, RESPONSE},
        5, err);
}
