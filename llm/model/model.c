/*
 * model.c - opens or makes up a model and hands its tensors to a backend.
 * Knows nothing of adapters and computes nothing with the weights.
 */
#include "fedmq/llm/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "llm/model/weights.h"

#define INIT_DEVIATION 0.02

/* One tensor in host memory: a view into the file, or a buffer of our own. */
typedef struct {
    const void *data;
    uint64_t bytes;
    fmq_dtype_t dtype;
    void *buffer; /* owned, may be NULL */
} source_t;

static bool is_residual_projection(const llm_parameter_t *parameter)
{
    return parameter->role == LLM_ROLE_MODULE &&
           (parameter->module == LLM_O || parameter->module == LLM_DOWN);
}

/* Fills out with the random values of parameter number index. */
static void draw(const llm_model_t *self, size_t index, float *out)
{
    const llm_parameter_t *parameter = &self->parameters.items[index];
    if (parameter->rank == 1) {
        for (uint64_t i = 0; i < parameter->count; i++)
            out[i] = parameter->bias ? 0.0f : 1.0f;
        return;
    }
    double deviation = INIT_DEVIATION;
    if (is_residual_projection(parameter))
        deviation /= sqrt(2.0 * self->shape.layers);
    fmq_rng_t rng;
    fmq_rng_name_t name = {
        .seed = self->seed, .purpose = FMQ_RNG_MODEL_INIT, .step = (uint32_t)index};
    fmq_rng_init(&rng, &name);
    for (uint64_t i = 0; i < parameter->count; i++)
        out[i] = (float)(deviation * fmq_rng_normal(&rng));
}

static int source_random(const llm_model_t *self, size_t index, source_t *source, fmq_error_t *err)
{
    source->bytes = self->parameters.items[index].count * sizeof(float);
    source->dtype = FMQ_F32;
    source->buffer = malloc(source->bytes);
    if (!source->buffer)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a tensor of %llu bytes",
                             (unsigned long long)source->bytes);
    draw(self, index, source->buffer);
    source->data = source->buffer;
    return 0;
}

static int source_file(const llm_model_t *self, size_t index, source_t *source, fmq_error_t *err)
{
    const llm_tensor_view_t *view =
        llm_parameter_find(&self->shape, &self->parameters.items[index], self->weights, err);
    if (!view)
        return -1;
    source->data = view->data;
    source->bytes = view->bytes;
    source->dtype = view->dtype;
    if ((uintptr_t)view->data % fmq_dtype_size(view->dtype) == 0)
        return 0;
    source->buffer = malloc(view->bytes);
    if (!source->buffer)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a copy of '%s'", view->name);
    memcpy(source->buffer, view->data, view->bytes);
    source->data = source->buffer;
    return 0;
}

static int source_open(const llm_model_t *self, size_t index, source_t *source, fmq_error_t *err)
{
    memset(source, 0, sizeof *source);
    return self->weights ? source_file(self, index, source, err)
                         : source_random(self, index, source, err);
}

static void source_close(source_t *source)
{
    free(source->buffer);
    source->buffer = NULL;
}

static llm_matrix_t **matrix_slot(llm_model_t *self, const llm_parameter_t *parameter)
{
    switch (parameter->role) {
    case LLM_ROLE_TOKENS:
        return &self->tokens;
    case LLM_ROLE_HEAD:
        return &self->head;
    case LLM_ROLE_MODULE:
        return &self->layers[parameter->layer].linear[parameter->module].weight;
    default:
        return NULL;
    }
}

static float **vector_slot(llm_model_t *self, const llm_parameter_t *parameter)
{
    llm_model_norm_t *norm = NULL;
    switch (parameter->role) {
    case LLM_ROLE_MODULE:
        return &self->layers[parameter->layer].linear[parameter->module].bias;
    case LLM_ROLE_NORM_ATTENTION:
        norm = &self->layers[parameter->layer].norm_attention;
        break;
    case LLM_ROLE_NORM_MLP:
        norm = &self->layers[parameter->layer].norm_mlp;
        break;
    case LLM_ROLE_NORM_FINAL:
        norm = &self->norm_final;
        break;
    default:
        return &self->positions;
    }
    return parameter->bias ? &norm->bias : &norm->weight;
}

static int place_matrix(llm_model_t *self, const llm_parameter_t *parameter, llm_matrix_t **slot,
                        fmq_error_t *err)
{
    source_t source;
    if (source_open(self, (size_t)(parameter - self->parameters.items), &source, err) < 0)
        return -1;
    bool major = parameter->role == LLM_ROLE_MODULE && self->shape.arch->input_major;
    size_t out = (size_t)parameter->shape[major ? 1 : 0];
    size_t in = (size_t)parameter->shape[major ? 0 : 1];
    *slot = self->be->ops->matrix_new(self->be, source.data, source.dtype, out, in, major);
    source_close(&source);
    if (!*slot)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a weight of %zu x %zu", out,
                             in);
    self->bytes += self->be->ops->matrix_bytes(*slot);
    return 0;
}

static int place_vector(llm_model_t *self, const llm_parameter_t *parameter, float **slot,
                        fmq_error_t *err)
{
    size_t bytes = (size_t)parameter->count * sizeof(float);
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(&self->shape, parameter, name);
    float *host = malloc(bytes);
    *slot = self->be->ops->alloc(self->be, bytes);
    int rc = -1;
    if (!host || !*slot)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for '%s'", name);
    else
        rc = llm_model_read(self, name, host, err);
    if (rc == 0) {
        self->be->ops->upload(self->be, *slot, host, bytes);
        self->bytes += bytes;
    }
    free(host);
    return rc;
}

static int place_all(llm_model_t *self, fmq_error_t *err)
{
    for (size_t i = 0; i < self->parameters.size; i++) {
        const llm_parameter_t *parameter = &self->parameters.items[i];
        llm_matrix_t **matrix =
            parameter->bias || parameter->rank == 1 ? NULL : matrix_slot(self, parameter);
        int rc = matrix ? place_matrix(self, parameter, matrix, err)
                        : place_vector(self, parameter, vector_slot(self, parameter), err);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static llm_model_digest_t *digest_new(void)
{
    llm_model_digest_t *digest = calloc(1, sizeof *digest);
    if (digest && pthread_mutex_init(&digest->lock, NULL) != 0) {
        free(digest);
        digest = NULL;
    }
    return digest;
}

/* A model without weights yet; the shape is set by the caller afterwards. */
static llm_model_t *shell_new(const char *directory, llm_backend_t *be, fmq_error_t *err)
{
    llm_model_t *self = calloc(1, sizeof *self);
    if (!self)
        goto fail;
    self->be = be;
    self->directory = malloc(strlen(directory) + 1);
    self->digest = digest_new();
    if (!self->directory || !self->digest)
        goto fail;
    memcpy(self->directory, directory, strlen(directory) + 1);
    return self;
fail:
    fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model");
    llm_model_destroy(&self);
    return NULL;
}

static int fill(llm_model_t *self, fmq_error_t *err)
{
    if (llm_parameters_init(&self->parameters, &self->shape, err) < 0)
        return -1;
    self->layers = calloc(self->shape.layers, sizeof *self->layers);
    if (!self->layers)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model");
    return place_all(self, err);
}

llm_model_t *llm_model_open(const char *directory, llm_backend_t *be, fmq_error_t *err)
{
    llm_model_t *self = shell_new(directory, be, err);
    if (!self)
        return NULL;
    size_t size = strlen(directory) + sizeof "/config.json";
    char *path = malloc(size);
    if (!path) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a model");
        goto fail;
    }
    (void)snprintf(path, size, "%s/config.json", directory);
    if (llm_shape_load(&self->shape, path, err) < 0)
        goto fail;
    self->weights = llm_weights_open(directory, err);
    if (!self->weights)
        goto fail;
    if (fill(self, err) < 0) {
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
    llm_model_t *self = shell_new("", be, err);
    if (!self)
        return NULL;
    self->shape = *shape;
    self->seed = seed;
    if (fill(self, err) < 0)
        llm_model_destroy(&self);
    return self;
}

static void vector_release(llm_backend_t *be, float *vector)
{
    if (vector)
        be->ops->release(be, vector);
}

static void norm_release(llm_backend_t *be, llm_model_norm_t *norm)
{
    vector_release(be, norm->weight);
    vector_release(be, norm->bias);
}

static void layer_release(llm_backend_t *be, llm_model_layer_t *layer)
{
    norm_release(be, &layer->norm_attention);
    norm_release(be, &layer->norm_mlp);
    for (int m = 0; m < LLM_MODULES; m++) {
        if (layer->linear[m].weight)
            be->ops->matrix_destroy(be, &layer->linear[m].weight);
        vector_release(be, layer->linear[m].bias);
    }
}

void llm_model_destroy(llm_model_t **self_p)
{
    llm_model_t *self = *self_p;
    if (!self)
        return;
    llm_backend_t *be = self->be;
    for (uint32_t l = 0; self->layers && l < self->shape.layers; l++)
        layer_release(be, &self->layers[l]);
    norm_release(be, &self->norm_final);
    vector_release(be, self->positions);
    if (self->tokens)
        be->ops->matrix_destroy(be, &self->tokens);
    if (self->head)
        be->ops->matrix_destroy(be, &self->head);
    llm_weights_close(&self->weights);
    llm_parameters_release(&self->parameters);
    if (self->digest)
        (void)pthread_mutex_destroy(&self->digest->lock);
    free(self->digest);
    free(self->layers);
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

size_t llm_model_bytes(const llm_model_t *self)
{
    return self->bytes;
}

int llm_model_read(const llm_model_t *self, const char *name, float *out, fmq_error_t *err)
{
    for (size_t i = 0; i < self->parameters.size; i++) {
        const llm_parameter_t *parameter = &self->parameters.items[i];
        char candidate[FMQ_SCHEMA_NAME_MAX];
        llm_parameter_name(&self->shape, parameter, candidate);
        if (strcmp(candidate, name) != 0)
            continue;
        if (!self->weights) {
            draw(self, i, out);
            return 0;
        }
        const llm_tensor_view_t *view =
            llm_parameter_find(&self->shape, parameter, self->weights, err);
        if (!view)
            return -1;
        return llm_weights_read(self->weights, view->name, view->rank, view->shape, out, err);
    }
    return fmq_error_set(err, FMQ_ERR_NOTFOUND, "the model has no tensor '%s'", name);
}

static void digest_number(fmq_digest_state_t *state, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    fmq_digest_add(state, bytes, sizeof bytes);
}

static void digest_text(fmq_digest_state_t *state, const char *text)
{
    fmq_digest_add(state, text, strlen(text) + 1);
}

/* Floats of the configuration enter by their bits. */
static void digest_real(fmq_digest_state_t *state, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    digest_number(state, bits);
}

static void digest_shape(fmq_digest_state_t *state, const llm_shape_t *shape)
{
    digest_text(state, shape->arch->model_type);
    const uint64_t numbers[] = {shape->layers,
                                shape->width,
                                shape->heads,
                                shape->kv_heads,
                                shape->head_width,
                                shape->ffn,
                                shape->vocab,
                                shape->context,
                                shape->gelu_exact,
                                shape->attention_bias,
                                shape->mlp_bias,
                                shape->tied,
                                shape->rope_original_context};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        digest_number(state, numbers[i]);
    const float reals[] = {shape->norm_eps, shape->rope_theta, shape->rope_factor, shape->rope_low,
                           shape->rope_high};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        digest_real(state, reals[i]);
}

/* A tensor that cannot be read any more (out of memory) enters as its name
 * alone: such a digest equals no other end's, which is the safe answer. */
static void digest_tensor(const llm_model_t *self, size_t index, fmq_digest_state_t *state)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(&self->shape, &self->parameters.items[index], name);
    digest_text(state, name);
    source_t source;
    if (source_open(self, index, &source, NULL) < 0)
        return;
    digest_text(state, fmq_dtype_name(source.dtype));
    digest_number(state, source.bytes);
    fmq_digest_add(state, source.data, (size_t)source.bytes);
    source_close(&source);
}

fmq_digest_t llm_model_digest(const llm_model_t *self)
{
    llm_model_digest_t *digest = self->digest;
    (void)pthread_mutex_lock(&digest->lock);
    if (!digest->known) {
        fmq_digest_state_t state;
        fmq_digest_begin(&state);
        digest_shape(&state, &self->shape);
        for (size_t i = 0; i < self->parameters.size; i++)
            digest_tensor(self, i, &state);
        digest->value = fmq_digest_end(&state);
        digest->known = true;
    }
    fmq_digest_t value = digest->value;
    (void)pthread_mutex_unlock(&digest->lock);
    return value;
}
