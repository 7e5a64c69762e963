/*
 * read.c - the numbers of one model, read from config.json.
 *
 * Follows HF's configuration_<model_type>.py.  What a config asks for and this
 * engine does not compute is refused here, so that a model either gives HF's
 * results or does not load.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fedmq/llm/shape.h"
#include "llm/hub/json.h"
#include "llm/shape/rope.h"

#define CONFIG_SIZE_MAX (1u << 20)
#define FFN_MAX         (4 * LLM_WIDTH_MAX)

static void known_types(char *out, size_t size)
{
    size_t used = 0;
    const llm_arch_t *row;
    for (size_t i = 0; (row = llm_arch_at(i)) && used < size; i++)
        if (llm_arch_find(row->model_type) == row)
            used +=
                (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", row->model_type);
}

/* Do the switches of a row stand right?  Else the first that does not. */
static const llm_switch_t *wrong_switch(llm_json_reader_t *reader, const llm_arch_t *row)
{
    for (size_t i = 0; i < LLM_SWITCHES && row->switches[i].key; i++) {
        const llm_switch_t *one = &row->switches[i];
        if (llm_json_bool(reader, one->key, one->absent) != one->value)
            return one;
    }
    return NULL;
}

/* The row of a family that config.json means; NULL when the family is unknown,
 * or has failed. */
static const llm_arch_t *choose_row(llm_json_reader_t *reader, const char *type)
{
    const llm_arch_t *row;
    const llm_switch_t *wrong = NULL;
    for (size_t i = 0; (row = llm_arch_at(i)) && !reader->failed; i++) {
        if (strcmp(row->model_type, type) != 0)
            continue;
        const llm_switch_t *one = wrong_switch(reader, row);
        if (!one)
            return row;
        wrong = one;
    }
    if (wrong && !reader->failed)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'%s': %s is not supported for model_type '%s', or not with its other "
                      "settings",
                      wrong->key, wrong->value ? "false" : "true", type);
    return NULL;
}

static void read_arch(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const char *type = llm_json_string(reader, "model_type", NULL);
    char known[512];
    known_types(known, sizeof known);
    if (!type) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'model_type' is missing (known: %s)", known);
        return;
    }
    shape->arch = choose_row(reader, type);
    if (shape->arch || reader->failed)
        return;
    const llm_arch_t *nearest = llm_arch_nearest(type);
    llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                  "model_type '%.60s' is not known%s%s%s%s (known: %s)", type,
                  nearest ? "; the nearest is '" : "", nearest ? nearest->model_type : "",
                  nearest ? "', " : "", nearest ? nearest->hf_class : "", known);
}

static uint32_t positive(llm_json_reader_t *reader, const char *key, int64_t max)
{
    return (uint32_t)llm_json_integer(reader, key, 1, max);
}

/* An optional positive integer, 0 when it is not given. */
static uint32_t positive_if(llm_json_reader_t *reader, const char *key, int64_t max)
{
    return (uint32_t)llm_json_integer_if(reader, key, 1, max);
}

/* A positive integer; `silent` where it is not given, which must not be when that is 0. */
static uint32_t positive_or(llm_json_reader_t *reader, const char *key, int64_t max,
                            uint32_t silent)
{
    uint32_t given = silent ? positive_if(reader, key, max) : positive(reader, key, max);
    return given ? given : silent;
}

/* 0 where the family has no such key, or its value where config.json is silent;
 * null is 0. */
static uint32_t number_of_family(llm_json_reader_t *reader, const char *key, uint32_t silent)
{
    if (!key)
        return silent;
    return json_object_get(reader->object, key) ? positive_if(reader, key, LLM_WIDTH_MAX) : silent;
}

static void read_extents(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    const llm_config_keys_t *keys = arch->keys;
    shape->layers = positive(reader, keys->layers, LLM_LAYERS_MAX);
    shape->width = positive(reader, keys->width, LLM_WIDTH_MAX);
    shape->heads = positive(reader, keys->heads, LLM_WIDTH_MAX);
    shape->vocab = positive(reader, "vocab_size", LLM_VOCAB_MAX);
    shape->context = positive_or(reader, keys->context, LLM_CONTEXT_MAX, arch->context);
    shape->ffn = positive_or(reader, keys->ffn, FFN_MAX, arch->ffn_optional ? 4 * shape->width : 0);
    shape->kv_heads = number_of_family(reader, keys->kv_heads, arch->kv_heads);
    if (shape->kv_heads == 0)
        shape->kv_heads = shape->heads;
    shape->head_width = number_of_family(reader, keys->head_width, arch->head_width);
}

static void check_extents(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const llm_config_keys_t *keys = shape->arch->keys;
    if (shape->head_width == 0) {
        if (shape->width % shape->heads != 0)
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' %u is not a multiple of '%s' %u",
                          keys->width, shape->width, keys->heads, shape->heads);
        shape->head_width = shape->width / shape->heads;
    }
    if (shape->heads % shape->kv_heads != 0)
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' %u is not a multiple of '%s' %u", keys->heads,
                      shape->heads, "num_key_value_heads", shape->kv_heads);
    if ((uint64_t)shape->heads * shape->head_width > LLM_WIDTH_MAX)
        llm_json_fail(reader, FMQ_ERR_LIMIT, "%u heads of width %u are wider than %d", shape->heads,
                      shape->head_width, LLM_WIDTH_MAX);
    if (shape->arch->positions == LLM_POSITIONS_ROPE && shape->head_width % 2 != 0)
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "a head width of %u is odd; rotary positions need an even one",
                      shape->head_width);
}

static void read_activation(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    const char *key = arch->keys->activation;
    const char *name = key ? llm_json_string(reader, key, arch->activation) : arch->activation;
    if (!llm_activation_find(name, &shape->activation))
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'%s' '%s' is not supported (known: silu, gelu, gelu_new, "
                      "gelu_pytorch_tanh, relu, quick_gelu)",
                      arch->keys->activation, name);
    if (arch->exact_means_tanh && shape->activation == LLM_ACTIVATION_GELU)
        shape->activation = LLM_ACTIVATION_GELU_TANH;
}

static void read_biases(llm_json_reader_t *reader, llm_shape_t *shape)
{
    for (size_t i = 0; i < LLM_BIAS_RULES; i++) {
        const llm_bias_rule_t *rule = &shape->arch->biases[i];
        if (rule->key ? llm_json_bool(reader, rule->key, rule->absent) : rule->modules != 0)
            shape->biases |= rule->modules;
    }
}

/* A token id, -1 when it is none or beyond the vocabulary: HF writes GPT-2's
 * 50256 into the config of every GPT-2, however few tokens it knows. */
static int32_t read_token(llm_json_reader_t *reader, const char *key, const json_t *value,
                          uint32_t vocab)
{
    uint64_t id;
    if (!value || json_is_null(value) || (json_is_number(value) && json_number_value(value) == -1))
        return -1;
    if (!llm_json_whole(value, &id)) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a token id", key);
        return -1;
    }
    return id < vocab ? (int32_t)id : -1;
}

/* What transformers takes where the key is not there at all. */
static int32_t unsaid(int32_t family, uint32_t vocab)
{
    return (uint32_t)family < vocab ? family : -1;
}

static void read_begin(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const json_t *value = json_object_get(reader->object, "bos_token_id");
    if (json_is_array(value))
        value = json_array_get(value, 0);
    shape->bos = value ? read_token(reader, "bos_token_id", value, shape->vocab)
                       : unsaid(shape->arch->bos, shape->vocab);
}

/* Llama-3.1 lists several ends; the first is the text's. */
static void read_ends(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const json_t *value = json_object_get(reader->object, "eos_token_id");
    size_t count = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;
    shape->eos = value ? -1 : unsaid(shape->arch->eos, shape->vocab);
    for (size_t i = 0; i < count; i++) {
        int32_t id =
            read_token(reader, "eos_token_id",
                       json_is_array(value) ? json_array_get(value, i) : value, shape->vocab);
        if (id >= 0 && shape->eos < 0)
            shape->eos = id;
        else if (id >= 0 && shape->ends_size < LLM_ENDS_MAX)
            shape->ends[shape->ends_size++] = id;
    }
}

/* Weights that bitsandbytes, GPTQ, AWQ and others have made. */
static void refuse_quantized(llm_json_reader_t *reader)
{
    const json_t *object = llm_json_get(reader, "quantization_config");
    const char *method = json_string_value(json_object_get(object, "quant_method"));
    if (object)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'quantization_config': weights quantized by '%.40s' are not supported; use "
                      "the unquantized model, or write one (from_pretrained(...), "
                      "model.dequantize(), save_pretrained(...))",
                      method ? method : "an unnamed method");
}

/* Numbers that only one value of is computed. */
static void refuse_numbers(llm_json_reader_t *reader, const llm_shape_t *shape)
{
    const char *key = shape->arch->embedding_width_key;
    uint32_t width = key ? positive_if(reader, key, LLM_WIDTH_MAX) : 0;
    if (width && width != shape->width)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'%s' %u: embeddings of another width than the model's %u are not supported",
                      key, width, shape->width);
    bool two = shape->arch->parallel && shape->arch->norms[LLM_NORM_MLP];
    if (two && positive_if(reader, "num_ln_in_parallel_attn", 2) == 1)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'num_ln_in_parallel_attn': 1 is not supported with '%s'",
                      shape->arch->switches[0].key);
}

/* Refuses what would change the result. */
static void refuse_features(llm_json_reader_t *reader, const llm_shape_t *shape)
{
    static const struct {
        const char *key;
        bool supported;
    } flags[] = {
        {"scale_attn_weights", true},
        {"scale_attn_by_inverse_layer_idx", false},
        {"add_cross_attention", false},
        {"is_encoder_decoder", false},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (llm_json_bool(reader, flags[i].key, flags[i].supported) != flags[i].supported)
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s': %s is not supported", flags[i].key,
                          flags[i].supported ? "false" : "true");
    refuse_quantized(reader);
    refuse_numbers(reader, shape);
}

/* Does the family say, where config.json does not, that this layer has a window? */
static bool windowed_by_rule(const llm_shape_t *shape, uint32_t layer, uint32_t nth)
{
    switch (shape->arch->windows) {
    case LLM_WINDOWS_ALL:
        return true;
    case LLM_WINDOWS_ABOVE:
        return layer >= nth;
    case LLM_WINDOWS_BUT_NTH:
        return (layer + 1) % nth != 0;
    case LLM_WINDOWS_UNROTATED:
        return llm_layer_bit(&shape->unrotated, layer);
    default:
        return false;
    }
}

static bool windowed_by_type(llm_json_reader_t *reader, const llm_shape_t *shape,
                             const json_t *types, uint32_t layer)
{
    const char *type = json_string_value(json_array_get(types, layer));
    bool window =
        type && strcmp(type, "sliding_attention") == 0 && shape->arch->windows != LLM_WINDOWS_NONE;
    if (!type || (!window && strcmp(type, "full_attention") != 0))
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'layer_types': layer %u is '%.40s'; only 'full_attention'%s is supported",
                      layer, type ? type : "no text",
                      shape->arch->windows == LLM_WINDOWS_NONE ? "" : " or 'sliding_attention'");
    return window;
}

/* The number that the family's rule goes by, 0 where it has none. */
static uint32_t number_of_rule(llm_json_reader_t *reader, const llm_arch_t *arch)
{
    bool above = arch->windows == LLM_WINDOWS_ABOVE;
    const char *key = above ? "max_window_layers" : "sliding_window_pattern";
    if (!above && arch->windows != LLM_WINDOWS_BUT_NTH)
        return 0;
    if (!llm_json_get(reader, key))
        return arch->window_period;
    if (!above)
        return positive(reader, key, LLM_LAYERS_MAX);
    int64_t first = llm_json_integer(reader, key, 0, LLM_JSON_INTEGER_MAX);
    return first < LLM_LAYERS_MAX ? (uint32_t)first : LLM_LAYERS_MAX;
}

/* Which layers have a window; newer configurations list it. */
static void read_windowed(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const json_t *types = llm_json_get(reader, "layer_types");
    if (types && json_array_size(types) != shape->layers)
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'layer_types' must list %u types, one a layer",
                      shape->layers);
    uint32_t nth = number_of_rule(reader, shape->arch);
    for (uint32_t l = 0; l < shape->layers && !reader->failed; l++)
        llm_layer_bit_set(&shape->windowed, l,
                          types ? windowed_by_type(reader, shape, types, l)
                                : windowed_by_rule(shape, l, nth));
}

/* Only families that have a window read the key.  Theirs is the default where
 * it is not there at all; null says that there is none. */
static void read_window(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    bool asked = arch->windows == LLM_WINDOWS_ABOVE || arch->windows == LLM_WINDOWS_UNROTATED;
    int64_t window = llm_json_integer_if(reader, "sliding_window", 1, LLM_JSON_INTEGER_MAX);
    if (!json_object_get(reader->object, "sliding_window"))
        window = arch->window;
    bool some = arch->windows != LLM_WINDOWS_NONE;
    if (asked && !llm_json_bool(reader, "use_sliding_window", false))
        some = false;
    if (some && window > 0 && window < shape->context)
        shape->window = (uint32_t)window;
    read_windowed(reader, shape);
    static const llm_layer_bits_t none;
    if (memcmp(&shape->windowed, &none, sizeof none) == 0)
        shape->window = 0;
    if (shape->window == 0)
        shape->windowed = none;
}

/* A multiplier, 0 when it is 1: nothing is multiplied. */
static float multiplier(llm_json_reader_t *reader, const char *key)
{
    double value = llm_json_positive(reader, key, 1);
    return value == 1 ? 0 : (float)value;
}

static void read_scales(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    if (arch->embedding_scaled)
        shape->embedding_scale = sqrtf((float)shape->width);
    shape->attention_scale = arch->attention_scale;
    if (arch->attention_scale_key)
        shape->attention_scale =
            (float)(1 / sqrt(llm_json_positive(reader, arch->attention_scale_key,
                                               (double)arch->attention_scalar)));
    if (!arch->multipliers)
        return;
    shape->embedding_scale = multiplier(reader, "embedding_multiplier");
    shape->residual_scale = multiplier(reader, "residual_multiplier");
    shape->attention_scale = (float)llm_json_positive(reader, "attention_multiplier", 1);
    shape->logit_scale = multiplier(reader, "logits_scaling");
    if (shape->logit_scale)
        shape->logit_scale = 1 / shape->logit_scale;
}

/* no_rope_layers has a number for each layer, 0 where nothing is turned. */
static void read_unrotated(llm_json_reader_t *reader, llm_shape_t *shape)
{
    if (!shape->arch->unrotated_nth)
        return;
    int64_t nth = llm_json_integer_if(reader, "no_rope_layer_interval", 1, LLM_LAYERS_MAX);
    const json_t *list = llm_json_get(reader, "no_rope_layers");
    if (list && json_array_size(list) != shape->layers)
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'no_rope_layers' must list %u numbers, one a layer",
                      shape->layers);
    nth = nth > 0 ? nth : shape->arch->unrotated_nth;
    for (uint32_t l = 0; l < shape->layers && !reader->failed; l++) {
        uint64_t turns = 0;
        if (!list)
            turns = (l + 1) % (uint32_t)nth != 0;
        else if (!llm_json_whole(json_array_get(list, l), &turns) || turns > 1)
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'no_rope_layers': number %u is not 0 or 1", l);
        llm_layer_bit_set(&shape->unrotated, l, !turns);
    }
}

static void read_shape(llm_json_reader_t *reader, llm_shape_t *shape)
{
    read_arch(reader, shape);
    if (reader->failed)
        return;
    const llm_arch_t *arch = shape->arch;
    read_extents(reader, shape);
    if (reader->failed)
        return;
    check_extents(reader, shape);
    read_activation(reader, shape);
    shape->norm_eps = arch->norm_eps;
    if (arch->keys->eps)
        shape->norm_eps = (float)llm_json_positive(reader, arch->keys->eps, (double)arch->norm_eps);
    read_biases(reader, shape);
    shape->tied = llm_json_bool(reader, "tie_word_embeddings", arch->tie_by_default);
    read_begin(reader, shape);
    read_ends(reader, shape);
    shape->rope_factor = 1;
    if (arch->positions == LLM_POSITIONS_ROPE)
        llm_rope_read(reader, shape);
    read_scales(reader, shape);
    read_unrotated(reader, shape);
    read_window(reader, shape);
    refuse_features(reader, shape);
}

/* Takes root. */
static int shape_of_json(llm_shape_t *shape, json_t *root, const char *path, fmq_error_t *err)
{
    if (!root)
        return -1;
    llm_shape_t read = {0};
    llm_json_reader_t reader = {.object = root, .path = path, .err = err};
    read_shape(&reader, &read);
    json_decref(root);
    if (reader.failed)
        return -1;
    *shape = read;
    return 0;
}

int llm_shape_load(llm_shape_t *shape, const char *path, fmq_error_t *err)
{
    return shape_of_json(shape, llm_json_load(path, CONFIG_SIZE_MAX, err), path, err);
}

int llm_shape_parse(llm_shape_t *shape, const char *name, const char *text, size_t size,
                    fmq_error_t *err)
{
    json_t *root = llm_json_parse(text, size, name, err);
    if (root && !json_is_object(root)) {
        json_decref(root);
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is no JSON object", name);
    }
    return shape_of_json(shape, root, name, err);
}
