/*
 * lora.h - LoRA's adapter_config.json, peft.LoraConfig.
 */
#ifndef FEDMQ_LLM_ADAPTER_LORA_H
#define FEDMQ_LLM_ADAPTER_LORA_H

#include "llm/adapter/method.h"

/* See llm_method_t. */
void llm_lora_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                   llm_adapter_storage_t *storage);
const char *llm_bias_name(llm_bias_t bias);
json_t *llm_lora_write(const llm_adapter_t *self, const char *base);

#endif
