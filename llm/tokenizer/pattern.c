/*
 * pattern.c - literals by memchr(), expressions by PCRE2.
 */
#include "llm/tokenizer/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "llm/tokenizer/oniguruma.h"

static int compile(llm_pattern_t *pattern, const llm_text_t *text, fmq_error_t *err)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return llm_text_nomem(err);
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile((PCRE2_SPTR)text->data, text->size,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                  &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!pattern->code) {
        PCRE2_UCHAR message[256];
        (void)pcre2_get_error_message(code, message, sizeof message);
        return fmq_error_set(err, FMQ_ERR_FORMAT, "the expression '%.*s' is wrong at %zu: %s",
                             (int)(text->size > 200 ? 200 : text->size), text->data, (size_t)offset,
                             (const char *)message);
    }
    /* Without a JIT for this machine PCRE2 interprets, to the same result. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return 0;
}

int llm_pattern_expression(llm_pattern_t *pattern, const char *text, size_t size, fmq_error_t *err)
{
    *pattern = (llm_pattern_t){0};
    if (size > LLM_PATTERN_SIZE_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "an expression of %zu bytes is longer than %d",
                             size, LLM_PATTERN_SIZE_MAX);
    llm_text_t rewritten = {0};
    int status = llm_oniguruma_rewrite((llm_slice_t){text, size}, &rewritten, err);
    if (status == 0)
        status = compile(pattern, &rewritten, err);
    llm_text_release(&rewritten);
    return status;
}

int llm_pattern_literal(llm_pattern_t *pattern, const char *text, size_t size, fmq_error_t *err)
{
    *pattern = (llm_pattern_t){.literal = malloc(size + 1), .literal_size = size};
    if (!pattern->literal)
        return llm_text_nomem(err);
    memcpy(pattern->literal, text, size);
    pattern->literal[size] = '\0';
    return 0;
}

void llm_pattern_release(llm_pattern_t *pattern)
{
    free(pattern->literal);
    pcre2_code_free(pattern->code);
    *pattern = (llm_pattern_t){0};
}

void *llm_pattern_match_new(fmq_error_t *err)
{
    void *match = pcre2_match_data_create(1, NULL);
    if (!match)
        (void)llm_text_nomem(err);
    return match;
}

void llm_pattern_match_free(void *match)
{
    pcre2_match_data_free(match);
}

/* An empty literal never matches, as in HF. */
static int next_literal(llm_search_t *search)
{
    const llm_pattern_t *pattern = search->pattern;
    size_t size = pattern->literal_size;
    while (size && search->from < search->size && size <= search->size - search->from) {
        const char *from = search->text + search->from;
        const char *at = memchr(from, pattern->literal[0], search->size - search->from - size + 1);
        if (!at)
            return 0;
        search->begin = (size_t)(at - search->text);
        search->from = search->begin + 1;
        if (memcmp(at, pattern->literal, size) == 0) {
            search->from = search->end = search->begin + size;
            return 1;
        }
    }
    return 0;
}

static int next_expression(llm_search_t *search, fmq_error_t *err)
{
    if (search->from > search->size)
        return 0;
    const pcre2_code *code = search->pattern->code;
    PCRE2_SPTR text = (PCRE2_SPTR)search->text;
    /* Whoever calls has checked that the text is valid. */
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int found = pcre2_match(code, text, search->size, search->from, options, search->match, NULL);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(code, text, search->size, search->from, options | PCRE2_NO_JIT,
                            search->match, NULL);
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found < 0) {
        PCRE2_UCHAR message[256];
        (void)pcre2_get_error_message(found, message, sizeof message);
        return fmq_error_set(err, FMQ_ERR_LIMIT, "a tokenizer expression fails on this text: %s",
                             (const char *)message);
    }
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(search->match);
    search->begin = range[0];
    search->end = range[1];
    if (search->begin > search->end || search->begin < search->from) /* \K can do that */
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "a tokenizer expression uses \\K");
    search->from = search->end;
    if (search->begin == search->end) /* an empty match: go on behind the next character */
        search->from +=
            search->end < search->size ? llm_utf8_length(search->text + search->end) : 1;
    return 1;
}

int llm_pattern_next(llm_search_t *search, fmq_error_t *err)
{
    return search->pattern->code ? next_expression(search, err) : next_literal(search);
}
