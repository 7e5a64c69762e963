/*
 * source.c - finds the bytes of a tensor, wherever they are.  Hands them to
 * nobody.
 */
#include "llm/weights/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "fedmq/base/rng.h"
#include "llm/weights/part.h"

#define INIT_DEVIATION 0.02

static bool is_residual_projection(const llm_parameter_t *parameter)
{
    return parameter->role == LLM_ROLE_MODULE &&
           (parameter->module == LLM_O || parameter->module == LLM_DOWN);
}

/* Fills out with the random values of parameter number index. */
static void draw(const llm_model_t *model, size_t index, float *out)
{
    const llm_parameter_t *parameter = &model->parameters.items[index];
    bool ones = llm_parameter_is_norm_weight(parameter) && !model->shape.arch->norm_less_one;
    if (parameter->rank == 1) {
        for (uint64_t i = 0; i < parameter->count; i++)
            out[i] = ones ? 1.0f : 0.0f;
        return;
    }
    double deviation = INIT_DEVIATION;
    if (is_residual_projection(parameter))
        deviation /= sqrt(2.0 * model->shape.layers);
    fmq_rng_t rng;
    fmq_rng_name_t name = {
        .seed = model->seed, .purpose = FMQ_RNG_MODEL_INIT, .step = (uint32_t)index};
    fmq_rng_init(&rng, &name);
    for (uint64_t i = 0; i < parameter->count; i++)
        out[i] = (float)(deviation * fmq_rng_normal(&rng));
}

static int open_random(llm_source_t *source, const llm_model_t *model, size_t index,
                       fmq_error_t *err)
{
    uint64_t bytes = source->count * sizeof(float);
    source->buffer = malloc((size_t)bytes);
    if (!source->buffer)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a tensor of %llu bytes",
                             (unsigned long long)bytes);
    draw(model, index, source->buffer);
    source->main = (llm_stored_t){.data = source->buffer, .bytes = bytes, .dtype = FMQ_F32};
    return 0;
}

static int open_file(llm_source_t *source, const llm_model_t *model,
                     const llm_parameter_t *parameter, fmq_error_t *err)
{
    const llm_tensor_view_t *view =
        llm_parameter_find(&model->shape, parameter, model->weights, err);
    if (!view)
        return -1;
    source->main = (llm_stored_t){.data = view->data, .bytes = view->bytes, .dtype = view->dtype};
    return 0;
}

/* The model that has a tensor itself, and its number there. */
typedef struct {
    const llm_model_t *model;
    size_t index;
} owner_t;

static owner_t owner_of(const llm_model_t *model, size_t index)
{
    for (;;) {
        const llm_parameter_t *parameter = &model->parameters.items[index];
        const llm_model_part_t *part = llm_model_part_of(model, parameter);
        if (!part->lender)
            return (owner_t){model, index};
        index =
            llm_parameters_index(&model->parameters, index, &part->lender->parameters, part->layer);
        model = part->lender;
    }
}

/* Was the tensor drawn, or is it in a file? */
static bool is_in_file(const owner_t *owner)
{
    const llm_parameter_t *parameter = &owner->model->parameters.items[owner->index];
    return owner->model->weights || llm_model_part_of(owner->model, parameter)->file;
}

int llm_source_open(llm_source_t *source, const llm_model_t *model, size_t index, fmq_error_t *err)
{
    owner_t owner = owner_of(model, index);
    const llm_parameter_t *parameter = &owner.model->parameters.items[owner.index];
    *source = (llm_source_t){
        .rows = parameter->shape[0], .columns = parameter->shape[1], .count = parameter->count};
    if (!is_in_file(&owner))
        return open_random(source, owner.model, owner.index, err);
    source->mapped = true;
    return owner.model->weights ? open_file(source, owner.model, parameter, err)
                                : llm_part_find(source, owner.model, parameter, err);
}

int llm_source_bytes(const llm_model_t *model, size_t index, uint64_t *bytes, fmq_error_t *err)
{
    owner_t owner = owner_of(model, index);
    llm_source_t source = {.main.bytes = model->parameters.items[index].count * sizeof(float)};
    if (is_in_file(&owner) && llm_source_open(&source, model, index, err) < 0)
        return -1;
    *bytes = source.main.bytes + source.more.bytes;
    return 0;
}

static void release_pages(const llm_source_t *source)
{
    if (!source->mapped)
        return;
    if (!source->buffer)
        fmq_pages_release(source->main.data, (size_t)source->main.bytes);
    fmq_pages_release(source->more.data, (size_t)source->more.bytes);
}

void llm_source_close(llm_source_t *source)
{
    release_pages(source);
    free(source->buffer);
    source->buffer = NULL;
}

int llm_source_align(llm_source_t *source, fmq_error_t *err)
{
    llm_stored_t *main = &source->main;
    if ((uintptr_t)main->data % fmq_dtype_size(main->dtype) == 0)
        return 0;
    source->buffer = malloc((size_t)main->bytes);
    if (!source->buffer)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a copy of %llu bytes",
                             (unsigned long long)main->bytes);
    memcpy(source->buffer, main->data, (size_t)main->bytes);
    fmq_pages_release(main->data, (size_t)main->bytes);
    main->data = source->buffer;
    return 0;
}
