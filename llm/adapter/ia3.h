/*
 * ia3.h - IA3's adapter_config.json, peft.IA3Config.
 */
#ifndef FEDMQ_LLM_ADAPTER_IA3_H
#define FEDMQ_LLM_ADAPTER_IA3_H

#include "llm/adapter/method.h"

/* See llm_method_t. */
void llm_ia3_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                  llm_adapter_storage_t *storage);
json_t *llm_ia3_write(const llm_adapter_t *self, const char *base);

#endif
