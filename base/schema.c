/*
 * schema.c - a growing table of tensors with a name index.
 *
 * Names may come from a file or a peer, so the index hashes them with a
 * random key (SipHash): nobody outside can make it slow.
 */
#include "fedmq/base/schema.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 16u

struct fmq_schema {
    fmq_dtype_t dtype;
    fmq_tensor_t *tensors; /* owned */
    size_t count;
    size_t capacity; /* a power of two, or 0 */
    uint64_t elements;
    uint32_t *slots; /* owned; tensor index + 1, 0 = free; 2 * capacity of them */
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    const struct fmq_codec_ops *codecs[FMQ_SCHEMA_CODECS_MAX]; /* borrowed */
    size_t codecs_size;
};

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [FMQ_F32] = {"f32", 4}, [FMQ_F16] = {"f16", 2}, [FMQ_BF16] = {"bf16", 2}, [FMQ_I8] = {"i8", 1},
    [FMQ_U8] = {"u8", 1},   [FMQ_I32] = {"i32", 4}, [FMQ_I64] = {"i64", 8},
};

size_t fmq_dtype_size(fmq_dtype_t dtype)
{
    return dtype < sizeof dtypes / sizeof *dtypes ? dtypes[dtype].size : 0;
}

const char *fmq_dtype_name(fmq_dtype_t dtype)
{
    return dtype < sizeof dtypes / sizeof *dtypes ? dtypes[dtype].name : "unknown";
}

/* Before sodium_init() the random source may not be used by two threads. */
static void start_sodium(void)
{
    int ignored = sodium_init();
    (void)ignored;
}

fmq_schema_t *fmq_schema_new(fmq_dtype_t dtype)
{
    fmq_schema_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->dtype = dtype;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, start_sodium);
    randombytes_buf(self->hash_key, sizeof self->hash_key);
    return self;
}

void fmq_schema_destroy(fmq_schema_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    free((*self_p)->tensors);
    free((*self_p)->slots);
    free(*self_p);
    *self_p = NULL;
}

/* The slot that holds name, or the free one where it belongs. */
static uint32_t *slot_of(const fmq_schema_t *self, uint32_t *slots, size_t capacity,
                         const char *name)
{
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, (const uint8_t *)name, strlen(name), self->hash_key);
    size_t mask = 2 * capacity - 1;
    size_t i = (size_t)hash & mask;
    while (slots[i] && strcmp(self->tensors[slots[i] - 1].name, name) != 0)
        i = (i + 1) & mask;
    return &slots[i];
}

static int grow(fmq_schema_t *self, fmq_error_t *err)
{
    size_t capacity = self->capacity ? 2 * self->capacity : FIRST_CAPACITY;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    if (!slots)
        goto fail;
    fmq_tensor_t *tensors = realloc(self->tensors, capacity * sizeof *tensors);
    if (!tensors)
        goto fail;
    self->tensors = tensors;
    for (size_t i = 0; i < self->count; i++)
        *slot_of(self, slots, capacity, tensors[i].name) = (uint32_t)(i + 1);
    free(self->slots);
    self->slots = slots;
    self->capacity = capacity;
    return 0;
fail:
    free(slots);
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a schema of %zu tensors", capacity);
}

static int check_name(const char *name, fmq_error_t *err)
{
    size_t length = strnlen(name, FMQ_SCHEMA_NAME_MAX);
    if (length == 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "a tensor without a name");
    if (length == FMQ_SCHEMA_NAME_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "tensor name '%.40s...' is longer than %d bytes",
                             name, FMQ_SCHEMA_NAME_MAX - 1);
    return 0;
}

/* Product of the extents, at most FMQ_SCHEMA_ELEMENTS_MAX. */
static int count_elements(fmq_tensor_t *tensor, fmq_error_t *err)
{
    tensor->count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        uint64_t extent = tensor->shape[i];
        if (extent == 0)
            return fmq_error_set(err, FMQ_ERR_FORMAT, "extent %u of tensor '%s' is zero",
                                 (unsigned)i, tensor->name);
        if (extent > FMQ_SCHEMA_ELEMENTS_MAX / tensor->count)
            return fmq_error_set(err, FMQ_ERR_LIMIT, "tensor '%s' has more than 2^40 elements",
                                 tensor->name);
        tensor->count *= extent;
    }
    return 0;
}

int fmq_schema_add(fmq_schema_t *self, const char *name, uint32_t rank, const uint64_t *shape,
                   fmq_error_t *err)
{
    if (check_name(name, err) < 0)
        return -1;
    if (rank > FMQ_SCHEMA_RANK_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "tensor '%s' has rank %u, at most %d is possible",
                             name, (unsigned)rank, FMQ_SCHEMA_RANK_MAX);
    if (self->count >= FMQ_SCHEMA_TENSORS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "tensor '%s' would be more than %d in a schema",
                             name, FMQ_SCHEMA_TENSORS_MAX);
    fmq_tensor_t tensor = {.rank = rank, .shape = {1, 1, 1, 1}, .offset = self->elements};
    memcpy(tensor.name, name, strlen(name) + 1);
    for (uint32_t i = 0; i < rank; i++)
        tensor.shape[i] = shape[i];
    if (count_elements(&tensor, err) < 0)
        return -1;
    if (tensor.count > FMQ_SCHEMA_ELEMENTS_MAX - self->elements)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "tensor '%s' brings the state over 2^40 elements",
                             name);
    if (fmq_schema_find(self, name))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "tensor '%s' is there twice", name);
    if (self->count == self->capacity && grow(self, err) < 0)
        return -1;
    *slot_of(self, self->slots, self->capacity, name) = (uint32_t)(self->count + 1);
    self->tensors[self->count++] = tensor;
    self->elements += tensor.count;
    return 0;
}

int fmq_schema_add_codec(fmq_schema_t *self, const struct fmq_codec_ops *codec, fmq_error_t *err)
{
    if (self->codecs_size == FMQ_SCHEMA_CODECS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "more than %d codecs of extensions",
                             FMQ_SCHEMA_CODECS_MAX);
    self->codecs[self->codecs_size++] = codec;
    return 0;
}

const struct fmq_codec_ops *fmq_schema_codec(const fmq_schema_t *self, size_t index)
{
    return index < self->codecs_size ? self->codecs[index] : NULL;
}

fmq_dtype_t fmq_schema_dtype(const fmq_schema_t *self)
{
    return self->dtype;
}

size_t fmq_schema_size(const fmq_schema_t *self)
{
    return self->count;
}

uint64_t fmq_schema_elements(const fmq_schema_t *self)
{
    return self->elements;
}

const fmq_tensor_t *fmq_schema_at(const fmq_schema_t *self, size_t index)
{
    return index < self->count ? &self->tensors[index] : NULL;
}

const fmq_tensor_t *fmq_schema_find(const fmq_schema_t *self, const char *name)
{
    if (!self->count)
        return NULL;
    uint32_t index = *slot_of(self, self->slots, self->capacity, name);
    return index ? &self->tensors[index - 1] : NULL;
}

static void digest_number(fmq_digest_state_t *state, uint64_t value, size_t bytes)
{
    uint8_t little_endian[8];
    for (size_t i = 0; i < bytes; i++)
        little_endian[i] = (uint8_t)(value >> (8 * i));
    fmq_digest_add(state, little_endian, bytes);
}

/* The digested bytes: "fedmq-schema-1" and a zero byte; dtype as u8; number of
 * tensors as u32; then for each tensor the length of its name as u8, the name,
 * its rank as u8 and every extent as u64.  Numbers are little-endian. */
fmq_digest_t fmq_schema_digest(const fmq_schema_t *self)
{
    static const char magic[] = "fedmq-schema-1";
    fmq_digest_state_t state;
    fmq_digest_begin(&state);
    fmq_digest_add(&state, magic, sizeof magic);
    digest_number(&state, self->dtype, 1);
    digest_number(&state, self->count, 4);
    for (size_t i = 0; i < self->count; i++) {
        const fmq_tensor_t *tensor = &self->tensors[i];
        size_t length = strlen(tensor->name);
        digest_number(&state, length, 1);
        fmq_digest_add(&state, tensor->name, length);
        digest_number(&state, tensor->rank, 1);
        for (uint32_t k = 0; k < tensor->rank; k++)
            digest_number(&state, tensor->shape[k], 8);
    }
    return fmq_digest_end(&state);
}
