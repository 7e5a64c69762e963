/*
 * offsite.h - fine-tuning a model without holding it: emulator and adapter.
 *
 * A model's layers [l, r) are replaced by an emulator E; what remains, layers
 * [0, l) and [r, L), is the adapter A (Xiao et al. 2023, Offsite-Tuning;
 * FedBiOT, KDD'24).  The client's model is stem + A's layers + E's layers.
 * Clients train A, the server trains E; both are trainable vectors over frozen
 * layers (LoRA, or the layers themselves when the adapter spec is FULL).
 *
 * The layers of A stand in the same order in both models, so A's vector is the
 * same, element for element, over the full model and over the client's: it is
 * plugged into the full model by using it there.
 */
#ifndef FEDMQ_LLM_OFFSITE_H
#define FEDMQ_LLM_OFFSITE_H

#include "fedmq/base/api.h"
#include "fedmq/llm/layers.h"
#include "fedmq/llm/parts.h"
#include "fedmq/llm/prefix_cache.h"
#include "fedmq/llm/train.h"

FMQ_API_BEGIN

typedef enum {
    LLM_DROP_LAYER,   /* some of the layers, unchanged */
    LLM_PRUNING,      /* all of them, weights or MLP channels removed */
    LLM_QUANTIZATION, /* all of them, 8 or 4 bits */
    LLM_DISTILLATION  /* some of them, trained to do the work of all */
} llm_emulator_strategy_t;

typedef struct {
    llm_emulator_strategy_t strategy;
    uint32_t emu_l, emu_r;      /* as configured; layers [emu_l, min(emu_r, L - 1)), as FedBiOT
                                   clamps them: the last layer is always A's */
    double drop_ratio;          /* drop_layer, distillation: [0, 1) */
    bool structured;            /* pruning: whole MLP channels, by activation-aware scores */
    double prune_ratio;         /* pruning: [0, 1) of the weights, or of the channels */
    uint32_t bits, group;       /* quantization: 8 or 4; elements of a scale, default 64 */
    llm_adapter_spec_t adapter; /* kind, rank, targets: of A and of E; .layers is not read */
} llm_emulator_spec_t;

/* Layers that drop_layer keeps of m: n = round(m (1 - d)), ties to even, at
 * least 1; stride (m-1)/(n-1); layer int(i stride).  n == 1 keeps layer 0.
 * kept has room for m.  Returns n. */
uint32_t llm_drop_layer_kept(uint32_t m, double drop_ratio, uint32_t *kept);

/* The two models and what binds them; everything is borrowed. */
typedef struct {
    const llm_model_t *teacher;   /* the full model; NULL where only the client's is held */
    const llm_shape_t *full;      /* its shape, also where it is not held */
    uint32_t l, r;                /* its emulated layers [l, r) */
    const llm_model_t *student;   /* the client's model */
    uint32_t first, behind;       /* E's layers [first, behind) of it; first == l */
    const uint32_t *source;       /* student layer i comes from (stands for) layer source[i] */
    const llm_adapter_t *plugged; /* A over the full shape: names and schema of what travels */
    const llm_adapter_t *adapter; /* A over the student: the same vector */
    const llm_adapter_t *state;   /* E over the student: E's own trainable vector */
} llm_offsite_t;

/* Fills state (host, E's vector) with its first values: LoRA without effect,
 * whose A is drawn apart from that of the clients' adapter of the same seed;
 * when the adapter spec is FULL, the client's model's own weights. */
int llm_offsite_init_state(const llm_offsite_t *self, uint64_t seed, float *state,
                           fmq_error_t *err);

typedef struct llm_emulator llm_emulator_t;

/* What building takes beside the spec; pruning by activations and distillation
 * compute with be and look at data, the others need neither. */
typedef struct {
    llm_backend_t *be;         /* computes while it is built; may be NULL where nothing does */
    const char *directory;     /* where layers that are not the teacher's own are kept as part
                                  files; may be NULL for drop_layer */
    const llm_dataset_t *data; /* public examples */
    const struct llm_align_options *distil; /* how to train a distilled student */
    uint64_t seed;
    llm_progress_fn *progress; /* may be NULL */
    void *argument;
} llm_emulator_building_t;

/* Builds the emulator over teacher, which is borrowed; its model is placed when
 * something computes with it.  drop_layer holds no weight of its own.  Part files that a former
 * call with the same inputs left in directory are used again.  FMQ_ERR_CONFIG for ranges that leave
 * nothing to emulate or to adapt, with the numbers. */
llm_emulator_t *llm_emulator_new(const llm_model_t *teacher, const llm_emulator_spec_t *spec,
                                 const llm_emulator_building_t *how, fmq_error_t *err);

/* The other end: puts a client's model together from files, and places it with
 * be, unless that is NULL.  full is the shape of the model that the client does
 * not hold. */
typedef struct {
    llm_shape_t full;
    uint32_t l, r, behind;      /* see llm_offsite_t */
    const uint32_t *source;     /* [layers] */
    uint32_t layers;            /* of the client's model */
    const char *stem;           /* paths of part files */
    const char *const *parts;   /* [layers] */
    llm_adapter_spec_t adapter; /* as in the emulator's spec */
} llm_emulator_files_t;

llm_emulator_t *llm_emulator_assemble(const llm_emulator_files_t *files, llm_backend_t *be,
                                      fmq_error_t *err);

/* What the client's model keeps its own weights as (llm_model_set_form()); what
 * a teacher lends is kept as the teacher says, and llm_emulator_new() keeps all
 * of it so. */
int llm_emulator_set_form(llm_emulator_t *self, const llm_form_choice_t *choice, fmq_error_t *err);

void llm_emulator_destroy(llm_emulator_t **self_p);
const llm_offsite_t *llm_emulator_offsite(const llm_emulator_t *self);

/* What holding and training costs.  FLOPs are those of matrix products and
 * attention, 2 a multiply-add, for `tokens` tokens in sequences of `length`,
 * `supervised` of them with a target. */
typedef struct {
    uint64_t parameters;              /* of the model */
    uint64_t weight_bytes;            /* as files */
    uint64_t trained;                 /* elements of the adapter's vector */
    double forward, backward, prefix; /* FLOPs; prefix: the part of forward below the lowest
                                         trainable layer, saved when it is kept */
} llm_cost_t;

typedef struct {
    uint64_t tokens, length, supervised;
} llm_cost_batch_t;

int llm_cost(const llm_model_t *model, const llm_adapter_t *adapter, const llm_cost_batch_t *batch,
             llm_cost_t *out, fmq_error_t *err);

/* The same for layers that nobody holds: ffn[l] MLP channels in layer l, or
 * the shape's when ffn is NULL.  weight_bytes is 0: a shape has no files. */
void llm_cost_of_shape(const llm_shape_t *shape, const uint32_t *ffn, const llm_adapter_t *adapter,
                       const llm_cost_batch_t *batch, llm_cost_t *out);

FMQ_API_END

#endif
