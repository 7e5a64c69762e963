/*
 * source.c - finds the bytes of a tensor, wherever they are.  Hands them to
 * nobody.
 */
#include "llm/model/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "llm/hub/half.h"

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
    if (parameter->rank == 1) {
        for (uint64_t i = 0; i < parameter->count; i++)
            out[i] = parameter->bias ? 0.0f : 1.0f;
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
    source->bytes = model->parameters.items[index].count * sizeof(float);
    source->dtype = FMQ_F32;
    source->buffer = malloc((size_t)source->bytes);
    if (!source->buffer)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a tensor of %llu bytes",
                             (unsigned long long)source->bytes);
    draw(model, index, source->buffer);
    source->data = source->buffer;
    return 0;
}

/* The view of a part file's tensor, under its name within the part. */
static const llm_tensor_view_t *find_in_part(const llm_model_part_t *part, const llm_shape_t *shape,
                                             const llm_parameter_t *parameter, fmq_error_t *err)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_part_name(shape, parameter, name);
    const llm_tensor_view_t *view = llm_weights_find(part->file, name);
    if (!view) {
        fmq_error_set(err, FMQ_ERR_MISMATCH, "part file '%s' holds no tensor '%s'", part->path,
                      name);
        return NULL;
    }
    if (llm_parameter_check(parameter, view, err) < 0) {
        fmq_error_prefix(err, "part file '%s'", part->path);
        return NULL;
    }
    return view;
}

static int open_file(llm_source_t *source, const llm_model_t *model, size_t index, fmq_error_t *err)
{
    const llm_parameter_t *parameter = &model->parameters.items[index];
    const llm_model_part_t *part = llm_model_part_of(model, parameter);
    const llm_tensor_view_t *view =
        part->file ? find_in_part(part, &model->shape, parameter, err)
                   : llm_parameter_find(&model->shape, parameter, model->weights, err);
    if (!view)
        return -1;
    source->data = view->data;
    source->bytes = view->bytes;
    source->dtype = view->dtype;
    if ((uintptr_t)view->data % fmq_dtype_size(view->dtype) == 0)
        return 0;
    source->buffer = malloc((size_t)view->bytes);
    if (!source->buffer)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a copy of '%s'", view->name);
    memcpy(source->buffer, view->data, (size_t)view->bytes);
    source->data = source->buffer;
    return 0;
}

llm_source_owner_t llm_source_owner(const llm_model_t *model, size_t index)
{
    for (;;) {
        const llm_parameter_t *parameter = &model->parameters.items[index];
        const llm_model_part_t *part = llm_model_part_of(model, parameter);
        if (!part->lender)
            return (llm_source_owner_t){model, index};
        index =
            llm_parameters_index(&model->parameters, index, &part->lender->parameters, part->layer);
        model = part->lender;
    }
}

int llm_source_open(llm_source_t *source, const llm_model_t *model, size_t index, fmq_error_t *err)
{
    llm_source_owner_t owner = llm_source_owner(model, index);
    const llm_parameter_t *parameter = &owner.model->parameters.items[owner.index];
    memset(source, 0, sizeof *source);
    bool in_file = owner.model->weights || llm_model_part_of(owner.model, parameter)->file;
    return in_file ? open_file(source, owner.model, owner.index, err)
                   : open_random(source, owner.model, owner.index, err);
}

void llm_source_close(llm_source_t *source)
{
    free(source->buffer);
    source->buffer = NULL;
}

void llm_source_read(const llm_source_t *source, float *out)
{
    if (source->dtype == FMQ_F16)
        llm_half_from_f16(source->data, (size_t)source->bytes / 2, out);
    else if (source->dtype == FMQ_BF16)
        llm_half_from_bf16(source->data, (size_t)source->bytes / 2, out);
    else
        memcpy(out, source->data, (size_t)source->bytes);
}
