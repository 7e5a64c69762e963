/*
 * names.h - which modules a list of names or an expression means, as PEFT
 * decides it.
 *
 * PEFT's expressions are Python's and PCRE2's here; what adapters use of them
 * means the same in both.  An expression that takes too long matches nothing.
 */
#ifndef FEDMQ_LLM_ADAPTER_NAMES_H
#define FEDMQ_LLM_ADAPTER_NAMES_H

#include "fedmq/llm/adapter.h"

typedef struct {
    void *code, *match; /* owned */
} llm_expression_t;

/* Compiles format with text in the place of its %s; a match is one of a whole
 * path.  FMQ_ERR_CONFIG, naming key, when it is no expression. */
int llm_expression_init(llm_expression_t *self, const char *key, const char *format,
                        const char *text, fmq_error_t *err);
void llm_expression_release(llm_expression_t *self);
bool llm_expression_matches(const llm_expression_t *self, const char *path);

/* Is the name the path, or the tail of it behind a dot? */
bool llm_name_is_tail(const char *name, const char *path);

/* Names or an expression, ready to be asked. */
typedef struct {
    const llm_names_t *names; /* borrowed */
    llm_expression_t expression;
} llm_matcher_t;
int llm_matcher_init(llm_matcher_t *self, const char *key, const llm_names_t *names,
                     fmq_error_t *err);
void llm_matcher_release(llm_matcher_t *self);
bool llm_matcher_has(const llm_matcher_t *self, const char *path);

/* Values by expressions over the ends of paths. */
typedef struct {
    const llm_exceptions_t *values; /* borrowed */
    llm_expression_t expressions[LLM_NAMES_MAX];
} llm_exceptional_t;
int llm_exceptional_init(llm_exceptional_t *self, const char *key, const llm_exceptions_t *values,
                         fmq_error_t *err);
void llm_exceptional_release(llm_exceptional_t *self);
float llm_exceptional_value(const llm_exceptional_t *self, const char *path, float otherwise);

#endif
