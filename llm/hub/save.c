/*
 * save.c - writing a safetensors file: header first, then the tensors one by
 * one, narrowed in blocks, so that no second copy of a model is ever made.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/hub.h"
#include "llm/hub/file.h"
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

static char *header_of(const char *path, const llm_tensor_out_t *tensors, size_t count,
                       size_t *size, fmq_error_t *err)
{
    llm_safetensors_entry_t *entries = calloc(count + 1, sizeof *entries);
    if (!entries) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the header of '%s'", path);
        return NULL;
    }
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
    char *header = llm_safetensors_header(path, entries, count, size, err);
    free(entries);
    return header;
}

static int write_tensor(FILE *stream, const llm_tensor_out_t *tensor)
{
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
    size_t size = 0;
    char *header = header_of(path, tensors, count, &size, err);
    if (!header)
        return -1;
    llm_file_out_t out;
    if (llm_file_create(&out, path, err) < 0) {
        free(header);
        return -1;
    }
    /* A failed write shows in the stream, and commit reports it. */
    int written = fwrite(header, 1, size, out.stream) == size ? 0 : -1;
    for (size_t i = 0; i < count && written == 0; i++)
        written = write_tensor(out.stream, &tensors[i]);
    free(header);
    return llm_file_commit(&out, err);
}
