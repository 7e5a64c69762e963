/*
 * read.c - the numbers of one model, read from config.json.
 *
 * Follows HF's configuration_<model_type>.py.  What a config asks for and this
 * engine does not compute is refused here, so that a model either gives HF's
 * results or does not load.
 */
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
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", row->model_type);
}

static void read_arch(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const char *type = llm_json_string(reader, "model_type", NULL);
    char known[256];
    known_types(known, sizeof known);
    if (!type) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'model_type' is missing (known: %s)", known);
        return;
    }
    shape->arch = llm_arch_find(type);
    if (!shape->arch)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "model_type '%s' is not known (known: %s)", type,
                      known);
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

/* 0 where the family has no such key, or its value where config.json is silent;
 * null is 0. */
static uint32_t number_of_family(llm_json_reader_t *reader, const char *key, uint32_t silent)
{
    if (!key)
        return 0;
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
    shape->context = positive(reader, keys->context, LLM_CONTEXT_MAX);
    shape->ffn = arch->ffn_optional ? positive_if(reader, keys->ffn, FFN_MAX)
                                    : positive(reader, keys->ffn, FFN_MAX);
    if (shape->ffn == 0)
        shape->ffn = 4 * shape->width;
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
    const char *name = llm_json_string(reader, arch->keys->activation, arch->activation);
    if (!llm_activation_find(name, &shape->activation))
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'%s' '%s' is not supported (known: silu, gelu, gelu_new, "
                      "gelu_pytorch_tanh, relu, quick_gelu)",
                      arch->keys->activation, name);
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

/* Newer configurations say for each layer what it attends to. */
static void refuse_layer_types(llm_json_reader_t *reader)
{
    const json_t *types = llm_json_get(reader, "layer_types");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, "full_attention") != 0)
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                          "'layer_types': layer %zu is '%.40s'; only 'full_attention' is supported",
                          i, type ? type : "no text");
    }
}

/* Refuses what would change the result. */
static void refuse_features(llm_json_reader_t *reader)
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
    refuse_layer_types(reader);
}

/* Only families that have a window read the key.  Theirs is the default where
 * it is not there at all; null says that there is none. */
static void read_window(llm_json_reader_t *reader, llm_shape_t *shape)
{
    int64_t window = llm_json_integer_if(reader, "sliding_window", 1, LLM_JSON_INTEGER_MAX);
    if (!json_object_get(reader->object, "sliding_window"))
        window = shape->arch->window;
    if (shape->arch->windows != LLM_WINDOWS_NONE && window > 0 && window < shape->context)
        shape->window = (uint32_t)window;
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
    shape->norm_eps = (float)llm_json_positive(reader, arch->keys->eps, (double)arch->norm_eps);
    read_biases(reader, shape);
    shape->tied = llm_json_bool(reader, "tie_word_embeddings", arch->tie_by_default);
    read_begin(reader, shape);
    read_ends(reader, shape);
    shape->rope_factor = 1;
    if (arch->positions == LLM_POSITIONS_ROPE)
        llm_rope_read(reader, shape);
    read_window(reader, shape);
    refuse_features(reader);
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
