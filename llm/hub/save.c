/*
 * save.c - writing a safetensors file: header first, then the tensors one by
 * one, narrowed in blocks, so that no second copy of a model is ever made.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/hub.h"
#include "llm/hub/file.h"
#include "llm/hub/half.h"
#include "llm/hub/json.h"

#define ALIGNMENT  8 /* of the first tensor in the file */
#define BLOCK_SIZE 8192

static const char *dtype_text(fmq_dtype_t dtype)
{
    return dtype == FMQ_F32 ? "F32" : dtype == FMQ_F16 ? "F16" : dtype == FMQ_BF16 ? "BF16" : NULL;
}

/* Elements of a tensor; false when they are too many. */
static bool elements_of(const llm_tensor_out_t *tensor, uint64_t *out)
{
    *out = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(*out, tensor->shape[i], out))
            return false;
    return *out <= FMQ_SCHEMA_ELEMENTS_MAX;
}

static int check(const llm_tensor_out_t *tensor, const char *path, fmq_error_t *err)
{
    const char *why = NULL;
    uint64_t count;
    if (!tensor->name || !*tensor->name || strcmp(tensor->name, "__metadata__") == 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "cannot write '%s': a tensor has no name", path);
    if (!dtype_text(tensor->dtype))
        why = "is to be neither F32 nor F16 nor BF16";
    else if (tensor->rank > FMQ_SCHEMA_RANK_MAX)
        why = "has too many dimensions";
    else if (!elements_of(tensor, &count))
        why = "is too large";
    return why ? fmq_error_set(err, FMQ_ERR_FORMAT, "cannot write '%s': tensor '%s' %s", path,
                               tensor->name, why)
               : 0;
}

static json_t *entry_of(const llm_tensor_out_t *tensor, uint64_t *offset)
{
    uint64_t count = 0;
    (void)elements_of(tensor, &count);
    uint64_t begin = *offset;
    *offset += count * (tensor->dtype == FMQ_F32 ? 4 : 2);
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        (void)json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    return json_pack("{ss so s[II]}", "dtype", dtype_text(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)*offset);
}

/* The header's text, or NULL with err. */
static char *header_of(const char *path, const llm_tensor_out_t *tensors, size_t count,
                       fmq_error_t *err)
{
    char *text = NULL;
    uint64_t offset = 0;
    json_t *header = json_pack("{s{ss}}", "__metadata__", "format", "pt");
    for (size_t i = 0; i < count; i++) {
        if (check(&tensors[i], path, err) < 0)
            goto done;
        if (json_object_get(header, tensors[i].name)) {
            fmq_error_set(err, FMQ_ERR_FORMAT, "cannot write '%s': tensor '%s' is given twice",
                          path, tensors[i].name);
            goto done;
        }
        if (json_object_set_new(header, tensors[i].name, entry_of(&tensors[i], &offset)) < 0) {
            fmq_error_set(err, FMQ_ERR_FORMAT,
                          "cannot write '%s': the name '%s' is not UTF-8, or memory is short", path,
                          tensors[i].name);
            goto done;
        }
    }
    text = json_dumps(header, JSON_COMPACT);
    if (!text)
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the header of '%s'", path);

done:
    json_decref(header);
    return text;
}

static int write_header(FILE *stream, const char *text)
{
    size_t length = strlen(text);
    size_t padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)padded >> 8 * i);
    if (fwrite(size, 1, sizeof size, stream) != sizeof size ||
        fwrite(text, 1, length, stream) != length)
        return -1;
    for (; length < padded; length++)
        if (fputc(' ', stream) == EOF)
            return -1;
    return 0;
}

static int write_tensor(FILE *stream, const llm_tensor_out_t *tensor)
{
    uint64_t count = 0;
    (void)elements_of(tensor, &count);
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
    char *header = header_of(path, tensors, count, err);
    if (!header)
        return -1;
    llm_file_out_t out;
    if (llm_file_create(&out, path, err) < 0) {
        free(header);
        return -1;
    }
    /* A failed write shows in the stream, and commit reports it. */
    int written = write_header(out.stream, header);
    for (size_t i = 0; i < count && written == 0; i++)
        written = write_tensor(out.stream, &tensors[i]);
    free(header);
    return llm_file_commit(&out, err);
}
