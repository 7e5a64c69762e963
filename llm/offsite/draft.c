/*
 * draft.c - see draft.h.
 */
#include "llm/offsite/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/hub/half.h"

static int no_memory(const char *name, fmq_error_t *err)
{
    return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for '%s'", name);
}

int llm_draft_add(llm_draft_t *self, const llm_draft_tensor_t *tensor, void **data_p,
                  fmq_error_t *err)
{
    void *data = *data_p;
    *data_p = NULL;
    size_t size = strlen(tensor->name) + strlen(tensor->suffix) + 1;
    char *name = malloc(size);
    if (!name || self->size == LLM_DRAFT_TENSORS_MAX) {
        free(name);
        free(data);
        return no_memory(tensor->name, err);
    }
    (void)snprintf(name, size, "%s%s", tensor->name, tensor->suffix);
    llm_part_tensor_t *out = &self->tensors[self->size++];
    *out = (llm_part_tensor_t){.name = name,
                               .dtype = tensor->dtype,
                               .rank = tensor->rank,
                               .shape = {tensor->shape[0], tensor->shape[1]},
                               .data = data,
                               .bytes = tensor->bytes};
    return 0;
}

bool llm_values_are_bf16(const float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if (bits & 0xffffu)
            return false;
    }
    return true;
}

bool llm_values_are_f16(const float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint16_t half;
        float back;
        llm_half_to_f16(&values[i], 1, &half);
        llm_half_from_f16(&half, 1, &back);
        if (memcmp(&back, &values[i], sizeof back) != 0)
            return false;
    }
    return true;
}

int llm_draft_add_values(llm_draft_t *self, const llm_draft_tensor_t *tensor, const float *values,
                         fmq_error_t *err)
{
    uint64_t count = tensor->shape[0] * (tensor->rank > 1 ? tensor->shape[1] : 1);
    llm_draft_tensor_t out = *tensor;
    bool bf16 = llm_values_are_bf16(values, count);
    bool f16 = !bf16 && llm_values_are_f16(values, count);
    out.dtype = bf16 ? "BF16" : f16 ? "F16" : "F32";
    out.bytes = count * (bf16 || f16 ? 2 : 4);
    void *data = malloc((size_t)out.bytes + 1); /* there may be no value at all */
    if (!data)
        return no_memory(tensor->name, err);
    if (bf16)
        llm_half_to_bf16(values, (size_t)count, data);
    else if (f16)
        llm_half_to_f16(values, (size_t)count, data);
    else
        memcpy(data, values, (size_t)out.bytes);
    return llm_draft_add(self, &out, &data, err);
}

int llm_draft_save(const llm_draft_t *self, const char *path, fmq_error_t *err)
{
    return llm_part_save(path, self->tensors, self->size, err);
}

void llm_draft_release(llm_draft_t *self)
{
    for (size_t i = 0; i < self->size; i++) {
        free((void *)(uintptr_t)self->tensors[i].name);
        free((void *)(uintptr_t)self->tensors[i].data);
    }
    self->size = 0;
}

static bool is_of_layer(const llm_parameter_t *parameter, uint32_t layer)
{
    bool within = llm_parameter_in_layer(parameter);
    return within && parameter->layer == layer;
}

static int visit(const llm_model_t *model, const llm_parameter_t *parameter,
                 llm_layer_tensor_fn *each, void *argument, fmq_error_t *err)
{
    const llm_shape_t *shape = llm_model_shape(model);
    char name[FMQ_SCHEMA_NAME_MAX], prefix[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(shape, parameter, name);
    (void)snprintf(prefix, sizeof prefix, "%s%u.", shape->arch->layer_prefix, parameter->layer);
    float *values = malloc((size_t)parameter->count * sizeof *values);
    if (!values)
        return no_memory(name, err);
    int rc = llm_model_read(model, name, values, err);
    if (rc == 0) {
        llm_layer_tensor_t tensor = {.parameter = parameter,
                                     .rows = parameter->shape[0],
                                     .columns = parameter->rank > 1 ? parameter->shape[1] : 1,
                                     .values = values};
        (void)snprintf(tensor.name, sizeof tensor.name, "%s", name + strlen(prefix));
        rc = each(argument, &tensor, err);
        if (rc < 0)
            fmq_error_prefix(err, "tensor '%s'", name);
    }
    free(values);
    return rc;
}

int llm_layer_each(const llm_model_t *model, uint32_t layer, llm_layer_tensor_fn *each,
                   void *argument, fmq_error_t *err)
{
    llm_parameters_t parameters;
    if (llm_parameters_init(&parameters, llm_model_shape(model), err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < parameters.size && rc == 0; i++) {
        if (is_of_layer(&parameters.items[i], layer))
            rc = visit(model, &parameters.items[i], each, argument, err);
    }
    llm_parameters_release(&parameters);
    return rc;
}

int llm_draft_add_layer_tensor(llm_draft_t *self, const llm_layer_tensor_t *tensor,
                               fmq_error_t *err)
{
    llm_draft_tensor_t out = {.name = tensor->name,
                              .suffix = "",
                              .rank = tensor->parameter->rank,
                              .shape = {tensor->rows, tensor->columns}};
    return llm_draft_add_values(self, &out, tensor->values, err);
}
