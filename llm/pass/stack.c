/*
 * stack.c - compares shapes and tables of a stack.  Touches no weight.
 */
#include "llm/pass/stack.h"

#include "llm/adapter/layout.h"
#include "llm/weights/weights.h"

/* Gradients and vectors of one shape are those of the other. */
static bool same_shape(const llm_shape_t *a, const llm_shape_t *b)
{
    return a->arch == b->arch && a->layers == b->layers && a->width == b->width &&
           a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_width == b->head_width &&
           a->ffn == b->ffn && a->vocab == b->vocab && a->context == b->context &&
           a->window == b->window && a->biases == b->biases && a->tied == b->tied;
}

static bool touches(const llm_adapter_t *adapter, uint32_t layer, llm_module_t module)
{
    return llm_adapter_slot(adapter, layer, module)->trains;
}

static int check_fit(const llm_model_t *model, const llm_adapter_t *adapter, fmq_error_t *err)
{
    if (!same_shape(&model->shape, &adapter->shape))
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the adapter was made for a model of another shape");
    return 0;
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
    if (llm_adapter_virtual(self->adapter) || llm_adapter_virtual(self->fixed))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "virtual tokens do not go with a second adapter that is fixed");
    return check_fit(self->model, self->fixed, err) < 0 ? -1 : check_apart(self, err);
}
