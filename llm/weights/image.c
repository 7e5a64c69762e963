/*
 * image.c - the bytes of a part file: those of a model's part, where they lie,
 * and those of a file that is written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/parts.h"
#include "llm/hub/safetensors.h"
#include "llm/weights/part.h"

struct llm_part_image {
    llm_source_t *sources; /* owned: one a parameter of the part */
    size_t sources_size;
    llm_safetensors_entry_t *entries; /* owned; what they name is in names and extents */
    char (*names)[FMQ_SCHEMA_NAME_MAX];
    uint64_t (*extents)[2];
    llm_segment_t *segments; /* owned: the header, and a tensor each */
    size_t tensors;
    char *header; /* owned */
    uint64_t bytes;
};

static const char *dtype_word(fmq_dtype_t dtype)
{
    switch (dtype) {
    case FMQ_F16:
        return "F16";
    case FMQ_BF16:
        return "BF16";
    case FMQ_U8:
        return "U8";
    default:
        return "F32";
    }
}

static void add_tensor(llm_part_image_t *self, const llm_stored_t *stored, uint32_t rank,
                       const uint64_t extents[2])
{
    size_t t = self->tensors++;
    memcpy(self->extents[t], extents, sizeof self->extents[t]);
    self->entries[t] = (llm_safetensors_entry_t){.name = self->names[t],
                                                 .dtype = dtype_word(stored->dtype),
                                                 .rank = rank,
                                                 .shape = self->extents[t],
                                                 .bytes = stored->bytes};
    self->segments[t + 1] = (llm_segment_t){.data = stored->data, .bytes = stored->bytes};
    self->bytes += stored->bytes;
}

/* A weight in two pieces: each under the weight's name and its own suffix. */
static void add_pieces(llm_part_image_t *self, const llm_source_t *source, const char *name)
{
    bool quantized = source->form == LLM_QUANTIZED;
    char(*names)[FMQ_SCHEMA_NAME_MAX] = &self->names[self->tensors];
    (void)snprintf(names[0], sizeof *names, "%s%s", name,
                   quantized ? LLM_PART_CODES : LLM_PART_MASK);
    (void)snprintf(names[1], sizeof *names, "%s%s", name,
                   quantized ? LLM_PART_SCALES : LLM_PART_VALUES);
    uint64_t values = source->more.bytes / fmq_dtype_size(source->more.dtype);
    uint64_t main[2] = {source->main.bytes, 1}, more[2] = {values, 1};
    if (quantized) {
        main[0] = more[0] = source->rows;
        main[1] = source->columns * source->bits / 8;
        more[1] = values / source->rows;
    }
    add_tensor(self, &source->main, quantized ? 2 : 1, main);
    add_tensor(self, &source->more, quantized ? 2 : 1, more);
}

static int add_parameter(llm_part_image_t *self, const llm_model_t *model, size_t index,
                         fmq_error_t *err)
{
    const llm_parameter_t *parameter = &model->parameters.items[index];
    llm_source_t *source = &self->sources[self->sources_size];
    char name[FMQ_SCHEMA_NAME_MAX];
    if (llm_source_open(source, model, index, err) < 0)
        return -1;
    self->sources_size++;
    llm_parameter_part_name(&model->shape, parameter, name);
    if (source->form != LLM_DENSE) {
        add_pieces(self, source, name);
        return 0;
    }
    memcpy(self->names[self->tensors], name, sizeof name);
    add_tensor(self, &source->main, parameter->rank, parameter->shape);
    return 0;
}

static llm_part_image_t *image_new(size_t parameters, fmq_error_t *err)
{
    llm_part_image_t *self = calloc(1, sizeof *self);
    size_t most = 2 * parameters;
    if (!self)
        goto fail;
    self->sources = calloc(parameters, sizeof *self->sources);
    self->entries = calloc(most, sizeof *self->entries);
    self->names = calloc(most, sizeof *self->names);
    self->extents = calloc(most, sizeof *self->extents);
    self->segments = calloc(most + 1, sizeof *self->segments);
    if (!self->sources || !self->entries || !self->names || !self->extents || !self->segments)
        goto fail;
    return self;
fail:
    fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the image of a part");
    llm_part_image_destroy(&self);
    return NULL;
}

static int add_header(llm_part_image_t *self, fmq_error_t *err)
{
    size_t size = 0;
    self->header =
        llm_safetensors_header("an image of a part", self->entries, self->tensors, &size, err);
    if (!self->header)
        return -1;
    self->segments[0] = (llm_segment_t){.data = self->header, .bytes = size};
    self->bytes += size;
    return 0;
}

llm_part_image_t *llm_part_image_new(const llm_model_t *model, uint32_t part, fmq_error_t *err)
{
    uint32_t layers = model->shape.layers;
    if (part != LLM_PART_STEM && part >= layers) {
        fmq_error_set(err, FMQ_ERR_NOTFOUND, "layer %u of a model of %u layers is asked for", part,
                      layers);
        return NULL;
    }
    const llm_model_part_t *wanted = &model->parts[part == LLM_PART_STEM ? layers : part];
    llm_part_image_t *self = image_new(model->parameters.size, err);
    if (!self)
        return NULL;
    for (size_t i = 0; i < model->parameters.size; i++) {
        if (llm_model_part_of(model, &model->parameters.items[i]) == wanted &&
            add_parameter(self, model, i, err) < 0)
            goto fail;
    }
    if (add_header(self, err) < 0)
        goto fail;
    return self;
fail:
    llm_part_image_destroy(&self);
    return NULL;
}

void llm_part_image_destroy(llm_part_image_t **self_p)
{
    llm_part_image_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->sources_size; i++)
        llm_source_close(&self->sources[i]);
    free(self->sources);
    free(self->entries);
    free(self->names);
    free(self->extents);
    free(self->segments);
    free(self->header);
    free(self);
    *self_p = NULL;
}

size_t llm_part_image_size(const llm_part_image_t *self)
{
    return self->tensors + 1;
}

const llm_segment_t *llm_part_image_at(const llm_part_image_t *self, size_t index)
{
    return index <= self->tensors ? &self->segments[index] : NULL;
}

uint64_t llm_part_image_bytes(const llm_part_image_t *self)
{
    return self->bytes;
}

typedef struct {
    const llm_part_tensor_t *items;
} tensors_t;

static int write_tensor(void *argument, size_t index, FILE *stream)
{
    const llm_part_tensor_t *tensor = &((const tensors_t *)argument)->items[index];
    size_t bytes = (size_t)tensor->bytes;
    return !bytes || fwrite(tensor->data, 1, bytes, stream) == bytes ? 0 : -1;
}

int llm_part_save(const char *path, const llm_part_tensor_t *tensors, size_t count,
                  fmq_error_t *err)
{
    llm_safetensors_entry_t *entries = calloc(count + 1, sizeof *entries);
    if (!entries)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the header of '%s'", path);
    for (size_t i = 0; i < count; i++)
        entries[i] = (llm_safetensors_entry_t){.name = tensors[i].name,
                                               .dtype = tensors[i].dtype,
                                               .rank = tensors[i].rank,
                                               .shape = tensors[i].shape,
                                               .bytes = tensors[i].bytes};
    tensors_t all = {tensors};
    llm_safetensors_content_t content = {entries, count, write_tensor, &all};
    int rc = llm_safetensors_write(path, &content, err);
    free(entries);
    return rc;
}
