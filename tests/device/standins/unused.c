/*
 * unused.c - what the checks on a device never ask for: regular expressions,
 * and tokenizers, which would need them.  Asking is refused.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fedmq/llm/tokenizer.h"
#include "pcre2.h"

pcre2_code *pcre2_compile(PCRE2_SPTR pattern, PCRE2_SIZE size, uint32_t options, int *code,
                          PCRE2_SIZE *at, void *context)
{
    (void)pattern, (void)size, (void)options, (void)context;
    *code = -1;
    *at = 0;
    return NULL;
}

int pcre2_get_error_message(int code, PCRE2_UCHAR *out, PCRE2_SIZE size)
{
    (void)code;
    return snprintf((char *)out, size, "this build has no regular expressions");
}

void pcre2_code_free(pcre2_code *code)
{
    (void)code;
}

pcre2_match_data *pcre2_match_data_create(uint32_t pairs, void *context)
{
    (void)pairs, (void)context;
    return NULL;
}

void pcre2_match_data_free(pcre2_match_data *match)
{
    (void)match;
}

pcre2_match_context *pcre2_match_context_create(void *context)
{
    (void)context;
    return NULL;
}

void pcre2_match_context_free(pcre2_match_context *limits)
{
    (void)limits;
}

int pcre2_set_match_limit(pcre2_match_context *limits, uint32_t limit)
{
    (void)limits, (void)limit;
    return -1;
}

int pcre2_match(const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE size, PCRE2_SIZE first,
                uint32_t options, pcre2_match_data *match, pcre2_match_context *limits)
{
    (void)code, (void)text, (void)size, (void)first, (void)options, (void)match, (void)limits;
    return -1;
}

llm_tokenizer_t *llm_tokenizer_open(const char *directory, fmq_error_t *err)
{
    fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "'%s': this build has no tokenizers", directory);
    return NULL;
}

int llm_tokenizer_encode(const llm_tokenizer_t *self, const char *text, size_t size, bool special,
                         llm_ids_t *ids, fmq_error_t *err)
{
    (void)self, (void)text, (void)size, (void)special, (void)ids;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "this build has no tokenizers");
}

void llm_tokenizer_destroy(llm_tokenizer_t **self_p)
{
    *self_p = NULL;
}

void llm_ids_release(llm_ids_t *ids)
{
    free(ids->ids);
    *ids = (llm_ids_t){0};
}
