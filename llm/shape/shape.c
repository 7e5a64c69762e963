/*
 * shape.c - what follows from the numbers of one model: extents of its modules
 * and how many parameters it has.  read.c and write.c are the way from and to
 * config.json.
 */
#include "fedmq/llm/shape.h"

uint32_t llm_shape_reach(const llm_shape_t *shape)
{
    return shape->window ? shape->window : shape->context;
}

void llm_shape_module(const llm_shape_t *shape, llm_module_t module, size_t *out, size_t *in)
{
    size_t width = shape->width, ffn = shape->ffn;
    size_t queries = (size_t)shape->heads * shape->head_width;
    size_t keys = (size_t)shape->kv_heads * shape->head_width;
    const size_t outputs[LLM_MODULES] = {[LLM_QKV] = queries + 2 * keys,
                                         [LLM_Q] = queries,
                                         [LLM_K] = keys,
                                         [LLM_V] = keys,
                                         [LLM_O] = width,
                                         [LLM_GATE] = ffn,
                                         [LLM_UP] = ffn,
                                         [LLM_DOWN] = width};
    *out = outputs[module];
    *in = module == LLM_O ? queries : module == LLM_DOWN ? ffn : width;
}

bool llm_shape_has_bias(const llm_shape_t *shape, llm_module_t module)
{
    return shape->biases >> module & 1;
}

uint64_t llm_shape_parameters(const llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    uint64_t width = shape->width;
    uint64_t norm = arch->norm == LLM_NORM_LAYER ? 2 * width : width;
    uint64_t layer = 2 * norm;
    for (int m = 0; m < LLM_MODULES; m++) {
        if (!arch->modules[m])
            continue;
        size_t out, in;
        llm_shape_module(shape, (llm_module_t)m, &out, &in);
        layer += (uint64_t)out * in + (llm_shape_has_bias(shape, (llm_module_t)m) ? out : 0);
    }
    uint64_t total = shape->layers * layer + norm + shape->vocab * width;
    if (arch->position_embedding)
        total += shape->context * width;
    return shape->tied ? total : total + shape->vocab * width;
}
