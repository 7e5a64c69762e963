/*
 * method.h - what a way of adapting is: which pieces it has, which settings, and
 * how these are said and kept.
 *
 * A new method is a row in method.c: PEFT's type of it, its numbers checked,
 * its pieces laid out, its adapter_config.json read and written.
 */
#ifndef FEDMQ_LLM_ADAPTER_METHOD_H
#define FEDMQ_LLM_ADAPTER_METHOD_H

#include "llm/adapter/layout.h"
#include "llm/adapter/line.h"
#include "llm/adapter/meaning.h"
#include "llm/hub/json.h"

typedef struct llm_method {
    llm_adapter_kind_t kind;
    const char *peft_type; /* "LORA"; NULL: it has no adapter_config.json */
    /* What can be said without a shape: FMQ_ERR_CONFIG.  NULL: nothing. */
    int (*check)(const llm_adapter_spec_t *spec, fmq_error_t *err);
    /* Adds the pieces; may make targets explicit in self->spec. */
    int (*lay_out)(llm_adapter_t *self, fmq_error_t *err);
    /* Its part of llm_adapter_meaning(). */
    void (*say)(const llm_adapter_t *self, llm_line_t *line);
    /* adapter_config.json; NULL without a peft_type. */
    void (*read)(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                 llm_adapter_storage_t *storage);
    json_t *(*write)(const llm_adapter_t *self, const char *base);
    /* adapter_model.safetensors and what lies beside it, where that is not the
     * vector's tensors under their names; NULL: it is. */
    int (*load)(const llm_adapter_t *self, const char *directory, float *vector, fmq_error_t *err);
    int (*save)(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                const char *directory, fmq_error_t *err);
} llm_method_t;

extern const llm_method_t llm_method_lora, llm_method_ia3, llm_method_full, llm_method_none;
extern const llm_method_t llm_method_prompt, llm_method_p_tuning, llm_method_prefix;

/* The method of a kind; NULL when there is none. */
const llm_method_t *llm_method_of(llm_adapter_kind_t kind);
/* The method of a peft_type; NULL when it is not built here. */
const llm_method_t *llm_method_of_type(const char *peft_type);
/* All peft_types, "LORA, IA3", for messages. */
const char *llm_method_types(char *out, size_t size);

#endif
