/*
 * virtual_tokens.h - the methods of llm.adapter.args with virtual tokens.
 *
 * Private to the settings: fmq_settings_adapter() asks.
 */
#ifndef FEDMQ_ACTORS_SETTINGS_VIRTUAL_TOKENS_H
#define FEDMQ_ACTORS_SETTINGS_VIRTUAL_TOKENS_H

#include "fedmq/base/config.h"
#include "fedmq/llm/adapter.h"

/* "prompt", "p-tuning", "prefix". */
bool fmq_settings_is_virtual(const char *method);

/* Of one of these: FMQ_ERR_CONFIG or FMQ_ERR_UNSUPPORTED with the key; *out is untouched then. */
int fmq_settings_virtual(const fmq_config_t *config, const char *method, llm_adapter_spec_t *out,
                         fmq_error_t *err);

#endif
