/*
 * virtual_tokens.c - llm.adapter.args of prompt tuning, p-tuning and prefix
 * tuning, as PEFT's configurations of these would read them.
 *
 * What PEFT takes from the model is checked against it when it is known; an
 * argument that is not built is refused by name.
 */
#include "actors/settings/virtual_tokens.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "actors/settings/table.h"

#define ARGS "llm.adapter.args.0"

static int take_whole(const fmq_config_t *config, const char *key, int64_t most, uint32_t *out,
                      fmq_error_t *err)
{
    const int64_t range[2] = {1, most};
    int64_t value = 0;
    if (fmq_setting_int(config, key, range, &value, err) < 0)
        return -1;
    *out = (uint32_t)value;
    return 0;
}

static int take_count(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    return take_whole(config, key, LLM_VIRTUAL_TOKENS_MAX, &spec->virtual_tokens.count, err);
}

static int take_hidden(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    if (fmq_setting_only_off(config, key, NULL, NULL) == 0)
        return 0; /* None is what the model has */
    return take_whole(config, key, LLM_ENCODER_HIDDEN_MAX, &spec->virtual_tokens.hidden, err);
}

static int take_layers(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    return take_whole(config, key, LLM_ENCODER_LAYERS_MAX, &spec->virtual_tokens.layers, err);
}

static int take_dropout(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    static const double range[2] = {0, 0.999};
    double value = 0;
    if (fmq_setting_real(config, key, range, &value, err) < 0)
        return -1;
    spec->virtual_tokens.dropout = (float)value;
    return 0;
}

/* The number of a word among those that are known, which end in NULL. */
static int take_word(const fmq_config_t *config, const char *key, const char *const *known,
                     int *out, fmq_error_t *err)
{
    const char *word = NULL;
    char names[128] = "";
    if (fmq_config_get_text(config, key, &word, err) < 0)
        return -1;
    for (int i = 0; known[i]; i++) {
        if (strcmp(known[i], word) == 0) {
            *out = i;
            return 0;
        }
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", known[i]);
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is '%.60s'; it must be one of %s",
                         fmq_config_origin(config, key), key, word, names);
}

static int take_init(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    static const char *const known[] = {"RANDOM", "TEXT", "SAMPLE_VOCAB", NULL};
    llm_adapter_spec_t *spec = out;
    int found = 0;
    if (take_word(config, key, known, &found, err) < 0)
        return -1;
    spec->virtual_tokens.init = (llm_virtual_init_t)found; /* in the order of the enum */
    return 0;
}

static int take_encoder(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    static const char *const known[] = {"MLP", "LSTM", NULL};
    llm_adapter_spec_t *spec = out;
    int found = 0;
    if (take_word(config, key, known, &found, err) < 0)
        return -1;
    spec->virtual_tokens.encoder = found ? LLM_ENCODER_LSTM : LLM_ENCODER_MLP;
    return 0;
}

static int take_projection(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    bool projection = false;
    if (fmq_config_get_bool(config, key, &projection, err) < 0)
        return -1;
    spec->virtual_tokens.encoder = projection ? LLM_ENCODER_MLP : LLM_ENCODER_NONE;
    return 0;
}

static int take_weights(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    static const char *const known[] = {"zero", NULL};
    llm_adapter_spec_t *spec = out;
    int found = 0;
    if (fmq_setting_only_off(config, key, NULL, NULL) == 0)
        return 0;
    if (take_word(config, key, known, &found, err) < 0)
        return -1;
    spec->virtual_tokens.init = LLM_VIRTUAL_ZERO;
    return 0;
}

static int take_text(const fmq_config_t *config, const char *key, char *out, size_t size,
                     fmq_error_t *err)
{
    const char *text = NULL;
    if (fmq_setting_only_off(config, key, NULL, NULL) == 0)
        return 0;
    if (fmq_config_get_text(config, key, &text, err) < 0)
        return -1;
    if (strlen(text) >= size)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "%s: '%s' is longer than %zu bytes",
                             fmq_config_origin(config, key), key, size - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int take_init_text(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_virtual_spec_t *tokens = &((llm_adapter_spec_t *)out)->virtual_tokens;
    return take_text(config, key, tokens->text, sizeof tokens->text, err);
}

static int take_tokenizer(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_virtual_spec_t *tokens = &((llm_adapter_spec_t *)out)->virtual_tokens;
    return take_text(config, key, tokens->tokenizer, sizeof tokens->tokenizer, err);
}

static int take_one_module(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    uint32_t modules = 0;
    (void)out;
    if (fmq_setting_only_off(config, key, NULL, NULL) == 0)
        return 0;
    return take_whole(config, key, 1, &modules, err);
}

#define COMMON                                                                                     \
    {"adapter_package", fmq_setting_skip}, {"adapter_method", fmq_setting_skip},                   \
        {"num_virtual_tokens", take_count}, {"task_type", fmq_setting_skip},                       \
        {"inference_mode", fmq_setting_only_off}, {"modules_to_save", fmq_setting_only_off},       \
        {"token_dim", fmq_setting_only_off}, {"num_attention_heads", fmq_setting_only_off},        \
        {"num_layers", fmq_setting_only_off},                                                      \
    {                                                                                              \
        "num_transformer_submodules", take_one_module                                              \
    }

static const fmq_setting_t prompt_table[] = {COMMON,
                                             {"prompt_tuning_init", take_init},
                                             {"prompt_tuning_init_text", take_init_text},
                                             {"tokenizer_name_or_path", take_tokenizer},
                                             {"tokenizer_kwargs", fmq_setting_only_off},
                                             {NULL, NULL}};

static const fmq_setting_t p_tuning_table[] = {COMMON,
                                               {"encoder_reparameterization_type", take_encoder},
                                               {"encoder_hidden_size", take_hidden},
                                               {"encoder_num_layers", take_layers},
                                               {"encoder_dropout", take_dropout},
                                               {NULL, NULL}};

static const fmq_setting_t prefix_table[] = {COMMON,
                                             {"prefix_projection", take_projection},
                                             {"encoder_hidden_size", take_hidden},
                                             {"init_weights", take_weights},
                                             {NULL, NULL}};

typedef struct {
    const char *name;
    llm_adapter_kind_t kind;
    llm_encoder_kind_t encoder;
    const fmq_setting_t *table;
} method_t;

static const method_t methods[] = {
    {"prompt", LLM_ADAPTER_PROMPT, LLM_ENCODER_NONE, prompt_table},
    {"p-tuning", LLM_ADAPTER_P_TUNING, LLM_ENCODER_MLP, p_tuning_table},
    {"prefix", LLM_ADAPTER_PREFIX, LLM_ENCODER_NONE, prefix_table}};

static int check(const fmq_config_t *config, llm_adapter_spec_t *spec, fmq_error_t *err)
{
    llm_virtual_spec_t *tokens = &spec->virtual_tokens;
    if (tokens->count == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '%s' needs num_virtual_tokens, how many tokens are put in front "
                             "of every text",
                             fmq_config_origin(config, ARGS ".adapter_method"),
                             ARGS ".adapter_method");
    if (tokens->init == LLM_VIRTUAL_TEXT && (!*tokens->text || !*tokens->tokenizer))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: prompt_tuning_init TEXT needs prompt_tuning_init_text and "
                             "tokenizer_name_or_path",
                             fmq_config_origin(config, ARGS ".prompt_tuning_init"));
    if (fmq_config_bool(config, "llm.offsite_tuning.use"))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%s: offsite tuning trains modules of some layers, and virtual tokens "
                             "belong to none: use adapter_method lora with it, or none",
                             fmq_config_origin(config, ARGS ".adapter_method"));
    if (fmq_config_bool(config, "llm.offsite_tuning.save_full_model"))
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%s: virtual tokens cannot be merged into a model's weights; leave it "
                             "out, the adapter's directory is all there is",
                             fmq_config_origin(config, "llm.offsite_tuning.save_full_model"));
    return 0;
}

static const method_t *find(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcasecmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

bool fmq_settings_is_virtual(const char *method)
{
    return find(method) != NULL;
}

int fmq_settings_virtual(const fmq_config_t *config, const char *method, llm_adapter_spec_t *out,
                         fmq_error_t *err)
{
    const method_t *found = find(method);
    llm_adapter_spec_t spec = {.kind = found->kind,
                               .virtual_tokens = {.encoder = found->encoder, .layers = 2}};
    (void)snprintf(spec.virtual_tokens.cache, sizeof spec.virtual_tokens.cache, "%s",
                   fmq_config_text(config, "llm.cache.model"));
    if (fmq_settings_take(config, ARGS, found->table, &spec, err) < 0 ||
        check(config, &spec, err) < 0)
        return -1;
    *out = spec;
    return 0;
}
