/*
 * stack.c - compares shapes and tables of a stack.  Touches no weight.
 */
#include "llm/model/stack.h"

#include "llm/adapter/layout.h"
#include "llm/model/weights.h"

static bool same_shape(const llm_shape_t *a, const llm_shape_t *b)
{
    return a->arch == b->arch && a->layers == b->layers && a->width == b->width &&
           a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_width == b->head_width &&
           a->ffn == b->ffn && a->vocab == b->vocab && a->context == b->context &&
           a->attention_bias == b->attention_bias && a->mlp_bias == b->mlp_bias &&
           a->tied == b->tied;
}

static int refuse_widths(const llm_shape_t *shape, const llm_parameter_t *parameter,
                         fmq_error_t *err)
{
    char name[FMQ_SCHEMA_NAME_MAX];
    llm_parameter_name(shape, parameter, name);
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "the adapter was made for another width of '%s' than the model has", name);
}

/* A model may have layers of fewer channels than its shape says. */
static int check_full(const llm_model_t *model, const llm_adapter_t *adapter, fmq_error_t *err)
{
    size_t index = 0;
    for (size_t i = 0; i < model->parameters.size; i++) {
        const llm_parameter_t *parameter = &model->parameters.items[i];
        if (!llm_adapter_covers(adapter, parameter))
            continue;
        const fmq_tensor_t *tensor = fmq_schema_at(adapter->schema, index++);
        if (tensor->shape[0] != parameter->shape[0] || tensor->shape[1] != parameter->shape[1])
            return refuse_widths(&model->shape, parameter, err);
    }
    return 0;
}

static int check_lora(const llm_model_t *model, const llm_adapter_t *adapter, fmq_error_t *err)
{
    bool major = model->shape.arch->input_major;
    for (size_t i = 0; i < model->parameters.size; i++) {
        const llm_parameter_t *parameter = &model->parameters.items[i];
        if (parameter->role != LLM_ROLE_MODULE || parameter->bias ||
            !llm_adapter_lora(adapter, parameter->layer, parameter->module))
            continue;
        size_t out = 0, in = 0;
        llm_shape_module(&adapter->shape, parameter->module, &out, &in);
        if (parameter->shape[major ? 1 : 0] != out || parameter->shape[major ? 0 : 1] != in)
            return refuse_widths(&model->shape, parameter, err);
    }
    return 0;
}

static int check_fit(const llm_model_t *model, const llm_adapter_t *adapter, fmq_error_t *err)
{
    if (!same_shape(&model->shape, &adapter->shape))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the adapter was made for a model of another shape");
    switch (adapter->spec.kind) {
    case LLM_ADAPTER_FULL:
        return check_full(model, adapter, err);
    case LLM_ADAPTER_LORA:
        return check_lora(model, adapter, err);
    default:
        return 0;
    }
}

static bool touches(const llm_adapter_t *adapter, uint32_t layer, llm_module_t module)
{
    if (adapter->spec.kind == LLM_ADAPTER_FULL)
        return llm_layer_set_has(&adapter->spec.layers, layer);
    return llm_adapter_lora(adapter, layer, module) != NULL;
}

static int check_apart(const llm_stack_t *self, fmq_error_t *err)
{
    const llm_shape_t *shape = &self->model->shape;
    for (uint32_t layer = 0; layer < shape->layers; layer++) {
        for (int m = 0; m < LLM_MODULES; m++) {
            llm_module_t module = (llm_module_t)m;
            if (!shape->arch->modules[m] || !touches(self->adapter, layer, module) ||
                !touches(self->fixed, layer, module))
                continue;
            char path[FMQ_SCHEMA_NAME_MAX];
            llm_parameter_module_path(shape, layer, module, path);
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "module '%s' is both trained and fixed; the two adapters must "
                                 "lie on different modules",
                                 path);
        }
    }
    return 0;
}

int llm_stack_check(const llm_stack_t *self, fmq_error_t *err)
{
    if (check_fit(self->model, self->adapter, err) < 0)
        return -1;
    if (!self->fixed)
        return 0;
    return check_fit(self->model, self->fixed, err) < 0 ? -1 : check_apart(self, err);
}
