/*
 * shape.c - the numbers of one model, read from and written to config.json.
 *
 * Follows HF's configuration_gpt2.py and configuration_llama.py.  What a
 * config asks for and this engine does not compute is refused here, so that a
 * model either gives HF's results or does not load.
 */
#include "fedmq/llm/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"
#include "llm/hub/json.h"

#define CONFIG_SIZE_MAX (1u << 20)
#define FFN_MAX         (4 * LLM_WIDTH_MAX)

/* HF's key for the same number in the two naming traditions. */
typedef struct {
    const char *layers, *width, *heads, *ffn, *context, *eps, *activation;
} keys_t;

static const keys_t gpt2_keys = {"n_layer",
                                 "n_embd",
                                 "n_head",
                                 "n_inner",
                                 "n_positions",
                                 "layer_norm_epsilon",
                                 "activation_function"};
static const keys_t llama_keys = {
    "num_hidden_layers",       "hidden_size",  "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "rms_norm_eps", "hidden_act"};

static const keys_t *keys_of(const llm_arch_t *arch)
{
    return arch->positions == LLM_POSITIONS_LEARNED ? &gpt2_keys : &llama_keys;
}

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

static void read_extents(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const keys_t *keys = keys_of(shape->arch);
    bool rope = shape->arch->positions == LLM_POSITIONS_ROPE;
    shape->layers = positive(reader, keys->layers, LLM_LAYERS_MAX);
    shape->width = positive(reader, keys->width, LLM_WIDTH_MAX);
    shape->heads = positive(reader, keys->heads, LLM_WIDTH_MAX);
    shape->vocab = positive(reader, "vocab_size", LLM_VOCAB_MAX);
    shape->context = positive(reader, keys->context, LLM_CONTEXT_MAX);
    shape->ffn =
        rope ? positive(reader, keys->ffn, FFN_MAX) : positive_if(reader, keys->ffn, FFN_MAX);
    if (shape->ffn == 0)
        shape->ffn = 4 * shape->width;
    shape->kv_heads = rope ? positive_if(reader, "num_key_value_heads", LLM_WIDTH_MAX) : 0;
    if (rope && !json_object_get(reader->object, "num_key_value_heads"))
        shape->kv_heads = shape->arch->kv_heads;
    if (shape->kv_heads == 0)
        shape->kv_heads = shape->heads;
    shape->head_width = rope ? positive_if(reader, "head_dim", LLM_WIDTH_MAX) : 0;
}

static void check_extents(llm_json_reader_t *reader, llm_shape_t *shape)
{
    const keys_t *keys = keys_of(shape->arch);
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
    const keys_t *keys = keys_of(shape->arch);
    bool gelu = shape->arch->mlp == LLM_MLP_GELU;
    const char *name = llm_json_string(reader, keys->activation, gelu ? "gelu_new" : "silu");
    shape->gelu_exact = gelu && strcmp(name, "gelu") == 0;
    bool known = gelu ? shape->gelu_exact || strcmp(name, "gelu_new") == 0 ||
                            strcmp(name, "gelu_pytorch_tanh") == 0
                      : strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0;
    if (!known)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s' '%s' is not supported (known: %s)",
                      keys->activation, name, gelu ? "gelu_new, gelu_pytorch_tanh, gelu" : "silu");
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

static void read_llama3(llm_json_reader_t *scaling, llm_shape_t *shape)
{
    shape->rope_low = (float)llm_json_positive(scaling, "low_freq_factor", 0);
    shape->rope_high = (float)llm_json_positive(scaling, "high_freq_factor", 0);
    shape->rope_original_context =
        positive(scaling, "original_max_position_embeddings", LLM_CONTEXT_MAX);
    if (!(shape->rope_low > 0 && shape->rope_high > shape->rope_low))
        llm_json_fail(scaling, FMQ_ERR_FORMAT,
                      "rope scaling 'llama3' needs 0 < low_freq_factor < high_freq_factor");
}

/* Reads rope_scaling, or rope_parameters as transformers 5 calls it. */
static void read_rope_scaling(llm_json_reader_t *reader, const json_t *object, llm_shape_t *shape)
{
    llm_json_reader_t scaling = {.object = object, .path = reader->path, .err = reader->err};
    shape->rope_theta = (float)llm_json_positive(&scaling, "rope_theta", shape->rope_theta);
    const char *type = llm_json_string(&scaling, "type", "default");
    type = llm_json_string(&scaling, "rope_type", type);
    if (strcmp(type, "default") != 0) {
        shape->rope_factor = (float)llm_json_positive(&scaling, "factor", 0);
        if (!(shape->rope_factor >= 1))
            llm_json_fail(&scaling, FMQ_ERR_FORMAT,
                          "rope scaling '%s' needs a 'factor' of at least 1", type);
        if (strcmp(type, "llama3") == 0)
            read_llama3(&scaling, shape);
        else if (strcmp(type, "linear") != 0)
            llm_json_fail(&scaling, FMQ_ERR_UNSUPPORTED,
                          "rope scaling '%s' is not supported (known: linear, llama3)", type);
    }
    if (llm_json_positive(&scaling, "partial_rotary_factor", 1) != 1)
        llm_json_fail(&scaling, FMQ_ERR_UNSUPPORTED, "'partial_rotary_factor' is not supported");
    reader->failed = reader->failed || scaling.failed;
}

static void read_rope(llm_json_reader_t *reader, llm_shape_t *shape)
{
    shape->rope_theta = (float)llm_json_positive(reader, "rope_theta", 10000);
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2 && !reader->failed; i++) {
        const json_t *object = llm_json_get(reader, keys[i]);
        if (object && !json_is_object(object))
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be an object or null", keys[i]);
        else if (object)
            read_rope_scaling(reader, object, shape);
    }
    if (llm_json_positive(reader, "partial_rotary_factor", 1) != 1)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'partial_rotary_factor' is not supported");
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
    if (shape->arch->window > 0 && window > 0 && window < shape->context)
        shape->window = (uint32_t)window;
}

uint32_t llm_shape_reach(const llm_shape_t *shape)
{
    return shape->window ? shape->window : shape->context;
}

static void read_shape(llm_json_reader_t *reader, llm_shape_t *shape)
{
    read_arch(reader, shape);
    if (reader->failed)
        return;
    const llm_arch_t *arch = shape->arch;
    bool rope = arch->positions == LLM_POSITIONS_ROPE;
    read_extents(reader, shape);
    if (reader->failed)
        return;
    check_extents(reader, shape);
    read_activation(reader, shape);
    shape->norm_eps = (float)llm_json_positive(reader, keys_of(arch)->eps, rope ? 1e-6 : 1e-5);
    shape->attention_bias =
        rope ? llm_json_bool(reader, "attention_bias", arch->attention_bias) : true;
    shape->mlp_bias = rope ? llm_json_bool(reader, "mlp_bias", arch->mlp_bias) : true;
    shape->tied = llm_json_bool(reader, "tie_word_embeddings", arch->tie_by_default);
    read_begin(reader, shape);
    read_ends(reader, shape);
    shape->rope_factor = 1;
    if (rope)
        read_rope(reader, shape);
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

/* The shortest decimal that reads back as this float, so that 1e-5f is written
 * 1e-05 and not 9.99999974737875e-06. */
static json_t *json_float(float value)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *rope_scaling_json(const llm_shape_t *shape)
{
    if (shape->rope_factor == 1 && shape->rope_original_context == 0)
        return json_null();
    if (shape->rope_original_context == 0)
        return json_pack("{ss so}", "rope_type", "linear", "factor",
                         json_float(shape->rope_factor));
    return json_pack("{ss so so so sI}", "rope_type", "llama3", "factor",
                     json_float(shape->rope_factor), "low_freq_factor", json_float(shape->rope_low),
                     "high_freq_factor", json_float(shape->rope_high),
                     "original_max_position_embeddings", (json_int_t)shape->rope_original_context);
}

/* Keys that only the LLaMA tradition has. */
static int add_llama_keys(json_t *root, const llm_shape_t *shape)
{
    json_t *more =
        json_pack("{sI sI sb sb so so}", "num_key_value_heads", (json_int_t)shape->kv_heads,
                  "head_dim", (json_int_t)shape->head_width, "attention_bias",
                  shape->attention_bias, "mlp_bias", shape->mlp_bias, "rope_theta",
                  json_float(shape->rope_theta), "rope_scaling", rope_scaling_json(shape));
    int status = more ? json_object_update(root, more) : -1;
    json_decref(more);
    return status;
}

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

static json_t *shape_json(const llm_shape_t *shape)
{
    const llm_arch_t *arch = shape->arch;
    const keys_t *keys = keys_of(arch);
    bool rope = arch->positions == LLM_POSITIONS_ROPE;
    const char *gelu = shape->gelu_exact ? "gelu" : "gelu_new";
    json_t *root = json_pack(
        "{s[s] ss sI sI sI sI sI sI so ss sb}", "architectures", arch->hf_class, "model_type",
        arch->model_type, keys->layers, (json_int_t)shape->layers, keys->width,
        (json_int_t)shape->width, keys->heads, (json_int_t)shape->heads, keys->ffn,
        (json_int_t)shape->ffn, keys->context, (json_int_t)shape->context, "vocab_size",
        (json_int_t)shape->vocab, keys->eps, json_float(shape->norm_eps), keys->activation,
        arch->mlp == LLM_MLP_GELU ? gelu : "silu", "tie_word_embeddings", shape->tied);
    if (!root)
        return NULL;
    int status = set_token(root, "bos_token_id", shape->bos);
    status |= set_ends(root, shape);
    status |= json_object_set_new(root, "torch_dtype", json_string("float32"));
    if (rope)
        status |= add_llama_keys(root, shape);
    if (arch->window > 0) /* without the key it would have the family's */
        status |= json_object_set_new(root, "sliding_window",
                                      shape->window ? json_integer(shape->window) : json_null());
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

static bool has_bias(const llm_shape_t *shape, llm_module_t module)
{
    bool mlp = module == LLM_GATE || module == LLM_UP || module == LLM_DOWN;
    return mlp ? shape->mlp_bias : shape->attention_bias;
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
        layer += (uint64_t)out * in + (has_bias(shape, (llm_module_t)m) ? out : 0);
    }
    uint64_t total = shape->layers * layer + norm + shape->vocab * width;
    if (arch->position_embedding)
        total += shape->context * width;
    return shape->tied ? total : total + shape->vocab * width;
}

/* Llama-3.1's scaling (HF _compute_llama3_parameters): long wavelengths are
 * stretched by the factor, short ones kept, those between blended. */
static float scale_llama3(const llm_shape_t *shape, float frequency)
{
    float original = (float)shape->rope_original_context;
    float wavelength = (float)(2 * 3.14159265358979323846) / frequency;
    if (wavelength < original / shape->rope_high)
        return frequency;
    float stretched = frequency / shape->rope_factor;
    if (wavelength > original / shape->rope_low)
        return stretched;
    float smooth = (original / wavelength - shape->rope_low) / (shape->rope_high - shape->rope_low);
    return (1 - smooth) * stretched + smooth * frequency;
}

void llm_shape_rope_frequencies(const llm_shape_t *shape, float *out)
{
    /* HF takes the exponent, the power and the reciprocal in fp32 one by one. */
    for (uint32_t i = 0; i < shape->head_width / 2; i++) {
        float exponent = (float)(2 * i) / (float)shape->head_width;
        float frequency = 1.0f / (float)fmq_pow((double)shape->rope_theta, (double)exponent);
        if (shape->rope_original_context)
            frequency = scale_llama3(shape, frequency);
        else
            frequency /= shape->rope_factor;
        out[i] = frequency;
    }
}
