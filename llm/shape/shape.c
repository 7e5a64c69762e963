/*
 * shape.c - what follows from the numbers of one model: extents of its modules
 * and how many parameters it has.  read.c and write.c are the way from and to
 * config.json.
 */
#include "fedmq/llm/shape.h"

#include <math.h>
#include <string.h>

uint32_t llm_shape_reach(const llm_shape_t *shape)
{
    bool within = shape->rope_scaling == LLM_ROPE_LONG;
    return within && shape->rope_original_context < shape->context ? shape->rope_original_context
                                                                   : shape->context;
}

uint32_t llm_shape_window(const llm_shape_t *shape, uint32_t layer)
{
    return llm_layer_bit(&shape->windowed, layer) ? shape->window : 0;
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
                                         [LLM_GATE_UP] = 2 * ffn,
                                         [LLM_DOWN] = width};
    *out = outputs[module];
    *in = module == LLM_O ? queries : module == LLM_DOWN ? ffn : width;
}

size_t llm_shape_norm(const llm_shape_t *shape, llm_layer_norm_t norm)
{
    if (norm != LLM_NORM_Q && norm != LLM_NORM_K)
        return shape->width;
    uint32_t heads = norm == LLM_NORM_Q ? shape->heads : shape->kv_heads;
    return (size_t)shape->head_width * (shape->arch->norm_qk_whole ? heads : 1);
}

uint32_t llm_shape_rotary(const llm_shape_t *shape)
{
    return shape->rotary ? shape->rotary : shape->head_width;
}

float llm_shape_attention_scale(const llm_shape_t *shape)
{
    return shape->attention_scale ? shape->attention_scale : 1.0f / sqrtf((float)shape->head_width);
}

void llm_shape_take_layer(llm_shape_t *shape, uint32_t to, const llm_shape_t *other, uint32_t from)
{
    llm_layer_bit_set(&shape->unrotated, to, llm_layer_bit(&other->unrotated, from));
    llm_layer_bit_set(&shape->windowed, to, llm_layer_bit(&other->windowed, from));
}

bool llm_shape_same_layer(const llm_shape_t *a, uint32_t layer_a, const llm_shape_t *b,
                          uint32_t layer_b)
{
    return llm_layer_bit(&a->unrotated, layer_a) == llm_layer_bit(&b->unrotated, layer_b) &&
           llm_layer_bit(&a->windowed, layer_a) == llm_layer_bit(&b->windowed, layer_b);
}

static bool same_numbers(const llm_shape_t *a, const llm_shape_t *b)
{
    return a->arch == b->arch && a->width == b->width && a->heads == b->heads &&
           a->kv_heads == b->kv_heads && a->head_width == b->head_width && a->ffn == b->ffn &&
           a->vocab == b->vocab && a->context == b->context && a->window == b->window &&
           a->activation == b->activation && a->biases == b->biases && a->tied == b->tied &&
           a->norm_eps == b->norm_eps;
}

static bool same_rope(const llm_shape_t *a, const llm_shape_t *b)
{
    return a->rope_theta == b->rope_theta && llm_shape_rotary(a) == llm_shape_rotary(b) &&
           a->rope_factor == b->rope_factor && a->rope_low == b->rope_low &&
           a->rope_high == b->rope_high && a->rope_original_context == b->rope_original_context &&
           a->rope_scaling == b->rope_scaling && a->rope_exact == b->rope_exact &&
           a->rope_attention == b->rope_attention &&
           memcmp(a->rope_short, b->rope_short, sizeof a->rope_short) == 0 &&
           memcmp(a->rope_long, b->rope_long, sizeof a->rope_long) == 0;
}

static bool same_scales(const llm_shape_t *a, const llm_shape_t *b)
{
    return a->embedding_scale == b->embedding_scale && a->residual_scale == b->residual_scale &&
           a->attention_scale == b->attention_scale && a->logit_scale == b->logit_scale;
}

bool llm_shape_same_family(const llm_shape_t *a, const llm_shape_t *b)
{
    return same_numbers(a, b) && same_rope(a, b) && same_scales(a, b);
}

bool llm_shape_has_bias(const llm_shape_t *shape, llm_module_t module)
{
    return shape->biases >> module & 1;
}

uint64_t llm_shape_parameters(const llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    uint64_t width = shape->width;
    uint64_t each = arch->norm == LLM_NORM_LAYER ? 2 : 1, layer = 0;
    for (int n = 0; n < LLM_LAYER_NORMS; n++)
        if (arch->norms[n])
            layer += each * llm_shape_norm(shape, (llm_layer_norm_t)n);
    for (int m = 0; m < LLM_MODULES; m++) {
        if (!arch->modules[m])
            continue;
        size_t out, in;
        llm_shape_module(shape, (llm_module_t)m, &out, &in);
        layer += (uint64_t)out * in + (llm_shape_has_bias(shape, (llm_module_t)m) ? out : 0);
    }
    uint64_t total = shape->layers * layer + each * width + shape->vocab * width;
    if (arch->position_embedding)
        total += ((uint64_t)shape->context + arch->position_offset) * width;
    if (arch->norm_embedding)
        total += each * width;
    if (arch->head_bias)
        total += shape->vocab;
    return shape->tied ? total : total + shape->vocab * width;
}
