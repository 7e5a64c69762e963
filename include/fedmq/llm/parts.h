/*
 * parts.h - a model cut into parts, and models put together from parts.
 *
 * A part is the stem (token embedding, learned positions, final norm, head) or
 * one layer.  As bytes a part is a safetensors file whose names are relative:
 * "self_attn.q_proj.weight" for a layer, HF's full names for the stem; so a
 * layer has the same bytes wherever it stands.  A module's weight may be
 * stored dense (F32, F16, BF16), or
 *   quantized  "<name>.codes"  U8 [out][in] (8 bits) or [out][in / 2] (4 bits,
 *                              low half first), code = round(w / scale) + 2^(bits-1)
 *              "<name>.scales" F32 [out][ceil(in / group)]; group is a power of
 *                              two, and follows from this extent
 *   sparse     "<name>.mask"   U8 [ceil(out * in / 8)], bit i of the row-major
 *                              weight (low bit first), no bit behind the last
 *              "<name>.values" F32, F16 or BF16 [set bits], in order
 * <name> is the weight's own, "self_attn.q_proj.weight"; [out][in] is the order
 * of the family's file ([in][out] when input_major).
 * A layer may have fewer MLP channels than the shape's ffn: its up (and gate)
 * and down, dense or quantized, say how many.  Everywhere else (names, schemas,
 * llm_model_read(), exports) it looks as if those it lacks were zero.
 */
#ifndef FEDMQ_LLM_PARTS_H
#define FEDMQ_LLM_PARTS_H

#include "fedmq/base/api.h"
#include "fedmq/llm/model.h"

FMQ_API_BEGIN

/* Where a part comes from: layer `layer` of a model that is open (its stem,
 * when the part stands for the stem), borrowed and sharing its memory; or,
 * when model is NULL, a part file. */
typedef struct {
    const llm_model_t *model;
    uint32_t layer;
    const char *path;
} llm_part_origin_t;

/* A model of shape->layers layers out of parts; layers[i] becomes layer i, and
 * is named so.  Borrowed parts cost no memory and must outlive it: what is
 * placed of them is the lender's.  Files are opened, and the weights placed on
 * the device of be, or, when that is NULL, where they are first computed with.  Everything that
 * takes a model takes this one; its digest depends on shape and tensors only, not on where parts
 * came from.  FMQ_ERR_MISMATCH naming file and tensor when a part does not fit
 * the shape. */
llm_model_t *llm_model_compose(const llm_shape_t *shape, const llm_part_origin_t *stem,
                               const llm_part_origin_t *layers, llm_backend_t *be,
                               fmq_error_t *err);

#define LLM_PART_STEM UINT32_MAX

/* The bytes of a part, without a copy of the weights: segment 0 is the header,
 * the others lie in the model's files.  Borrowed from the model, which must
 * outlive it (weights of a random model are drawn into memory of the image). */
typedef struct llm_part_image llm_part_image_t;

typedef struct {
    const void *data;
    uint64_t bytes;
} llm_segment_t;

/* part: LLM_PART_STEM or a layer of model. */
llm_part_image_t *llm_part_image_new(const llm_model_t *model, uint32_t part, fmq_error_t *err);
void llm_part_image_destroy(llm_part_image_t **self_p);
size_t llm_part_image_size(const llm_part_image_t *self); /* segments */
const llm_segment_t *llm_part_image_at(const llm_part_image_t *self, size_t index);
uint64_t llm_part_image_bytes(const llm_part_image_t *self);

/* A tensor of a part file, in the dtype of the file or with other bytes. */
typedef struct {
    const char *name;
    const char *dtype; /* safetensors' word: "F32", "BF16", "U8" */
    uint32_t rank;
    uint64_t shape[FMQ_SCHEMA_RANK_MAX];
    const void *data;
    uint64_t bytes;
} llm_part_tensor_t;

/* Writes a part file (temporary, fsync, rename). */
int llm_part_save(const char *path, const llm_part_tensor_t *tensors, size_t count,
                  fmq_error_t *err);

FMQ_API_END

#endif
