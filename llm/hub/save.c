/*
 * save.c - writing a safetensors file: header first, then the tensors one by
 * one, narrowed in blocks, so that no second copy of a model is ever made.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/hub.h"
#include "llm/hub/half.h"
#include "llm/hub/safetensors.h"

#define BLOCK_SIZE 8192

static const char *dtype_text(fmq_dtype_t dtype)
{
    return dtype == FMQ_F32 ? "F32" : dtype == FMQ_F16 ? "F16" : dtype == FMQ_BF16 ? "BF16" : NULL;
}

/* Elements of a tensor; UINT64_MAX when they are too many. */
static uint64_t elements_of(const llm_tensor_out_t *tensor)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < tensor->rank && i < FMQ_SCHEMA_RANK_MAX; i++)
        if (__builtin_mul_overflow(count, tensor->shape[i], &count))
            return UINT64_MAX;
    return count;
}

typedef struct {
    const llm_tensor_out_t *items;
} tensors_t;

/* Narrows on the way where the file's dtype asks for it. */
static int write_tensor(void *argument, size_t index, FILE *stream)
{
    const llm_tensor_out_t *tensor = &((const tensors_t *)argument)->items[index];
    uint64_t count = elements_of(tensor);
    if (count == 0)
        return 0;
    if (tensor->dtype == FMQ_F32)
        return fwrite(tensor->data, 4, (size_t)count, stream) == (size_t)count ? 0 : -1;
    unsigned char block[2 * BLOCK_SIZE];
    for (uint64_t done = 0; done < count; done += BLOCK_SIZE) {
        size_t part = count - done < BLOCK_SIZE ? (size_t)(count - done) : BLOCK_SIZE;
        if (tensor->dtype == FMQ_F16)
            llm_half_to_f16(tensor->data + done, part, block);
        else
            llm_half_to_bf16(tensor->data + done, part, block);
        if (fwrite(block, 2, part, stream) != part)
            return -1;
    }
    return 0;
}

int llm_safetensors_save(const char *path, const llm_tensor_out_t *tensors, size_t count,
                         fmq_error_t *err)
{
    llm_safetensors_entry_t *entries = calloc(count + 1, sizeof *entries);
    if (!entries)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the header of '%s'", path);
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = 0;
        if (__builtin_mul_overflow(elements_of(&tensors[i]), tensors[i].dtype == FMQ_F32 ? 4u : 2u,
                                   &bytes))
            bytes = UINT64_MAX;
        entries[i] = (llm_safetensors_entry_t){.name = tensors[i].name,
                                               .dtype = dtype_text(tensors[i].dtype),
                                               .rank = tensors[i].rank,
                                               .shape = tensors[i].shape,
                                               .bytes = bytes};
    }
    tensors_t all = {tensors};
    llm_safetensors_content_t content = {entries, count, write_tensor, &all};
    int rc = llm_safetensors_write(path, &content, err);
    free(entries);
    return rc;
}
