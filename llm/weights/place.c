/*
 * place.c - hands a model's tensors to the backend, and takes over those that
 * another model lends.  Reads no file itself.
 */
#include <stdlib.h>

#include "llm/weights/build.h"
#include "llm/weights/source.h"

static llm_matrix_t **matrix_slot(llm_model_t *self, const llm_parameter_t *parameter)
{
    if (parameter->bias || parameter->rank == 1)
        return NULL;
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

static llm_matrix_t *quantized_matrix(llm_model_t *self, const llm_source_t *source, size_t out,
                                      size_t in, bool major)
{
    llm_quantized_t data = {.codes = source->main.data,
                            .scales = source->more.data,
                            .bits = source->bits,
                            .group = (size_t)source->group};
    return self->be->ops->matrix_new_quantized(self->be, &data, out, in, major);
}

/* Other weights that are stored in pieces are put together first. */
static llm_matrix_t *decoded_matrix(llm_model_t *self, const llm_source_t *source, size_t out,
                                    size_t in, bool major)
{
    float *host = malloc((size_t)source->count * sizeof *host);
    if (!host)
        return NULL;
    llm_source_read(source, host);
    llm_matrix_t *matrix = self->be->ops->matrix_new(self->be, host, FMQ_F32, out, in, major);
    free(host);
    return matrix;
}

static int place_matrix(llm_model_t *self, const llm_parameter_t *parameter, llm_source_t *source,
                        llm_matrix_t **slot, fmq_error_t *err)
{
    bool major = parameter->role == LLM_ROLE_MODULE && self->shape.arch->input_major;
    size_t out = (size_t)parameter->shape[major ? 1 : 0];
    size_t in = (size_t)parameter->shape[major ? 0 : 1];
    if (source->form == LLM_QUANTIZED && self->be->ops->matrix_new_quantized)
        *slot = quantized_matrix(self, source, out, in, major);
    else if (source->form != LLM_DENSE)
        *slot = decoded_matrix(self, source, out, in, major);
    else if (llm_source_align(source, err) < 0)
        return -1;
    else
        *slot = self->be->ops->matrix_new(self->be, source->main.data, source->main.dtype, out, in,
                                          major);
    if (!*slot)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a weight of %zu x %zu", out,
                             in);
    self->bytes += self->be->ops->matrix_bytes(*slot);
    return 0;
}

static int place_vector(llm_model_t *self, const llm_parameter_t *parameter,
                        const llm_source_t *source, float **slot, fmq_error_t *err)
{
    size_t bytes = (size_t)parameter->count * sizeof(float);
    float *host = malloc(bytes);
    *slot = self->be->ops->alloc(self->be, bytes);
    int rc = 0;
    if (!host || !*slot) {
        rc = fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a tensor of %zu bytes", bytes);
    } else {
        llm_source_read(source, host);
        self->be->ops->upload(self->be, *slot, host, bytes);
        self->bytes += bytes;
    }
    free(host);
    return rc;
}

static int place_parameter(llm_model_t *self, size_t index, fmq_error_t *err)
{
    const llm_parameter_t *parameter = &self->parameters.items[index];
    llm_matrix_t **matrix = matrix_slot(self, parameter);
    llm_source_t source;
    if (llm_source_open(&source, self, index, err) < 0)
        return -1;
    int rc = matrix ? place_matrix(self, parameter, &source, matrix, err)
                    : place_vector(self, parameter, &source, vector_slot(self, parameter), err);
    llm_source_close(&source);
    return rc;
}

static void take_over(llm_model_t *self)
{
    for (uint32_t l = 0; l < self->shape.layers; l++) {
        const llm_model_part_t *part = &self->parts[l];
        if (part->lender)
            self->layers[l] = part->lender->layers[part->layer];
    }
    const llm_model_t *stem = self->parts[self->shape.layers].lender;
    if (!stem)
        return;
    self->tokens = stem->tokens;
    self->head = stem->head;
    self->positions = stem->positions;
    self->norm_final = stem->norm_final;
}

int llm_model_place(llm_model_t *self, fmq_error_t *err)
{
    take_over(self);
    for (size_t i = 0; i < self->parameters.size; i++) {
        const llm_model_part_t *part = llm_model_part_of(self, &self->parameters.items[i]);
        if (!part->lender && place_parameter(self, i, err) < 0)
            return -1;
    }
    return 0;
}

static void vector_release(llm_backend_t *be, float *vector)
{
    if (vector)
        be->ops->release(be, vector);
}

static void matrix_release(llm_backend_t *be, llm_matrix_t **matrix)
{
    if (*matrix)
        be->ops->matrix_destroy(be, matrix);
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
        matrix_release(be, &layer->linear[m].weight);
        vector_release(be, layer->linear[m].bias);
    }
}

void llm_model_displace(llm_model_t *self)
{
    for (uint32_t l = 0; l < self->shape.layers; l++) {
        if (!self->parts[l].lender)
            layer_release(self->be, &self->layers[l]);
    }
    if (self->parts[self->shape.layers].lender)
        return;
    norm_release(self->be, &self->norm_final);
    vector_release(self->be, self->positions);
    matrix_release(self->be, &self->tokens);
    matrix_release(self->be, &self->head);
}
