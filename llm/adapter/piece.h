/*
 * piece.h - what an adapter is made of: a list of pieces.
 *
 * A piece is one way of training at one place of a model: a product of low
 * rank on a linear module (LOW_RANK), a tensor of the model itself (DENSE).  What
 * a kind of piece can do is a table of functions; whoever has an adapter walks
 * its pieces and asks no further.  Which pieces an adapter has is its method's
 * affair (method.h).
 *
 * A new kind of piece is a file with such a table.  It may be a tensor that
 * passes use as it is; then bind() points the decoder's table at it.  Or it
 * may compute what passes use from its tensors (a prompt's encoder, the length
 * of rows): then it asks for floats of its own, bind() points the table into
 * these, prepare() fills them before a pass and collect() turns their
 * gradients into those of the vector behind one.  Whether it stands on a
 * module, or before the tokens of every sequence (rows in front of a batch,
 * keys and values in front of a layer's), is said by where in the table
 * (bound.h) bind() writes.
 */
#ifndef FEDMQ_LLM_ADAPTER_PIECE_H
#define FEDMQ_LLM_ADAPTER_PIECE_H

#include "llm/adapter/bound.h"
#include "llm/weights/parameter.h"

typedef struct llm_piece llm_piece_t;

/* What first values are made of. */
typedef struct {
    const llm_model_t *model;
    uint64_t seed;
} llm_piece_start_t;

typedef struct {
    const char *name; /* "low_rank" */
    /* All elements zero: it has no effect. */
    bool silent_at_zero;
    /* merge() takes the place of what others add to, and so comes first. */
    bool replaces;

    /* Adds its tensors to the adapter's schema, under the names of its files. */
    int (*lay_out)(llm_piece_t *self, llm_adapter_t *adapter, fmq_error_t *err);
    /* Writes the first values of its tensors into the host's vector. */
    int (*init)(const llm_piece_t *self, const llm_adapter_t *adapter,
                const llm_piece_start_t *start, float *vector, fmq_error_t *err);
    /* Puts it into the decoder's table.  own is its floats, NULL without any. */
    void (*bind)(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                 float *own);
    /* Works it into a tensor of the model in host memory, laid out as HF has
     * it, if that is the one that it is about.  NULL: it cannot be merged. */
    void (*merge)(const llm_piece_t *self, const llm_adapter_t *adapter, const float *vector,
                  const llm_parameter_t *parameter, float *weight);

    /* A computation of its own; all NULL: none.
     *   begin    once, before the first pass: what the model's weights alone say; or NULL
     *   own      how many floats it needs on the backend, beside the vector
     *   prepare  from the vector to its floats, once before every pass
     *   collect  from the gradients among its floats to vector->grads (added),
     *            once behind every backward pass; prepare() has zeroed them */
    size_t (*own)(const llm_piece_t *self, const llm_adapter_t *adapter);
    void (*begin)(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                  float *own);
    void (*prepare)(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                    float *own);
    void (*collect)(const llm_piece_t *self, llm_decoder_t *decoder, const llm_vector_t *vector,
                    float *own);
} llm_piece_ops_t;

typedef enum {
    LLM_DENSE_HF,        /* as in the model's file */
    LLM_DENSE_PEFT,      /* the same behind "base_model.model." */
    LLM_DENSE_BASE_LAYER /* ... of a module that is adapted: "q_proj.base_layer.bias" */
} llm_dense_name_t;

struct llm_piece {
    const llm_piece_ops_t *ops;
    llm_parameter_t place; /* the tensor of the model that it is about */
    size_t first, tensors; /* which of the schema's are its own */
    uint32_t rank;         /* LOW_RANK: r ... */
    float scaling;         /* ... what B A is multiplied by ... */
    float dropout;         /* ... and what is dropped of its input */
    llm_init_t start;      /* ... and its first values */
    /* DENSE: what it is called.  Of a tied model, an embedding or a head that
     * is PEFT's is trained apart: the other one stays as it was. */
    llm_dense_name_t called;
    bool of_input; /* SCALE: what comes in is scaled, not what goes out */
};

/* y += scaling drop(x) A^T B^T at a linear module: A[rank][in], B[out][rank]. */
extern const llm_piece_ops_t llm_piece_low_rank;
/* The same of the token embedding: A[rank][vocab], B[width][rank]. */
extern const llm_piece_ops_t llm_piece_lookup;
/* The length of every output's weights where a product of low rank is added to
 * them (DoRA): y = bias + m / |W + s B A| (x W^T + s drop(x) A^T B^T), with the
 * lengths as constants for gradients. */
extern const llm_piece_ops_t llm_piece_magnitude;
/* A factor for every output of a module, bias included, or for every input. */
extern const llm_piece_ops_t llm_piece_scale;
/* A tensor of the model, trained itself. */
extern const llm_piece_ops_t llm_piece_dense;

/* "base_model.model.<module><tail>", a tensor's name in PEFT's files. */
void llm_piece_name(const llm_piece_t *self, const llm_shape_t *shape, const char *tail,
                    char out[2 * FMQ_SCHEMA_NAME_MAX]);

/* Outputs and inputs of the linear module that it is about. */
void llm_piece_extents(const llm_piece_t *self, const llm_shape_t *shape, size_t *out, size_t *in);

/* The linear module itself. */
llm_bound_linear_t *llm_piece_linear(const llm_piece_t *self, llm_decoder_t *decoder);

/* Where its tensor number i begins in the vector. */
uint64_t llm_piece_offset(const llm_piece_t *self, const llm_adapter_t *adapter, size_t i);

/* How far down backward has to go for it: a layer, and the stage of it where
 * it may stop, as llm_decoder_t has them.  The layer is the number of layers
 * when it lies behind them all. */
void llm_piece_reach(const llm_piece_t *self, const llm_shape_t *shape, uint32_t *layer,
                     llm_stage_t *stage);

#endif
