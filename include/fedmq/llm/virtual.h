/*
 * virtual.h - virtual tokens: what prompt tuning (Lester et al. 2021), p-tuning
 * (Liu et al. 2021) and prefix tuning (Li and Liang 2021) put in front of every
 * sequence, as PEFT does it.
 *
 * Prompt and p-tuning put rows of embeddings there, prefix tuning a key and a
 * value in each layer.  Either may come straight from the trained vector, or
 * out of an encoder that is trained in their place and that nothing but the
 * rows are needed of later.  Virtual tokens count towards the context, are
 * attended to by all tokens of their sequence, and have no loss.
 */
#ifndef FEDMQ_LLM_VIRTUAL_H
#define FEDMQ_LLM_VIRTUAL_H

#include <stdint.h>

#include "fedmq/base/api.h"

FMQ_API_BEGIN

#define LLM_VIRTUAL_TOKENS_MAX 1024
#define LLM_ENCODER_HIDDEN_MAX 65536
#define LLM_ENCODER_LAYERS_MAX 8
#define LLM_VIRTUAL_TEXT_MAX   2048
#define LLM_VIRTUAL_PATH_MAX   512

/* What makes the rows; MLP or LSTM for p-tuning, MLP for prefix_projection. */
typedef enum { LLM_ENCODER_NONE, LLM_ENCODER_MLP, LLM_ENCODER_LSTM } llm_encoder_kind_t;

/* First values, of an adapter without an encoder: standard normal; embeddings of
 * a text's tokens, or of tokens drawn from the vocabulary; zeros.  An encoder has
 * torch's, whose last module PREFIX may ask to begin as zeros. */
typedef enum {
    LLM_VIRTUAL_RANDOM,
    LLM_VIRTUAL_TEXT,
    LLM_VIRTUAL_VOCABULARY,
    LLM_VIRTUAL_ZERO
} llm_virtual_init_t;

typedef struct {
    uint32_t count; /* num_virtual_tokens, 1 to LLM_VIRTUAL_TOKENS_MAX */
    llm_encoder_kind_t encoder;
    uint32_t hidden; /* encoder_hidden_size; 0: PEFT's token_dim */
    uint32_t layers; /* encoder_num_layers, of an LSTM; an MLP has three modules whatever it is */
    float dropout;   /* encoder_dropout: between layers of an LSTM; an MLP has none */
    llm_virtual_init_t init;
    /* TEXT: what, and whose tokenizer cuts it: a model as llm_hub_resolve() finds
     * it, also below cache ("": nowhere else). */
    char text[LLM_VIRTUAL_TEXT_MAX];
    char tokenizer[LLM_VIRTUAL_PATH_MAX], cache[LLM_VIRTUAL_PATH_MAX];
} llm_virtual_spec_t;

FMQ_API_END

#endif
