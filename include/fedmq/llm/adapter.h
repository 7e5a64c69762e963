/*
 * adapter.h - what is trained: one contiguous fp32 vector with a schema.
 *
 * LoRA (Hu et al. 2021, as PEFT implements it) and full fine-tuning are ways
 * to fill it.  Optimizers, aggregation, codecs and checkpoints see a vector.
 * Tensor names are PEFT's ("base_model.model.<module>.lora_A.weight") or, for
 * full fine-tuning, HF's.
 */
#ifndef FEDMQ_LLM_ADAPTER_H
#define FEDMQ_LLM_ADAPTER_H

#include "fedmq/base/api.h"
#include "fedmq/llm/layers.h"
#include "fedmq/llm/model.h"
#include "fedmq/llm/virtual.h"

FMQ_API_BEGIN

#define LLM_LORA_RANK_MAX  1024
#define LLM_TARGETS_MAX    64
#define LLM_NAMES_MAX      16
#define LLM_NAME_MAX       64  /* bytes of a module's name with its NUL */
#define LLM_EXPRESSION_MAX 256 /* ... and of a regular expression */

typedef enum {
    LLM_ADAPTER_NONE,
    LLM_ADAPTER_FULL,
    LLM_ADAPTER_LORA,
    LLM_ADAPTER_IA3,
    LLM_ADAPTER_PROMPT,   /* prompt tuning: virtual tokens, see virtual.h */
    LLM_ADAPTER_P_TUNING, /* p-tuning: ... out of an encoder */
    LLM_ADAPTER_PREFIX    /* prefix tuning: ... as keys and values of every layer */
} llm_adapter_kind_t;

/* Modules by their names - leaf ("q_proj") or dotted tail - or by an expression
 * that all of a module's path has to match. */
typedef struct {
    uint32_t size;
    char name[LLM_NAMES_MAX][LLM_NAME_MAX];
    char expression[LLM_EXPRESSION_MAX]; /* empty: the names */
} llm_names_t;

/* A value for the modules whose path ends in what an expression matches. */
typedef struct {
    char expression[LLM_NAME_MAX];
    float value;
} llm_exception_t;

typedef struct {
    uint32_t size;
    llm_exception_t at[LLM_NAMES_MAX]; /* the first that fits counts */
} llm_exceptions_t;

typedef enum { LLM_BIAS_NONE, LLM_BIAS_ALL, LLM_BIAS_LORA_ONLY } llm_bias_t;
/* First values: B is zero; A is normal instead of uniform; B is random too. */
typedef enum { LLM_INIT_DEFAULT, LLM_INIT_GAUSSIAN, LLM_INIT_RANDOM } llm_init_t;

typedef struct {
    llm_adapter_kind_t kind;
    uint32_t rank;    /* r, default 8 */
    float alpha;      /* lora_alpha, default 8 */
    float dropout;    /* lora_dropout, 0 <= p < 1 */
    uint32_t targets; /* how many names below; 0: the expression, or the architecture's defaults */
    char target[LLM_TARGETS_MAX][LLM_NAME_MAX]; /* module names: leaf ("q_proj") or dotted tail */
    char expression[LLM_EXPRESSION_MAX]; /* target_modules as a text: "all-linear", or a regular
                                            expression that all of a module's path matches */
    llm_names_t excluded;                /* exclude_modules */
    llm_names_t saved;                   /* modules_to_save: trained whole, beside the targets */
    llm_names_t feedforward;             /* IA3: targets whose input is scaled, not their output */
    bool feedforward_given;              /* false: the architecture's defaults */
    llm_exceptions_t ranks, alphas;      /* rank_pattern, alpha_pattern */
    bool rslora;                         /* B A is multiplied by alpha / sqrt r, not alpha / r */
    bool dora;                           /* weight-decomposed: a length for every output */
    llm_bias_t bias;                     /* which biases of the model are trained, too */
    llm_init_t init;
    /* PEFT's layers_to_transform; unlike there, every layer named must exist.
     * FULL with some layers trains those layers' tensors alone: no embedding,
     * final norm or head. */
    llm_layer_set_t layers;
    /* Further codecs that its states may travel in (fmq_schema_add_codec()); borrowed, NULL
     * behind the last. */
    const struct fmq_codec_ops *codecs[FMQ_SCHEMA_CODECS_MAX];
    llm_virtual_spec_t virtual_tokens;
} llm_adapter_spec_t;

typedef struct llm_adapter llm_adapter_t;

/* Binds a spec to a shape: which modules train, and the schema.  Immutable and
 * shareable.  FMQ_ERR_CONFIG when a target names no module (the message lists
 * those that exist) or the layers are none of the model's.  NONE gives an empty schema. */
llm_adapter_t *llm_adapter_new(const llm_shape_t *shape, const llm_adapter_spec_t *spec,
                               fmq_error_t *err);
void llm_adapter_destroy(llm_adapter_t **self_p);
const llm_adapter_spec_t *llm_adapter_spec(const llm_adapter_t *self);
const llm_shape_t *llm_adapter_shape(const llm_adapter_t *self);
const fmq_schema_t *llm_adapter_schema(const llm_adapter_t *self);
/* Index of the lowest layer that has something to train; layers when none. */
uint32_t llm_adapter_first_layer(const llm_adapter_t *self);
/* The longest sequence that may be computed with it: llm_shape_reach(), less its
 * virtual tokens. */
uint32_t llm_adapter_reach(const llm_adapter_t *self);

/* Fills vector (host, schema's elements): LoRA A Kaiming-uniform(a = sqrt 5),
 * B zero, from Philox (seed, FMQ_RNG_ADAPTER_INIT, tensor index); full: the
 * model's own weights; virtual tokens: torch's and PEFT's, from such streams. */
int llm_adapter_init(const llm_adapter_t *self, const llm_model_t *model, uint64_t seed,
                     float *vector, fmq_error_t *err);

/* Writes adapter_config.json + adapter_model.safetensors that PEFT loads
 * unchanged; base is base_model_name_or_path.  Full fine-tuning writes an HF
 * model directory (config.json, model.safetensors in dtype) instead, and
 * copies the tokenizer files of tokenizer_from (may be NULL).  FULL with some
 * layers writes layers.safetensors, their tensors under HF's names, which
 * load_state_dict(strict=False) puts into the model it was made from
 * (llm_model_export() writes that model whole).  Atomic per
 * file: all files are written into a directory beside, which is renamed into
 * place; when directory exists, the files are moved into it one by one and
 * those of others stay. */
int llm_adapter_save(const llm_adapter_t *self, const float *vector, const char *base,
                     const char *tokenizer_from, fmq_dtype_t dtype, const char *directory,
                     fmq_error_t *err);

/* What decides, beside the base model, what the numbers of a vector mean:
 * "adapter=lora r=8 lora_alpha=16 target_modules=self_attn.q_proj layers_to_transform=all".
 * Over one model, adapters with equal texts and equal schemas compute the same
 * from the same vector.  What only training knows (dropout) is not in it. */
#define LLM_MEANING_MAX 512
void llm_adapter_meaning(const llm_adapter_t *self, char out[LLM_MEANING_MAX]);

/* One setting in which two such texts differ. */
typedef struct {
    char key[48], there[160], here[160];
} llm_difference_t;
/* The first one, or false.  Texts may have further "key=value" items. */
bool llm_meaning_differs(const char *there, const char *here, llm_difference_t *out);

/* Reads the spec from PEFT's keyword arguments for this kind, a JSON object that
 * is called name in messages.  What is not among them is PEFT's default; what
 * is refused is named by its key. */
int llm_adapter_spec_parse(llm_adapter_kind_t kind, const char *text, size_t size, const char *name,
                           llm_adapter_spec_t *spec, fmq_error_t *err);

/* Reads the spec of a PEFT directory; refuses what it cannot honour (DoRA,
 * rank patterns, biases, other PEFT types, first values that change the base
 * model, switches that it does not know and that are on) by name. */
int llm_adapter_spec_load(const char *directory, llm_adapter_spec_t *spec, fmq_error_t *err);
/* Reads the vector of a PEFT directory whose settings mean what self's do
 * (FMQ_ERR_MISMATCH names the key and both values); when full, of an HF directory; when
 * full with some layers, of layers.safetensors or else of an HF directory. */
int llm_adapter_load(const llm_adapter_t *self, const char *directory, float *vector,
                     fmq_error_t *err);

FMQ_API_END

#endif
