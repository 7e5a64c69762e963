/*
 * parameter.h - the list of a model's tensors, as HF stores them.
 *
 * Made from a shape alone: role, extents and HF name of every tensor, in the
 * order of HF's state dict.  Opening, random weights, digests and full
 * fine-tuning all walk this one list.  It holds no weights.
 */
#ifndef FEDMQ_LLM_WEIGHTS_PARAMETER_H
#define FEDMQ_LLM_WEIGHTS_PARAMETER_H

#include "fedmq/llm/hub.h"
#include "fedmq/llm/shape.h"

typedef enum {
    LLM_ROLE_TOKENS, /* token embedding, and the head of a tied model */
    LLM_ROLE_NORM_EMBEDDING,
    LLM_ROLE_POSITIONS, /* learned positions */
    LLM_ROLE_NORM,      /* a norm of a layer */
    LLM_ROLE_MODULE,    /* a linear module of a layer */
    LLM_ROLE_NORM_FINAL,
    LLM_ROLE_HEAD /* of an untied model; its bias may be a tied one's, too */
} llm_role_t;

typedef struct {
    llm_role_t role;
    bool bias; /* the module's or norm's bias rather than its weight */
    uint32_t layer;
    llm_module_t module;   /* when role is LLM_ROLE_MODULE */
    llm_layer_norm_t norm; /* when role is LLM_ROLE_NORM */
    uint32_t rank;
    uint64_t shape[2]; /* as stored: [in][out] where the family is input_major */
    uint64_t count;
} llm_parameter_t;

/* The stem's first tensors, layer after layer, and the stem's last ones. */
typedef struct {
    llm_parameter_t *items; /* owned */
    size_t size;
    size_t front;     /* items before the layers */
    size_t per_layer; /* items of each layer */
    uint32_t layers;
} llm_parameters_t;

/* Lists every tensor of the shape.  -1 with FMQ_ERR_NOMEM. */
int llm_parameters_init(llm_parameters_t *self, const llm_shape_t *shape, fmq_error_t *err);
void llm_parameters_release(llm_parameters_t *self);

/* Gives a layer's MLP this many channels; the shape has at least as many. */
void llm_parameters_narrow(llm_parameters_t *self, const llm_shape_t *shape, uint32_t layer,
                           uint32_t ffn);

/* Do both name the same tensor of a model? */
bool llm_parameter_same(const llm_parameter_t *a, const llm_parameter_t *b);

/* Is it a norm's weight, which a family may store less one? */
bool llm_parameter_is_norm_weight(const llm_parameter_t *parameter);

/* Is it a layer's, rather than the stem's? */
bool llm_parameter_in_layer(const llm_parameter_t *parameter);

/* Where item number index of self stands in another list of the family, when
 * it is the other's layer `layer` that its layer stands for. */
size_t llm_parameters_index(const llm_parameters_t *self, size_t index,
                            const llm_parameters_t *other, uint32_t layer);

/* HF's path of a module, "transformer.h.3.attn.c_attn", without ".weight". */
void llm_parameter_module_path(const llm_shape_t *shape, uint32_t layer, llm_module_t module,
                               char out[FMQ_SCHEMA_NAME_MAX]);

/* HF's name of a parameter, "transformer.h.3.attn.c_attn.weight". */
void llm_parameter_name(const llm_shape_t *shape, const llm_parameter_t *parameter,
                        char out[FMQ_SCHEMA_NAME_MAX]);

/* The same without ".weight" or ".bias": its module's path. */
void llm_parameter_path(const llm_shape_t *shape, const llm_parameter_t *parameter,
                        char out[FMQ_SCHEMA_NAME_MAX]);

/* Its name in a part file: within its layer, "attn.c_attn.weight", or HF's
 * for the stem. */
void llm_parameter_part_name(const llm_shape_t *shape, const llm_parameter_t *parameter,
                             char out[FMQ_SCHEMA_NAME_MAX]);

/* Finds a parameter in a file: under its name, under its name without the
 * leading "transformer." or "model.", and a tied embedding also under the
 * head's.  NULL with FMQ_ERR_NOTFOUND, or FMQ_ERR_MISMATCH when its shape or
 * type is another. */
const llm_tensor_view_t *llm_parameter_find(const llm_shape_t *shape,
                                            const llm_parameter_t *parameter,
                                            const llm_weights_t *weights, fmq_error_t *err);

/* Are its elements floats, and as many as the parameter has?  Else -1 with
 * FMQ_ERR_UNSUPPORTED or FMQ_ERR_MISMATCH. */
/* FMQ_ERR_MISMATCH when a model is tied and its file holds an embedding and a
 * head that differ: versions of transformers differ in which of them count. */
int llm_parameter_check_tie(const llm_shape_t *shape, const llm_weights_t *weights,
                            fmq_error_t *err);

int llm_parameter_check(const llm_parameter_t *parameter, const llm_tensor_view_t *view,
                        fmq_error_t *err);

#endif
