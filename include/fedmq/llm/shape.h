/*
 * shape.h - what a model looks like: a row of the architecture table, and the
 * numbers of one model of that family, read from its config.json.
 *
 * A new family is a new row in llm/shape/arch.c and a golden test.
 */
#ifndef FEDMQ_LLM_SHAPE_H
#define FEDMQ_LLM_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"

FMQ_API_BEGIN

typedef enum { LLM_NORM_LAYER, LLM_NORM_RMS } llm_norm_t;
typedef enum { LLM_POSITIONS_LEARNED, LLM_POSITIONS_ROPE } llm_positions_t;
typedef enum { LLM_MLP_GELU, LLM_MLP_SWIGLU } llm_mlp_t;

/* The linear modules of a decoder layer.  A row names those it has. */
typedef enum {
    LLM_QKV, /* fused: output is q | k | v */
    LLM_Q,
    LLM_K,
    LLM_V,
    LLM_O,
    LLM_GATE,
    LLM_UP,
    LLM_DOWN,
    LLM_MODULES
} llm_module_t;

#define LLM_LAYERS_MAX  1024
#define LLM_WIDTH_MAX   65536
#define LLM_VOCAB_MAX   (1 << 21)
#define LLM_CONTEXT_MAX (1 << 20)
#define LLM_ENDS_MAX    15 /* beside the first; those beyond it are not kept */

/* A family.  Tensor names are HF's; a layer's names follow
 * "<layer_prefix><index>." and have ".weight" / ".bias" behind them. */
typedef struct {
    const char *model_type; /* config.json's model_type: "gpt2", "llama" */
    const char *hf_class;   /* "GPT2LMHeadModel" */
    llm_norm_t norm;
    llm_positions_t positions;
    llm_mlp_t mlp;
    bool input_major;    /* weights stored [in][out] (Conv1D) */
    bool attention_bias; /* default where config.json is silent */
    bool mlp_bias;
    bool tie_by_default;
    /* Where config.json does not mention a key; null is none. */
    int32_t bos, eos;
    uint32_t kv_heads;                     /* 0: as many as heads */
    uint32_t window;                       /* 0: the family has none, whatever config.json says */
    const char *layer_prefix;              /* "transformer.h." */
    const char *token_embedding;           /* "transformer.wte" */
    const char *position_embedding;        /* or NULL */
    const char *norm_attention;            /* within a layer: "ln_1" */
    const char *norm_mlp;                  /* "ln_2" */
    const char *norm_final;                /* "transformer.ln_f" */
    const char *head;                      /* "lm_head" */
    const char *modules[LLM_MODULES];      /* "attn.c_attn", or NULL when absent */
    const char *lora_targets[LLM_MODULES]; /* PEFT's defaults, leaf names, NULL-terminated */
} llm_arch_t;

/* The row for a model_type, or NULL.  llm_arch_at() enumerates (NULL at the end). */
const llm_arch_t *llm_arch_find(const char *model_type);
const llm_arch_t *llm_arch_at(size_t index);

typedef struct {
    const llm_arch_t *arch;
    uint32_t layers, width, heads, kv_heads, head_width, ffn, vocab, context;
    float norm_eps;
    float rope_theta;
    bool gelu_exact;     /* "gelu" rather than "gelu_new"/"gelu_pytorch_tanh" */
    bool attention_bias; /* on q, k, v and o, as in HF */
    bool mlp_bias;
    bool tied;                  /* head is the token embedding */
    int32_t bos, eos;           /* -1 when null or not below vocab; the family's where unsaid */
    int32_t ends[LLM_ENDS_MAX]; /* further ends of a text, which stop an answer too */
    uint32_t ends_size;
    /* rope_scaling of type "llama3" or "linear"; factor 1 = none */
    float rope_factor, rope_low, rope_high;
    uint32_t rope_original_context; /* 0: linear scaling by rope_factor */
    uint32_t window;                /* sliding_window below context; 0: none */
} llm_shape_t;

/* The longest sequence that the model computes as HF does: the context, or the
 * sliding window, up to which attention over a window is attention over all. */
uint32_t llm_shape_reach(const llm_shape_t *shape);

/* Outputs and inputs of a module: [out][in] of its weight. */
void llm_shape_module(const llm_shape_t *shape, llm_module_t module, size_t *out, size_t *in);

/* Parameters of the whole model. */
uint64_t llm_shape_parameters(const llm_shape_t *shape);

/* Reads config.json.  Every number is checked: present, positive, within the
 * limits, divisible where it must be; an unknown model_type names those that
 * are known; features that would change the result and are not implemented
 * (other activations, other rope scalings) are refused. */
int llm_shape_load(llm_shape_t *shape, const char *path, fmq_error_t *err);

/* Writes a config.json that llm_shape_load() and HF transformers both read. */
int llm_shape_save(const llm_shape_t *shape, const char *path, fmq_error_t *err);

/* The same from and to memory; name stands for the path in messages.  The
 * returned text is the caller's. */
int llm_shape_parse(llm_shape_t *shape, const char *name, const char *text, size_t size,
                    fmq_error_t *err);
char *llm_shape_text(const llm_shape_t *shape, fmq_error_t *err);

/* inv_freq[head_width / 2] as HF computes it, scaling included. */
void llm_shape_rope_frequencies(const llm_shape_t *shape, float *out);

FMQ_API_END

#endif
