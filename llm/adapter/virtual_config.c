/*
 * virtual_config.c - adapter_config.json of peft.PromptTuningConfig,
 * PromptEncoderConfig and PrefixTuningConfig, both ways.
 *
 * Every key is read, or cannot change what saved rows mean, or is refused by its
 * name when it is on.
 */
#include <string.h>

#include "llm/adapter/config_keys.h"
#include "llm/adapter/virtual.h"

static const char *const inits[] = {[LLM_VIRTUAL_RANDOM] = "RANDOM",
                                    [LLM_VIRTUAL_TEXT] = "TEXT",
                                    [LLM_VIRTUAL_VOCABULARY] = "SAMPLE_VOCAB"};

static uint32_t whole(llm_json_reader_t *reader, const char *key, int64_t high, uint32_t absent)
{
    int64_t value = llm_json_integer_if(reader, key, 1, high);
    return value < 1 ? absent : (uint32_t)value;
}

static void copy_text(llm_json_reader_t *reader, const char *key, char *out, size_t size)
{
    const char *text = llm_json_string(reader, key, "");
    if (strlen(text) >= size)
        llm_json_fail(reader, FMQ_ERR_LIMIT, "'%s' is longer than %zu bytes", key, size - 1);
    else
        memcpy(out, text, strlen(text) + 1);
}

static void read_prompt(llm_json_reader_t *reader, llm_virtual_spec_t *spec)
{
    const char *init = llm_json_string(reader, "prompt_tuning_init", "RANDOM");
    int found = -1;
    for (int i = LLM_VIRTUAL_RANDOM; i <= LLM_VIRTUAL_VOCABULARY; i++)
        found = strcmp(inits[i], init) == 0 ? i : found;
    if (found < 0) {
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'prompt_tuning_init' is '%.40s'; it must be RANDOM, TEXT or SAMPLE_VOCAB",
                      init);
        return;
    }
    spec->init = (llm_virtual_init_t)found;
    copy_text(reader, "prompt_tuning_init_text", spec->text, sizeof spec->text);
    copy_text(reader, "tokenizer_name_or_path", spec->tokenizer, sizeof spec->tokenizer);
}

static void read_encoder(llm_json_reader_t *reader, llm_virtual_spec_t *spec)
{
    const char *type = llm_json_string(reader, "encoder_reparameterization_type", "MLP");
    spec->encoder = strcmp(type, "LSTM") == 0 ? LLM_ENCODER_LSTM : LLM_ENCODER_MLP;
    spec->layers = whole(reader, "encoder_num_layers", LLM_ENCODER_LAYERS_MAX, 2);
    if (strcmp(type, "LSTM") != 0 && strcmp(type, "MLP") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'encoder_reparameterization_type' is '%.40s'; it must be MLP or LSTM", type);
    spec->dropout = llm_config_read_fraction(reader, "encoder_dropout");
}

static void read_prefix(llm_json_reader_t *reader, llm_virtual_spec_t *spec)
{
    const char *init = llm_json_string(reader, "init_weights", "");
    if (llm_json_bool(reader, "prefix_projection", false))
        spec->encoder = LLM_ENCODER_MLP;
    if (strcmp(init, "zero") == 0)
        spec->init = LLM_VIRTUAL_ZERO;
    else if (*init)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'init_weights' is '%.40s'; only 'zero' is known", init);
}

#define OF(kind) (1u << (kind))
#define OF_ALL   (OF(LLM_ADAPTER_PROMPT) | OF(LLM_ADAPTER_P_TUNING) | OF(LLM_ADAPTER_PREFIX))

/* The keys of PEFT's configurations, and the types that have them.  What is not
 * read here does not change what saved rows mean. */
static const struct {
    const char *key;
    unsigned of;
} known[] = {
    {"modules_to_save", OF_ALL},
    {"num_virtual_tokens", OF_ALL},
    {"token_dim", OF_ALL},
    {"num_transformer_submodules", OF_ALL},
    {"num_attention_heads", OF_ALL},
    {"num_layers", OF_ALL},
    {"prompt_tuning_init", OF(LLM_ADAPTER_PROMPT)},
    {"prompt_tuning_init_text", OF(LLM_ADAPTER_PROMPT)},
    {"tokenizer_name_or_path", OF(LLM_ADAPTER_PROMPT)},
    {"tokenizer_kwargs", OF(LLM_ADAPTER_PROMPT)},
    {"encoder_reparameterization_type", OF(LLM_ADAPTER_P_TUNING)},
    {"encoder_hidden_size", OF(LLM_ADAPTER_P_TUNING) | OF(LLM_ADAPTER_PREFIX)},
    {"encoder_num_layers", OF(LLM_ADAPTER_P_TUNING)},
    {"encoder_dropout", OF(LLM_ADAPTER_P_TUNING)},
    {"prefix_projection", OF(LLM_ADAPTER_PREFIX)},
    {"init_weights", OF(LLM_ADAPTER_PREFIX)},
};

static bool is_known(const char *key, llm_adapter_kind_t kind)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].key, key) == 0)
            return known[i].of & OF(kind);
    return false;
}

static void refuse_strangers(llm_json_reader_t *reader, llm_adapter_kind_t kind)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)reader->object, key, value)
    {
        if (!llm_config_is_off(value) && !llm_config_is_common(key) && !is_known(key, kind))
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                          "'%.60s' is set, which fedmq does not know of peft_type %s; remove the "
                          "key if it changes nothing",
                          key, llm_json_string(reader, "peft_type", ""));
    }
}

static void refuse_features(llm_json_reader_t *reader)
{
    static const char *const off[] = {"modules_to_save", "tokenizer_kwargs"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const json_t *value = llm_json_get(reader, off[i]);
        if (!llm_config_is_off(value))
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                          "'%s' is set; fedmq has no virtual tokens with it, only without", off[i]);
    }
    if (whole(reader, "num_transformer_submodules", INT32_MAX, 1) != 1)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'num_transformer_submodules' is not 1; models that fedmq knows have one");
}

int llm_virtual_check(const llm_adapter_spec_t *spec, fmq_error_t *err)
{
    const llm_virtual_spec_t *tokens = &spec->virtual_tokens;
    if (tokens->count < 1 || tokens->count > LLM_VIRTUAL_TOKENS_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "num_virtual_tokens is %u; it must lie between 1 and %d",
                             tokens->count, LLM_VIRTUAL_TOKENS_MAX);
    if (tokens->hidden > LLM_ENCODER_HIDDEN_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "encoder_hidden_size is %u, at most %d are built",
                             tokens->hidden, LLM_ENCODER_HIDDEN_MAX);
    if (tokens->encoder == LLM_ENCODER_LSTM &&
        (tokens->layers < 1 || tokens->layers > LLM_ENCODER_LAYERS_MAX))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "encoder_num_layers is %u; it must lie between 1 and %d",
                             tokens->layers, LLM_ENCODER_LAYERS_MAX);
    if (!(tokens->dropout >= 0.0f && tokens->dropout < 1.0f))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "encoder_dropout is %g; it must be at least 0 and below 1",
                             (double)tokens->dropout);
    return 0;
}

void llm_virtual_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                      llm_adapter_storage_t *storage)
{
    llm_virtual_spec_t *tokens = &spec->virtual_tokens;
    tokens->layers = 2;
    refuse_strangers(reader, spec->kind);
    refuse_features(reader);
    tokens->count =
        (uint32_t)llm_json_integer(reader, "num_virtual_tokens", 1, LLM_VIRTUAL_TOKENS_MAX);
    tokens->hidden = whole(reader, "encoder_hidden_size", LLM_ENCODER_HIDDEN_MAX, 0);
    if (spec->kind == LLM_ADAPTER_PROMPT)
        read_prompt(reader, tokens);
    else if (spec->kind == LLM_ADAPTER_P_TUNING)
        read_encoder(reader, tokens);
    else
        read_prefix(reader, tokens);
    storage->token_dim = whole(reader, "token_dim", INT32_MAX, 0);
    storage->num_attention_heads = whole(reader, "num_attention_heads", INT32_MAX, 0);
    storage->num_layers = whole(reader, "num_layers", INT32_MAX, 0);
}

static void set(json_t *root, const char *key, json_t *value)
{
    (void)json_object_set_new(root, key, value);
}

static json_t *text_json(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static void set_kind(json_t *root, const llm_adapter_t *self)
{
    const llm_encoder_layout_t *layout = llm_adapter_virtual(self);
    const llm_virtual_spec_t *spec = &layout->spec;
    if (self->spec.kind == LLM_ADAPTER_PROMPT) {
        bool text = spec->init == LLM_VIRTUAL_TEXT;
        set(root, "prompt_tuning_init", json_string(inits[spec->init]));
        set(root, "prompt_tuning_init_text", text_json(text ? spec->text : ""));
        set(root, "tokenizer_name_or_path", text_json(text ? spec->tokenizer : ""));
        set(root, "tokenizer_kwargs", json_null());
        return;
    }
    set(root, "encoder_hidden_size", json_integer((json_int_t)layout->hidden));
    if (layout->prefix) {
        set(root, "prefix_projection", json_boolean(spec->encoder != LLM_ENCODER_NONE));
        set(root, "init_weights",
            spec->init == LLM_VIRTUAL_ZERO ? json_string("zero") : json_null());
        return;
    }
    set(root, "encoder_reparameterization_type",
        json_string(spec->encoder == LLM_ENCODER_LSTM ? "LSTM" : "MLP"));
    set(root, "encoder_num_layers", json_integer((json_int_t)(spec->layers ? spec->layers : 2)));
    set(root, "encoder_dropout", llm_json_float(spec->dropout));
}

json_t *llm_virtual_write(const llm_adapter_t *self, const char *base)
{
    const llm_encoder_layout_t *layout = llm_adapter_virtual(self);
    const llm_shape_t *shape = &self->shape;
    json_int_t heads = layout->prefix ? shape->kv_heads : shape->heads;
    json_int_t dim = (json_int_t)llm_virtual_token_dim(&self->spec, shape);
    json_t *root = json_pack(
        "{ss ss ss so sb so sI sI sI sI sI}", "peft_type", self->method->peft_type, "task_type",
        "CAUSAL_LM", "base_model_name_or_path", base, "revision", json_null(), "inference_mode", 1,
        "modules_to_save", json_null(), "num_virtual_tokens", (json_int_t)layout->count,
        "token_dim", dim, "num_transformer_submodules", (json_int_t)1, "num_attention_heads", heads,
        "num_layers", (json_int_t)shape->layers);
    if (root)
        set_kind(root, self);
    return root;
}

void llm_virtual_say(const llm_adapter_t *self, llm_line_t *line)
{
    const llm_encoder_layout_t *layout = llm_adapter_virtual(self);
    bool encoder = layout->dense_size > 0;
    llm_line_say(line, "adapter=%s num_virtual_tokens=%zu",
                 layout->prefix                          ? "prefix"
                 : self->spec.kind == LLM_ADAPTER_PROMPT ? "prompt"
                                                         : "p-tuning",
                 layout->count);
    if (layout->prefix)
        llm_line_say(line, " prefix_projection=%s", encoder ? "True" : "False");
    else if (encoder)
        llm_line_say(line, " encoder_reparameterization_type=%s",
                     layout->lstm_layers ? "LSTM" : "MLP");
    if (encoder)
        llm_line_say(line, " encoder_hidden_size=%zu", layout->hidden);
    if (layout->lstm_layers)
        llm_line_say(line, " encoder_num_layers=%u", layout->lstm_layers);
}
