/*
 * config_keys.h - reading the keys of adapter_config.json that several methods
 * have.
 *
 * Every key is one of three: it is honoured, it cannot change what the tensors
 * mean and is passed over, or it is refused by its name when it is on.  A key
 * that nobody knows here is refused when it is on.
 */
#ifndef FEDMQ_LLM_ADAPTER_CONFIG_KEYS_H
#define FEDMQ_LLM_ADAPTER_CONFIG_KEYS_H

#include "fedmq/llm/adapter.h"
#include "llm/adapter/meaning.h"
#include "llm/hub/json.h"

/* Lists end with NULL.  What every configuration of PEFT's has is known without them. */
typedef struct {
    const char *const *must_be_off; /* they would change the result */
    const char *const *known;       /* read, or without effect on saved tensors */
} llm_peft_keys_t;

/* Absent, null, false or empty. */
bool llm_config_is_off(const json_t *value);
/* Is the name in the list, which ends with NULL? */
bool llm_config_is_in(const char *const *names, const char *name);
/* Has every configuration of PEFT's this key? */
bool llm_config_is_common(const char *key);

void llm_config_refuse(llm_json_reader_t *reader, const llm_peft_keys_t *keys);
/* FMQ_ERR_UNSUPPORTED with the key, its value as the file has it, and why. */
void llm_config_refuse_value(llm_json_reader_t *reader, const char *key, const json_t *value,
                             const char *why);

/* target_modules: names, an expression, "all-linear".  A list of one module in
 * each of many layers, as PEFT writes for "all-linear", becomes its tail and
 * the layers.  argument: a plain word is a name, too. */
void llm_config_read_targets(llm_json_reader_t *reader, bool argument, llm_adapter_spec_t *spec);
/* Names or an expression; only_names refuses the latter. */
void llm_config_read_names(llm_json_reader_t *reader, const char *key, bool only_names,
                           llm_names_t *out);
void llm_config_read_layers(llm_json_reader_t *reader, llm_adapter_spec_t *spec);
/* A map of expressions to numbers greater than 0. */
void llm_config_read_exceptions(llm_json_reader_t *reader, const char *key, bool whole,
                                llm_exceptions_t *out);
void llm_config_read_storage(llm_json_reader_t *reader, llm_adapter_storage_t *out);
/* A number of at least 0 and below 1; 0 when absent. */
float llm_config_read_fraction(llm_json_reader_t *reader, const char *key);

/* The same the other way; NULL: out of memory. */
json_t *llm_config_targets(const llm_adapter_spec_t *spec);
json_t *llm_config_names(const llm_names_t *names);
json_t *llm_config_exceptions(const llm_exceptions_t *values);
json_t *llm_config_number(float value);

#endif
