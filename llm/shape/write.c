/*
 * write.c - a model's config.json, which read.c and HF transformers both read.
 */
#include <math.h>

#include "fedmq/llm/shape.h"
#include "llm/hub/json.h"
#include "llm/shape/rope.h"

static int set_token(json_t *root, const char *key, int32_t id)
{
    return json_object_set_new(root, key, id < 0 ? json_null() : json_integer(id));
}

static int set_ends(json_t *root, const llm_shape_t *shape)
{
    if (shape->ends_size == 0)
        return set_token(root, "eos_token_id", shape->eos);
    json_t *ends = json_array();
    int status = json_array_append_new(ends, json_integer(shape->eos));
    for (uint32_t i = 0; i < shape->ends_size; i++)
        status |= json_array_append_new(ends, json_integer(shape->ends[i]));
    return status | json_object_set_new(root, "eos_token_id", ends);
}

/* The row's own name of the function, where it means that one. */
static const char *activation_name(const llm_shape_t *shape)
{
    llm_activation_t of_row;
    bool same =
        llm_activation_find(shape->arch->activation, &of_row) && of_row == shape->activation;
    return same ? shape->arch->activation : llm_activation_name(shape->activation);
}

static int set_number(json_t *root, const char *key, uint32_t number)
{
    return key ? json_object_set_new(root, key, json_integer((json_int_t)number)) : 0;
}

static int set_numbers(json_t *root, const llm_shape_t *shape)
{
    const llm_config_keys_t *keys = shape->arch->keys;
    int status = set_number(root, keys->layers, shape->layers);
    status |= set_number(root, keys->width, shape->width);
    status |= set_number(root, keys->heads, shape->heads);
    status |= set_number(root, keys->kv_heads, shape->kv_heads);
    status |= set_number(root, keys->head_width, shape->head_width);
    status |= set_number(root, keys->ffn, shape->ffn);
    status |= set_number(root, keys->context, shape->context);
    status |= set_number(root, "vocab_size", shape->vocab);
    if (keys->eps)
        status |= llm_json_set_float(root, keys->eps, shape->norm_eps);
    if (keys->activation)
        status |= json_object_set_new(root, keys->activation, json_string(activation_name(shape)));
    return status;
}

static int set_switches(json_t *root, const llm_shape_t *shape)
{
    int status = 0;
    for (size_t i = 0; i < LLM_SWITCHES && shape->arch->switches[i].key; i++)
        status |= json_object_set_new(root, shape->arch->switches[i].key,
                                      json_boolean(shape->arch->switches[i].value));
    return status;
}

static int set_biases(json_t *root, const llm_shape_t *shape)
{
    int status = 0;
    for (size_t i = 0; i < LLM_BIAS_RULES; i++) {
        const llm_bias_rule_t *rule = &shape->arch->biases[i];
        if (rule->key)
            status |= json_object_set_new(
                root, rule->key, json_boolean((shape->biases & rule->modules) == rule->modules));
    }
    return status;
}

/* Without the keys it would have the family's.  Layers are listed where not all
 * of them are alike. */
static int set_window(json_t *root, const llm_shape_t *shape)
{
    llm_windows_t windows = shape->arch->windows;
    if (windows == LLM_WINDOWS_NONE)
        return 0;
    int status = json_object_set_new(root, "sliding_window",
                                     shape->window ? json_integer(shape->window) : json_null());
    if (windows == LLM_WINDOWS_ALL)
        return status;
    if (windows != LLM_WINDOWS_BUT_NTH)
        status |= json_object_set_new(root, "use_sliding_window", json_boolean(shape->window != 0));
    json_t *types = json_array();
    for (uint32_t l = 0; l < shape->layers; l++) {
        bool window = llm_layer_bit(&shape->windowed, l);
        status |= json_array_append_new(
            types, json_string(window ? "sliding_attention" : "full_attention"));
    }
    return status | json_object_set_new(root, "layer_types", types);
}

static float or_one(float scale)
{
    return scale ? scale : 1.0f;
}

static int set_scales(json_t *root, const llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    int status = 0;
    if (arch->attention_scale_key)
        status |= llm_json_set_float(root, arch->attention_scale_key,
                                     roundf(1 / (shape->attention_scale * shape->attention_scale)));
    if (!arch->multipliers)
        return status;
    status |= llm_json_set_float(root, "embedding_multiplier", or_one(shape->embedding_scale));
    status |= llm_json_set_float(root, "residual_multiplier", or_one(shape->residual_scale));
    status |= llm_json_set_float(root, "attention_multiplier", llm_shape_attention_scale(shape));
    return status | llm_json_set_float(root, "logits_scaling", 1 / or_one(shape->logit_scale));
}

static int set_unrotated(json_t *root, const llm_shape_t *shape)
{
    if (!shape->arch->unrotated_nth)
        return 0;
    json_t *list = json_array();
    int status = list ? 0 : -1;
    for (uint32_t l = 0; l < shape->layers; l++)
        status |= json_array_append_new(list, json_integer(!llm_layer_bit(&shape->unrotated, l)));
    return status | json_object_set_new(root, "no_rope_layers", list);
}

static json_t *shape_json(const llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    json_t *root =
        json_pack("{s[s] ss sb ss}", "architectures", arch->hf_class, "model_type",
                  arch->model_type, "tie_word_embeddings", shape->tied, "torch_dtype", "float32");
    if (!root)
        return NULL;
    int status = set_numbers(root, shape);
    status |= set_switches(root, shape);
    status |= set_biases(root, shape);
    status |= set_token(root, "bos_token_id", shape->bos);
    status |= set_ends(root, shape);
    if (arch->positions == LLM_POSITIONS_ROPE)
        status |= llm_rope_write(root, shape);
    status |= set_window(root, shape);
    status |= set_scales(root, shape);
    status |= set_unrotated(root, shape);
    if (status != 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}

int llm_shape_save(const llm_shape_t *shape, const char *path, fmq_error_t *err)
{
    json_t *root = shape_json(shape);
    if (!root)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to write '%s'", path);
    int status = llm_json_save(root, path, err);
    json_decref(root);
    return status;
}

char *llm_shape_text(const llm_shape_t *shape, fmq_error_t *err)
{
    json_t *root = shape_json(shape);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a model's configuration");
    return text;
}
