/*
 * names.c - see names.h.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "llm/adapter/names.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MAX 100000 /* of a search: a path is short */

int llm_expression_init(llm_expression_t *self, const char *key, const char *format,
                        const char *text, fmq_error_t *err)
{
    char whole[LLM_EXPRESSION_MAX + 64];
    const char *mark = strstr(format, "%s");
    (void)snprintf(whole, sizeof whole, "%.*s%s%s", (int)(mark - format), format, text, mark + 2);
    int code = 0;
    PCRE2_SIZE at = 0;
    *self = (llm_expression_t){0};
    self->code = pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED,
                               PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &at, NULL);
    if (!self->code) {
        PCRE2_UCHAR why[128] = "";
        (void)pcre2_get_error_message(code, why, sizeof why);
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s': '%s' is no regular expression: %s", key,
                             text, (const char *)why);
    }
    self->match = pcre2_match_data_create(1, NULL);
    if (self->match)
        return 0;
    llm_expression_release(self);
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an expression");
}

void llm_expression_release(llm_expression_t *self)
{
    pcre2_code_free(self->code);
    pcre2_match_data_free(self->match);
    *self = (llm_expression_t){0};
}

bool llm_expression_matches(const llm_expression_t *self, const char *path)
{
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (!limits)
        return false;
    (void)pcre2_set_match_limit(limits, STEPS_MAX);
    int found = pcre2_match(self->code, (PCRE2_SPTR)path, strlen(path), 0, 0, self->match, limits);
    pcre2_match_context_free(limits);
    return found >= 0;
}

bool llm_name_is_tail(const char *name, const char *path)
{
    size_t size = strlen(name), whole = strlen(path);
    if (size == whole)
        return strcmp(name, path) == 0;
    return size < whole && path[whole - size - 1] == '.' && strcmp(path + whole - size, name) == 0;
}

int llm_matcher_init(llm_matcher_t *self, const char *key, const llm_names_t *names,
                     fmq_error_t *err)
{
    *self = (llm_matcher_t){.names = names};
    if (!names->expression[0])
        return 0;
    return llm_expression_init(&self->expression, key, "(?:%s)", names->expression, err);
}

void llm_matcher_release(llm_matcher_t *self)
{
    llm_expression_release(&self->expression);
}

bool llm_matcher_has(const llm_matcher_t *self, const char *path)
{
    if (self->expression.code)
        return llm_expression_matches(&self->expression, path);
    for (uint32_t i = 0; i < self->names->size; i++)
        if (llm_name_is_tail(self->names->name[i], path))
            return true;
    return false;
}

int llm_exceptional_init(llm_exceptional_t *self, const char *key, const llm_exceptions_t *values,
                         fmq_error_t *err)
{
    *self = (llm_exceptional_t){.values = values};
    for (uint32_t i = 0; i < values->size; i++)
        if (llm_expression_init(&self->expressions[i], key, "(?:.*\\.)?(?:%s)",
                                values->at[i].expression, err) < 0)
            return -1;
    return 0;
}

void llm_exceptional_release(llm_exceptional_t *self)
{
    for (uint32_t i = 0; i < LLM_NAMES_MAX; i++)
        llm_expression_release(&self->expressions[i]);
}

float llm_exceptional_value(const llm_exceptional_t *self, const char *path, float otherwise)
{
    for (uint32_t i = 0; i < self->values->size; i++)
        if (llm_expression_matches(&self->expressions[i], path))
            return self->values->at[i].value;
    return otherwise;
}
