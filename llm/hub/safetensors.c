/*
 * safetensors.c - mapping one file and checking every number of its header.
 *
 * Nothing is copied but names; tensors of dtypes that we cannot read are kept,
 * because checkpoints carry buffers that nobody asks for.
 */
#include "llm/hub/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "llm/hub/file.h"
#include "llm/hub/json.h"

#define LENGTH_SIZE 8 /* the header's length, little-endian */

static const struct {
    const char *name;
    fmq_dtype_t dtype;
    unsigned size;
} dtypes[] = {
    {"F32", FMQ_F32, 4},         {"F16", FMQ_F16, 2},
    {"BF16", FMQ_BF16, 2},       {"I8", FMQ_I8, 1},
    {"U8", FMQ_U8, 1},           {"I32", FMQ_I32, 4},
    {"I64", FMQ_I64, 8},         {"BOOL", LLM_DTYPE_OTHER, 1},
    {"F64", LLM_DTYPE_OTHER, 8}, {"I16", LLM_DTYPE_OTHER, 2},
    {"U16", LLM_DTYPE_OTHER, 2}, {"U32", LLM_DTYPE_OTHER, 4},
    {"U64", LLM_DTYPE_OTHER, 8}, {"F8_E4M3", LLM_DTYPE_OTHER, 1},
    {"C64", LLM_DTYPE_OTHER, 8}, {"F8_E5M2", LLM_DTYPE_OTHER, 1},
};

unsigned llm_safetensors_element_size(const char *dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype) == 0)
            return dtypes[i].size;
    return 0;
}

/* What is being parsed, for checks and error texts. */
typedef struct {
    const char *path;
    const char *tensor;
    const unsigned char *data; /* behind the header */
    uint64_t size;             /* bytes of data */
    fmq_error_t *err;
} parse_t;

void llm_safetensors_shape_text(char out[LLM_SHAPE_TEXT_MAX], uint32_t rank, const uint64_t *shape)
{
    size_t used = (size_t)snprintf(out, LLM_SHAPE_TEXT_MAX, "[");
    for (uint32_t i = 0; i < rank && used < LLM_SHAPE_TEXT_MAX; i++)
        used += (size_t)snprintf(out + used, LLM_SHAPE_TEXT_MAX - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    if (used < LLM_SHAPE_TEXT_MAX)
        (void)snprintf(out + used, LLM_SHAPE_TEXT_MAX - used, "]");
}

static int refuse(const parse_t *parse, fmq_error_code_t code, const char *why)
{
    return fmq_error_set(parse->err, code, "'%s': tensor '%s' %s", parse->path, parse->tensor, why);
}

/* Reads the shape and multiplies it, with element_size, into *bytes. */
static int read_shape(const parse_t *parse, const json_t *shape, unsigned element_size,
                      llm_tensor_view_t *view)
{
    if (!json_is_array(shape))
        return refuse(parse, FMQ_ERR_FORMAT, "has no 'shape'");
    if (json_array_size(shape) > FMQ_SCHEMA_RANK_MAX)
        return refuse(parse, FMQ_ERR_UNSUPPORTED, "has more than 4 dimensions");
    view->rank = (uint32_t)json_array_size(shape);
    uint64_t bytes = element_size;
    for (uint32_t i = 0; i < FMQ_SCHEMA_RANK_MAX; i++) {
        view->shape[i] = 1;
        if (i >= view->rank)
            continue;
        if (!llm_json_whole(json_array_get(shape, i), &view->shape[i]))
            return refuse(parse, FMQ_ERR_FORMAT, "has a bad number in 'shape'");
        if (__builtin_mul_overflow(bytes, view->shape[i], &bytes))
            return refuse(parse, FMQ_ERR_LIMIT, "has a 'shape' that overflows");
    }
    /* An element size of 0 says that we do not know it. */
    if (element_size && bytes != view->bytes)
        return refuse(parse, FMQ_ERR_FORMAT, "has 'data_offsets' that do not fit its shape");
    return 0;
}

static int read_offsets(const parse_t *parse, const json_t *offsets, llm_tensor_view_t *view)
{
    uint64_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !llm_json_whole(json_array_get(offsets, 0), &begin) ||
        !llm_json_whole(json_array_get(offsets, 1), &end))
        return refuse(parse, FMQ_ERR_FORMAT, "has no pair of numbers as 'data_offsets'");
    if (begin > end || end > parse->size)
        return fmq_error_set(parse->err, FMQ_ERR_FORMAT,
                             "'%s': tensor '%s' lies at %llu to %llu, but there are %llu bytes of "
                             "data; the file may be cut short",
                             parse->path, parse->tensor, (unsigned long long)begin,
                             (unsigned long long)end, (unsigned long long)parse->size);
    view->data = parse->data + begin;
    view->bytes = end - begin;
    return 0;
}

static int read_tensor(const parse_t *parse, const json_t *entry, llm_tensor_view_t *view)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype)
        return refuse(parse, FMQ_ERR_FORMAT, "has no 'dtype'");
    unsigned element_size = 0;
    view->dtype = LLM_DTYPE_OTHER;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, dtype) != 0)
            continue;
        view->dtype = dtypes[i].dtype;
        element_size = dtypes[i].size;
    }
    if (read_offsets(parse, json_object_get(entry, "data_offsets"), view) < 0 ||
        read_shape(parse, json_object_get(entry, "shape"), element_size, view) < 0)
        return -1;

    size_t name_size = strlen(parse->tensor) + 1;
    char *names = malloc(name_size + strlen(dtype) + 1);
    if (!names)
        return refuse(parse, FMQ_ERR_NOMEM, "finds no memory");
    memcpy(names, parse->tensor, name_size);
    memcpy(names + name_size, dtype, strlen(dtype) + 1);
    view->name = names;
    view->dtype_text = names + name_size;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const llm_tensor_view_t *left = a, *right = b;
    if (left->data != right->data)
        return (const char *)left->data < (const char *)right->data ? -1 : 1;
    /* Empty tensors share the offset of what follows them. */
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* The tensors, in order of offset, must follow each other to the very end. */
static int check_cover(const llm_safetensors_t *file, const parse_t *parse)
{
    const unsigned char *end = parse->data;
    for (size_t i = 0; i < file->count; i++) {
        const llm_tensor_view_t *view = &file->tensors[i];
        const unsigned char *begin = view->data;
        if (begin != end)
            return fmq_error_set(
                parse->err, FMQ_ERR_FORMAT, "'%s': tensor '%s' %s", parse->path, view->name,
                begin < end ? "overlaps the one before it" : "leaves a gap before it");
        end = begin + view->bytes;
    }
    if (end != parse->data + parse->size)
        return fmq_error_set(parse->err, FMQ_ERR_FORMAT,
                             "'%s': %zu bytes behind the last tensor belong to none", parse->path,
                             (size_t)(parse->data + parse->size - end));
    return 0;
}

static int read_tensors(llm_safetensors_t *file, json_t *header, parse_t *parse)
{
    size_t entries = json_object_size(header);
    if (entries > FMQ_SCHEMA_TENSORS_MAX)
        return fmq_error_set(parse->err, FMQ_ERR_LIMIT, "'%s' has %zu tensors, more than %d",
                             parse->path, entries, FMQ_SCHEMA_TENSORS_MAX);
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    if (!file->tensors)
        return fmq_error_set(parse->err, FMQ_ERR_NOMEM, "no memory for the header of '%s'",
                             parse->path);
    const char *name;
    size_t length;
    json_t *entry;
    json_object_keylen_foreach(header, name, length, entry)
    {
        if (strlen(name) != length)
            return fmq_error_set(parse->err, FMQ_ERR_FORMAT,
                                 "'%s': the name of a tensor holds a NUL", parse->path);
        if (strcmp(name, "__metadata__") == 0)
            continue;
        parse->tensor = name;
        if (read_tensor(parse, entry, &file->tensors[file->count]) < 0)
            return -1;
        file->count++;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    return check_cover(file, parse);
}

int llm_safetensors_parse(llm_safetensors_t *file, const void *data, size_t size, fmq_error_t *err)
{
    const unsigned char *bytes = data;
    uint64_t length = 0;
    if (size < LENGTH_SIZE)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "'%s' has %zu bytes, too few for a safetensors file", file->path,
                             size);
    for (int i = LENGTH_SIZE - 1; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > LLM_SAFETENSORS_HEADER_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT,
                             "'%s' claims a header of %llu bytes, more than %u; it is probably "
                             "not a safetensors file",
                             file->path, (unsigned long long)length, LLM_SAFETENSORS_HEADER_MAX);
    if (length > size - LENGTH_SIZE)
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "'%s' claims a header of %llu bytes but has %zu in all; it is cut "
                             "short or not a safetensors file",
                             file->path, (unsigned long long)length, size);
    json_t *header =
        llm_json_parse((const char *)bytes + LENGTH_SIZE, (size_t)length, file->path, err);
    if (!header)
        return fmq_error_prefix(err, "header");
    parse_t parse = {.path = file->path,
                     .data = bytes + LENGTH_SIZE + length,
                     .size = size - LENGTH_SIZE - length,
                     .err = err};
    int status =
        json_is_object(header)
            ? read_tensors(file, header, &parse)
            : fmq_error_set(err, FMQ_ERR_FORMAT, "the header of '%s' is not an object", file->path);
    json_decref(header);
    return status;
}

int llm_safetensors_open(llm_safetensors_t *file, const char *path, fmq_error_t *err)
{
    *file = (llm_safetensors_t){0};
    int fd = llm_file_open(path, &file->size, err);
    if (fd < 0)
        return -1;
    file->path = strdup(path);
    if (!file->path) {
        (void)close(fd);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to open '%s'", path);
    }
    void *map = file->size ? mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    int reason = file->size ? errno : 0;
    (void)close(fd);
    if (map == MAP_FAILED) {
        fmq_error_set(err, reason ? FMQ_ERR_IO : FMQ_ERR_FORMAT, "cannot map '%s': %s", path,
                      reason ? strerror(reason) : "it is empty");
        goto fail;
    }
    file->map = map;
    if (llm_safetensors_parse(file, file->map, file->size, err) < 0)
        goto fail;
    return 0;

fail:
    llm_safetensors_release(file);
    return -1;
}

void llm_safetensors_release(llm_safetensors_t *file)
{
    for (size_t i = 0; i < file->count; i++)
        free((void *)(uintptr_t)file->tensors[i].name);
    free(file->tensors);
    if (file->map)
        (void)munmap(file->map, file->size);
    free(file->path);
    *file = (llm_safetensors_t){0};
}
