/*
 * model.c - opens or makes up a model, and reads its tensors back.  Where
 * their bytes are is source.c's affair, the backend place.c's.
 */
#include "fedmq/llm/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/hub/file.h"
#include "llm/hub/foreign.h"
#include "llm/weights/build.h"
#include "llm/weights/source.h"

static llm_model_digest_t *digest_new(void)
{
    llm_model_digest_t *digest = calloc(1, sizeof *digest);
    if (digest && pthread_mutex_init(&digest->lock, NULL) != 0) {
        free(digest);
        digest = NULL;
    }
    return digest;
}

llm_model_t *llm_model_shell_new(const llm_shape_t *shape, const char *directory, fmq_error_t *err)
{
    llm_model_t *self = calloc(1, sizeof *self);
    if (!self)
        goto fail;
    self->shape = *shape;
    self->directory = strdup(directory);
    self->digest = digest_new();
    self->placements = llm_placements_new();
    self->parts = calloc((size_t)shape->layers + 1, sizeof *self->parts);
    if (!self->directory || !self->digest || !self->placements || !self->parts ||
        llm_parameters_init(&self->parameters, shape, err) < 0)
        goto fail;
    for (uint32_t l = 0; l < shape->layers; l++)
        self->parts[l].ffn = shape->ffn;
    return self;
fail:
    fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model");
    llm_model_destroy(&self);
    return NULL;
}

int llm_model_finish(const llm_model_t *self, llm_backend_t *be, fmq_error_t *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < self->parameters.size; i++) {
        if (llm_source_bytes(self, i, &bytes, err) < 0)
            return -1;
    }
    return be ? llm_model_place(self, be, err) : 0;
}

static int refuse_without_config(const char *directory, fmq_error_t *err)
{
    char what[LLM_FOREIGN_MAX];
    if (llm_foreign_describe(directory, what))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s", what);
    return fmq_error_set(err, FMQ_ERR_NOTFOUND,
                         "'%s' has no config.json, so that it is no model in Hugging Face's layout "
                         "(config.json, model.safetensors, tokenizer.json)",
                         directory);
}

llm_model_t *llm_model_open(const char *directory, llm_backend_t *be, fmq_error_t *err)
{
    llm_model_t *self = NULL;
    llm_shape_t shape;
    char *path = llm_file_path(directory, "config.json");
    if (!path) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model");
        goto fail;
    }
    if (!llm_file_exists(path)) {
        (void)refuse_without_config(directory, err);
        goto fail;
    }
    if (llm_shape_load(&shape, path, err) < 0)
        goto fail;
    self = llm_model_shell_new(&shape, directory, err);
    if (!self)
        goto fail;
    self->weights = llm_weights_open(directory, err);
    if (!self->weights)
        goto fail;
    if (llm_parameter_check_tie(&shape, self->weights, err) < 0 ||
        llm_model_finish(self, be, err) < 0) {
        fmq_error_prefix(err, "model '%s'", directory);
        goto fail;
    }
    free(path);
    return self;
fail:
    free(path);
    llm_model_destroy(&self);
    return NULL;
}

llm_model_t *llm_model_new_random(const llm_shape_t *shape, uint64_t seed, llm_backend_t *be,
                                  fmq_error_t *err)
{
    llm_model_t *self = llm_model_shell_new(shape, "", err);
    if (!self)
        return NULL;
    self->seed = seed;
    if (llm_model_finish(self, be, err) < 0)
        llm_model_destroy(&self);
    return self;
}

void llm_model_destroy(llm_model_t **self_p)
{
    llm_model_t *self = *self_p;
    if (!self)
        return;
    llm_model_displace(self);
    for (uint32_t l = 0; self->parts && l <= self->shape.layers; l++) {
        llm_weights_close(&self->parts[l].file);
        free(self->parts[l].path);
    }
    llm_weights_close(&self->weights);
    llm_parameters_release(&self->parameters);
    if (self->digest)
        (void)pthread_mutex_destroy(&self->digest->lock);
    free(self->digest);
    free(self->parts);
    free(self->directory);
    free(self);
    *self_p = NULL;
}

const llm_shape_t *llm_model_shape(const llm_model_t *self)
{
    return &self->shape;
}

const char *llm_model_directory(const llm_model_t *self)
{
    return self->directory;
}

void llm_model_extents(const llm_model_t *self, const llm_parameter_t *parameter, uint64_t out[2])
{
    size_t outputs = 0, inputs = 0;
    memcpy(out, parameter->shape, sizeof parameter->shape);
    if (parameter->role != LLM_ROLE_MODULE)
        return;
    llm_shape_module(&self->shape, parameter->module, &outputs, &inputs);
    bool major = self->shape.arch->input_major;
    out[0] = parameter->bias || !major ? outputs : inputs;
    out[1] = parameter->bias ? 1 : major ? outputs : inputs;
}

/* Channels that a layer has not are zeros in HF's shape: they add nothing to
 * what the layer computes. */
static int read_padded(const llm_model_t *self, const llm_parameter_t *parameter,
                       const llm_source_t *source, float *out, fmq_error_t *err)
{
    uint64_t full[2];
    llm_model_extents(self, parameter, full);
    if (full[0] == source->rows && full[1] == source->columns) {
        llm_source_read(source, out);
        return 0;
    }
    float *stored = malloc((size_t)source->count * sizeof *stored);
    if (!stored)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a tensor");
    llm_source_read(source, stored);
    memset(out, 0, (size_t)(full[0] * full[1]) * sizeof *out);
    for (uint64_t r = 0; r < source->rows; r++)
        memcpy(out + r * full[1], stored + r * source->columns,
               (size_t)source->columns * sizeof *out);
    free(stored);
    return 0;
}

int llm_model_read_at(const llm_model_t *self, size_t index, float *out, fmq_error_t *err)
{
    llm_source_t source;
    if (llm_source_open(&source, self, index, err) < 0)
        return -1;
    int rc = read_padded(self, &self->parameters.items[index], &source, out, err);
    llm_source_close(&source);
    return rc;
}

int llm_model_read(const llm_model_t *self, const char *name, float *out, fmq_error_t *err)
{
    for (size_t i = 0; i < self->parameters.size; i++) {
        char candidate[FMQ_SCHEMA_NAME_MAX];
        llm_parameter_name(&self->shape, &self->parameters.items[i], candidate);
        if (strcmp(candidate, name) == 0)
            return llm_model_read_at(self, i, out, err);
    }
    return fmq_error_set(err, FMQ_ERR_NOTFOUND, "the model has no tensor '%s'", name);
}
