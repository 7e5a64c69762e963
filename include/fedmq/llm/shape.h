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
#include "fedmq/llm/activation.h"

FMQ_API_BEGIN

typedef enum { LLM_NORM_LAYER, LLM_NORM_RMS } llm_norm_t;

/* ALIBI: none but a slope for each head in attention (Press et al. 2022). */
typedef enum { LLM_POSITIONS_LEARNED, LLM_POSITIONS_ROPE, LLM_POSITIONS_ALIBI } llm_positions_t;

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
    LLM_GATE_UP, /* fused: output is gate | up */
    LLM_MODULES
} llm_module_t;

/* The norms of a layer.  A row names those it has. */
typedef enum {
    LLM_NORM_ATTENTION,      /* before attention */
    LLM_NORM_MLP,            /* before the MLP */
    LLM_NORM_POST_ATTENTION, /* of attention's output, before it joins the stream */
    LLM_NORM_POST_MLP,       /* the same of the MLP's */
    LLM_NORM_Q,              /* of the queries, of each head or of all at once */
    LLM_NORM_K,              /* of the keys */
    LLM_LAYER_NORMS
} llm_layer_norm_t;

/* Sets of modules: bit 1 << module. */
#define LLM_ATTENTION_MODULES                                                                      \
    (1u << LLM_QKV | 1u << LLM_Q | 1u << LLM_K | 1u << LLM_V | 1u << LLM_O)
#define LLM_MLP_MODULES (1u << LLM_GATE | 1u << LLM_UP | 1u << LLM_DOWN | 1u << LLM_GATE_UP)
#define LLM_ALL_MODULES (LLM_ATTENTION_MODULES | LLM_MLP_MODULES)

/* How the rows of a fused projection's weight lie: all queries, then all keys,
 * then all values; or that for each head; or for each group, the queries that
 * share a key before that key and value. */
typedef enum { LLM_QKV_BLOCKS, LLM_QKV_PER_HEAD, LLM_QKV_PER_GROUP } llm_qkv_layout_t;

/* Which layers attend to no more than a window, where config.json does not
 * list them as layer_types. */
typedef enum {
    LLM_WINDOWS_NONE,      /* none, whatever config.json says */
    LLM_WINDOWS_ALL,       /* all, when config.json has a sliding_window */
    LLM_WINDOWS_ABOVE,     /* from max_window_layers on, when use_sliding_window */
    LLM_WINDOWS_BUT_NTH,   /* all but each window_period-th, or sliding_window_pattern-th */
    LLM_WINDOWS_UNROTATED, /* those that turn nothing, when use_sliding_window */
} llm_windows_t;

/* How rotary positions reach further than the model was made for, by the names
 * of HF's ROPE_INIT_FUNCTIONS.  What HF makes depend on a sequence's length is
 * computed where it does not: dynamic up to the context, where nothing is
 * scaled yet, and longrope up to the original context, by its short factors
 * (llm_shape_reach() says so). */
typedef enum {
    LLM_ROPE_LINEAR, /* and none, with a factor of 1 */
    LLM_ROPE_LLAMA3,
    LLM_ROPE_DYNAMIC,
    LLM_ROPE_YARN,
    LLM_ROPE_LONG
} llm_rope_scaling_t;

#define LLM_ROPE_PAIRS_MAX 128 /* of longrope: a head's half */

#define LLM_LAYERS_MAX  1024
#define LLM_WIDTH_MAX   65536
#define LLM_VOCAB_MAX   (1 << 21)
#define LLM_CONTEXT_MAX (1 << 20)
#define LLM_ENDS_MAX    15 /* beside the first; those beyond it are not kept */

/* What config.json calls the same number in one tradition and another; NULL
 * where a family has no such number. */
typedef struct {
    const char *layers, *width, *heads, *kv_heads, *head_width, *ffn, *context, *eps, *activation;
} llm_config_keys_t;

/* Modules that add a bias: always, or when config.json's key is true. */
typedef struct {
    const char *key; /* NULL: always */
    bool absent;     /* where config.json is silent */
    uint32_t modules;
} llm_bias_rule_t;

#define LLM_BIAS_RULES 3

/* What config.json has to say for a row, or to be silent about. */
typedef struct {
    const char *key; /* NULL: nothing */
    bool value;
    bool absent; /* where config.json is silent */
} llm_switch_t;

#define LLM_SWITCHES 5

/* A family, as a list of features: one for each thing that families differ in.
 * What a row does not mention is 0, NULL or false and means that the family
 * has no such thing.  Tensor names are HF's; a layer's names follow
 * "<layer_prefix><index>." and have ".weight" / ".bias" behind them.
 *
 * A row may name a feature only when the passes compute it.  Those marked (-)
 * are not computed yet: the column is there, and no row uses it. */
typedef struct {
    const char *model_type; /* config.json's model_type: "gpt2", "llama" */
    const char *hf_class;   /* "GPT2LMHeadModel" */
    const llm_config_keys_t *keys;
    /* Rows of one family whose configurations switch between them: the first
     * whose switches stand right is meant. */
    llm_switch_t switches[LLM_SWITCHES];

    /* Norms: their names within a layer, or NULL when there is none there. */
    llm_norm_t norm;
    bool norm_less_one;                 /* weights are stored less one */
    float norm_eps;                     /* where config.json is silent */
    const char *norms[LLM_LAYER_NORMS]; /* "ln_1" */
    bool norm_qk_whole;                 /* of all heads at once rather than of each */
    const char *norm_embedding;         /* "transformer.word_embeddings_layernorm" */
    const char *norm_final;             /* "transformer.ln_f" */

    /* Positions. */
    llm_positions_t positions;
    uint32_t position_offset; /* rows of the table before the first position's */
    double rope_theta;        /* where config.json is silent */
    const char *rotary_key;   /* of the part of a head that is turned, "rotary_pct" */
    float rotary;             /* that part where config.json is silent; 0: all */
    bool rotary_channels;     /* the key counts channels */
    bool rope_interleaved;    /* pairs are neighbours rather than halves */
    uint32_t unrotated_nth;   /* each so many-th layer turns nothing; 0: all turn */

    /* Attention. */
    llm_qkv_layout_t qkv_layout;
    uint32_t context;    /* where config.json is silent; 0: it must not be */
    uint32_t kv_heads;   /* where config.json is silent; 0: as many as heads */
    uint32_t head_width; /* the same; 0: width / heads */
    llm_windows_t windows;
    uint32_t window;        /* where config.json does not have sliding_window */
    uint32_t window_period; /* where config.json has no such number */
    float attention_cap;    /* (-) scores become cap tanh(score / cap); 0: they do not */

    bool multipliers; /* config.json has embedding_, residual_, attention_multiplier, logits_scaling
                       */
    float attention_scale;           /* of scores; 0: what the head width says */
    const char *attention_scale_key; /* whose inverse square root scales scores */
    float attention_scalar;          /* where config.json is silent */

    /* MLP, and how it joins the stream. */
    bool gated;             /* down(act(gate(x)) up(x)) rather than down(act(up(x))) */
    const char *activation; /* where config.json is silent: "gelu_new" */
    bool exact_means_tanh;  /* "gelu" is read as gelu_pytorch_tanh */
    bool ffn_optional;      /* four times the width where config.json is silent */
    bool parallel;          /* its input is the layer's, as attention's; one norm, or two */

    /* Linear modules: their names, or NULL when the family has none. */
    const char *modules[LLM_MODULES]; /* "attn.c_attn" */
    bool input_major;                 /* weights stored [in][out] (Conv1D) */
    llm_bias_rule_t biases[LLM_BIAS_RULES];
    const char *lora_targets[LLM_MODULES]; /* PEFT's defaults, leaf names, NULL-terminated */

    /* Embeddings and head. */
    const char *layer_prefix;        /* "transformer.h." */
    const char *token_embedding;     /* "transformer.wte" */
    const char *position_embedding;  /* or NULL */
    const char *head;                /* "lm_head" */
    const char *embedding_width_key; /* of config.json, which has to say the width */
    bool embedding_scaled;           /* by the square root of the width */
    bool tie_by_default;
    bool head_bias;
    float logit_cap; /* (-) as attention_cap */

    /* Where config.json does not mention a key; null is none. */
    int32_t bos, eos;
} llm_arch_t;

/* The (first) row for a model_type, or NULL.  llm_arch_at() enumerates (NULL at the end). */
const llm_arch_t *llm_arch_find(const char *model_type);
const llm_arch_t *llm_arch_at(size_t index);
/* The row most like a model_type that there is no row for: of the same family
 * ("qwen2_moe" is like "qwen2"), or misspelt; NULL when none is. */
const llm_arch_t *llm_arch_nearest(const char *model_type);

/* A set of layers, as bits. */
typedef struct {
    uint64_t bits[LLM_LAYERS_MAX / 64];
} llm_layer_bits_t;

static inline bool llm_layer_bit(const llm_layer_bits_t *self, uint32_t layer)
{
    return self->bits[layer / 64] >> (layer % 64) & 1;
}

static inline void llm_layer_bit_set(llm_layer_bits_t *self, uint32_t layer, bool value)
{
    uint64_t bit = UINT64_C(1) << (layer % 64);
    self->bits[layer / 64] = (self->bits[layer / 64] & ~bit) | (value ? bit : 0);
}

typedef struct {
    const llm_arch_t *arch;
    uint32_t layers, width, heads, kv_heads, head_width, ffn, vocab, context;
    float norm_eps;
    float rope_theta;
    uint32_t rotary; /* channels of a head that are turned; 0: all */
    llm_activation_t activation;
    uint32_t biases;            /* set of modules that add a bias */
    bool tied;                  /* head is the token embedding */
    int32_t bos, eos;           /* -1 when null or not below vocab; the family's where unsaid */
    int32_t ends[LLM_ENDS_MAX]; /* further ends of a text, which stop an answer too */
    uint32_t ends_size;
    /* rope_scaling, or rope_parameters: */
    llm_rope_scaling_t rope_scaling;
    float rope_factor;              /* 1: none */
    float rope_low, rope_high;      /* of llama3; of yarn its beta_slow and beta_fast */
    bool rope_exact;                /* yarn: its bounds are not rounded ("truncate": false) */
    uint32_t rope_original_context; /* of llama3, yarn and longrope */
    float rope_attention;           /* multiplies cosines and sines; 0: nothing does */
    float rope_short[LLM_ROPE_PAIRS_MAX], rope_long[LLM_ROPE_PAIRS_MAX]; /* of longrope */
    uint32_t window;            /* of windowed layers, when it is below context; 0: none */
    llm_layer_bits_t windowed;  /* layers that attend to no more than the window */
    llm_layer_bits_t unrotated; /* layers that turn neither queries nor keys */
    /* Multipliers; 0 where there is none. */
    float embedding_scale; /* of the token embedding */
    float residual_scale;  /* of what attention and MLP add to the stream */
    float attention_scale; /* of scores, instead of 1 / sqrt(head width) */
    float logit_scale;     /* of logits */
} llm_shape_t;

/* Makes layer `to` of one shape what layer `from` of the other is, where
 * layers differ. */
void llm_shape_take_layer(llm_shape_t *shape, uint32_t to, const llm_shape_t *other, uint32_t from);
/* Are these two layers of one kind? */
bool llm_shape_same_layer(const llm_shape_t *a, uint32_t layer_a, const llm_shape_t *b,
                          uint32_t layer_b);
/* Do the two agree in everything that decides what a layer or the stem
 * computes, but for the number of layers and their kinds? */
bool llm_shape_same_family(const llm_shape_t *a, const llm_shape_t *b);

/* To how many positions a layer attends at most; 0: to all. */
uint32_t llm_shape_window(const llm_shape_t *shape, uint32_t layer);

/* Channels of a head that turn. */
uint32_t llm_shape_rotary(const llm_shape_t *shape);

/* What scores are multiplied by. */
float llm_shape_attention_scale(const llm_shape_t *shape);

/* Channels of a norm; the shape's row has it. */
size_t llm_shape_norm(const llm_shape_t *shape, llm_layer_norm_t norm);

/* The longest sequence that the model computes as HF does: the context, or that
 * before longrope's scaling. */
uint32_t llm_shape_reach(const llm_shape_t *shape);

/* Outputs and inputs of a module: [out][in] of its weight. */
void llm_shape_module(const llm_shape_t *shape, llm_module_t module, size_t *out, size_t *in);

/* Does the module add a bias? */
bool llm_shape_has_bias(const llm_shape_t *shape, llm_module_t module);

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

/* inv_freq[half of the channels that turn] as HF computes it, scaling included. */
void llm_shape_rope_frequencies(const llm_shape_t *shape, float *out);

/* What HF multiplies cosines and sines by (attention_factor); 1 mostly. */
float llm_shape_rope_attention(const llm_shape_t *shape);

FMQ_API_END

#endif
