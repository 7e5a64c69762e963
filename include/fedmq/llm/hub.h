/*
 * hub.h - a model on disk: where it is, and its tensors.
 *
 * A model is a directory in HF layout.  Nothing is downloaded.  Files are
 * mmapped and bounds-checked once, when opened; a weights object is read-only
 * and may be shared by threads.  A file must not be cut short while it is open
 * (replace it by rename, as llm_safetensors_save() does).
 */
#ifndef FEDMQ_LLM_HUB_H
#define FEDMQ_LLM_HUB_H

#include "fedmq/base/api.h"
#include "fedmq/base/error.h"
#include "fedmq/base/schema.h"

FMQ_API_BEGIN

#define LLM_SAFETENSORS_HEADER_MAX (100u << 20) /* bytes, as the format's own library */

/* Finds the directory of a model.  id is a directory, "org/name", or FS-LLM's
 * "org/name@huggingface_llm"; an id is looked for as models--org--name/
 * snapshots/<refs/main> (and plainly as a folder) below cache (may be NULL or
 * ""), $HF_HOME/hub, $HF_HUB_CACHE and ~/.cache/huggingface/hub.  Returns the
 * path (the caller's), or NULL with FMQ_ERR_NOTFOUND listing every place that
 * was looked at and how to get the model. */
char *llm_hub_resolve(const char *id, const char *cache, fmq_error_t *err);

/* dtype of a tensor that is there but cannot be read: F64, BOOL, F8_E4M3, ... */
#define LLM_DTYPE_OTHER ((fmq_dtype_t)127)

typedef struct {
    const char *name;
    fmq_dtype_t dtype;
    const char *dtype_text; /* as the file has it: "BF16" */
    uint32_t rank;
    uint64_t shape[FMQ_SCHEMA_RANK_MAX];
    const void *data; /* borrowed: lies in the mapping, may be unaligned */
    uint64_t bytes;
} llm_tensor_view_t;

typedef struct llm_weights llm_weights_t;

/* Opens model.safetensors, or the shards that model.safetensors.index.json
 * names, or one file when path is a file.  Every offset is checked: tensors
 * cover the file without gaps or overlaps, and each is as long as its shape
 * and dtype say. */
llm_weights_t *llm_weights_open(const char *path, fmq_error_t *err);
void llm_weights_close(llm_weights_t **self_p);
size_t llm_weights_size(const llm_weights_t *self);
/* Tensors in the order of the files: by shard name, then by offset. */
const llm_tensor_view_t *llm_weights_at(const llm_weights_t *self, size_t index);
/* NULL when there is no such tensor. */
const llm_tensor_view_t *llm_weights_find(const llm_weights_t *self, const char *name);
/* Copies a tensor as F32 (widening F16/BF16), after checking that it has this
 * shape; FMQ_ERR_NOTFOUND / FMQ_ERR_MISMATCH name file, tensor, both shapes;
 * FMQ_ERR_UNSUPPORTED names a dtype that is none of these three. */
int llm_weights_read(const llm_weights_t *self, const char *name, uint32_t rank,
                     const uint64_t *shape, float *out, fmq_error_t *err);

/* One tensor to be written. */
typedef struct {
    const char *name;
    fmq_dtype_t dtype; /* of the file; F32 data is narrowed when F16 or BF16 */
    uint32_t rank;
    uint64_t shape[FMQ_SCHEMA_RANK_MAX];
    const float *data;
} llm_tensor_out_t;

/* Writes a safetensors file atomically (temporary, fsync, rename), tensors in
 * the order given, {"format":"pt"} in its metadata. */
int llm_safetensors_save(const char *path, const llm_tensor_out_t *tensors, size_t count,
                         fmq_error_t *err);

FMQ_API_END

#endif
