/*
 * line.h - a text of limited room that ends in three dots when it is too long,
 * and which layers and modules an adapter has, as such texts say it.
 */
#ifndef FEDMQ_LLM_ADAPTER_LINE_H
#define FEDMQ_LLM_ADAPTER_LINE_H

#include "llm/adapter/layout.h"

typedef struct {
    char *out;
    size_t size, used;
} llm_line_t;

void llm_line_say(llm_line_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "attn.c_attn,mlp.c_fc": modules that have something to train in any layer. */
void llm_line_modules(llm_line_t *self, const llm_adapter_t *adapter);
/* key and the names, when there are any. */
void llm_line_names(llm_line_t *self, const char *key, const llm_names_t *names);
/* "all", or "0-3,7". */
void llm_line_layers(llm_line_t *self, const llm_adapter_t *adapter);

#endif
