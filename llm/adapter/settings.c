/*
 * settings.c - reads adapter_config.json as peft.LoraConfig has it.
 *
 * Every key is one of three: it is honoured, it cannot change what the tensors
 * mean and is passed over, or it is refused by its name when it is on.  A key
 * that nobody knows here is refused when it is on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/meaning.h"
#include "llm/hub/file.h"
#include "llm/hub/json.h"

#define CONFIG_SIZE_MAX (1u << 20)

/* Keys of LoraConfig that change the result when they are set. */
static const char *const must_be_off[] = {
    "use_dora",          "use_rslora",
    "use_qalora",        "use_bdlora",
    "lora_bias",         "rank_pattern",
    "alpha_pattern",     "modules_to_save",
    "layer_replication", "trainable_token_indices",
    "corda_config",      "target_parameters",
    "exclude_modules",   "arrow_config",
    "kasa_config",       "monteclora_config",
    "velora_config",     "alora_invocation_tokens",
    "megatron_config",
};

/* Keys that are read below, and those that cannot change what saved tensors
 * mean: where the base model came from, how it was trained, what a first value
 * was made of, arguments of switches that are off. */
static const char *const known[] = {
    "peft_type",         "bias",           "init_lora_weights",   "r",
    "lora_alpha",        "lora_dropout",   "target_modules",      "layers_to_transform",
    "layers_pattern",    "fan_in_fan_out", "auto_mapping",        "base_model_name_or_path",
    "peft_version",      "revision",       "task_type",           "inference_mode",
    "eva_config",        "loftq_config",   "lora_ga_config",      "megatron_core",
    "qalora_group_size", "runtime_config", "ensure_weight_tying",
};

static bool is_off(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           ((json_is_array(value) || json_is_object(value)) && json_array_size(value) == 0 &&
            json_object_size(value) == 0);
}

static bool is_in(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* A value as its file has it, shortened: what is refused is shown. */
static void refuse_value(llm_json_reader_t *reader, const char *key, const json_t *value,
                         const char *why)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s' is %.60s; %s", key, text ? text : "set", why);
    free(text);
}

/* A number of which nothing is known is an argument of something; a switch, a
 * text or a list may be that something. */
static void refuse_strangers(llm_json_reader_t *reader)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)reader->object, key, value)
    {
        if (is_off(value) || json_is_number(value) ||
            is_in(known, sizeof known / sizeof *known, key) ||
            is_in(must_be_off, sizeof must_be_off / sizeof *must_be_off, key))
            continue;
        refuse_value(reader, key, value,
                     "fedmq does not know what that makes of the adapter; remove the key if it "
                     "changes nothing");
    }
}

static void refuse_features(llm_json_reader_t *reader)
{
    for (size_t i = 0; i < sizeof must_be_off / sizeof *must_be_off; i++) {
        const json_t *value = llm_json_get(reader, must_be_off[i]);
        if (!is_off(value))
            refuse_value(reader, must_be_off[i], value,
                         "fedmq does not support it, only adapters without");
    }
    const char *bias = llm_json_string(reader, "bias", "none");
    if (strcmp(bias, "none") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'bias' is '%s'; only 'none' is supported",
                      bias);
    refuse_strangers(reader);
}

/* Asked first: the keys of other methods are others. */
static void refuse_other_types(llm_json_reader_t *reader)
{
    const char *type = llm_json_string(reader, "peft_type", NULL);
    if (!type)
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "it has no 'peft_type', so that it is not PEFT's configuration of an "
                      "adapter");
    else if (strcmp(type, "LORA") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "an adapter of peft_type '%s' is not supported yet (known: LORA)", type);
}

/* Initialisations that also change the base model's weights make an adapter
 * that is wrong on the base model itself.  EVA's and orthogonal ones leave it. */
static void refuse_changed_base(llm_json_reader_t *reader)
{
    const json_t *init = llm_json_get(reader, "init_lora_weights");
    if (!init || json_is_boolean(init))
        return;
    const char *name = json_is_string(init) ? json_string_value(init) : NULL;
    static const char *const harmless[] = {"gaussian", "eva", "orthogonal"};
    if (!name || !is_in(harmless, sizeof harmless / sizeof *harmless, name))
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'init_lora_weights' is '%.60s', which changes the base model's weights; "
                      "convert the adapter with PEFT's path_initial_model_for_weight_conversion "
                      "first",
                      name ? name : "no text");
}

static void read_targets(llm_json_reader_t *reader, llm_adapter_spec_t *spec)
{
    const json_t *targets = llm_json_get(reader, "target_modules");
    if (!targets)
        return; /* the architecture's defaults */
    if (!json_is_array(targets)) {
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'target_modules' must be a list of names; patterns are not supported");
        return;
    }
    if (json_array_size(targets) < 1 || json_array_size(targets) > LLM_TARGETS_MAX) {
        llm_json_fail(reader, FMQ_ERR_LIMIT, "'target_modules' has %zu names; 1 to %d are possible",
                      json_array_size(targets), LLM_TARGETS_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(targets); i++) {
        const char *name = json_string_value(json_array_get(targets, i));
        if (!name || !*name || strlen(name) >= sizeof spec->target[0]) {
            llm_json_fail(reader, FMQ_ERR_FORMAT,
                          "'target_modules' entry %zu is no name of at most %zu bytes", i,
                          sizeof spec->target[0] - 1);
            return;
        }
        (void)snprintf(spec->target[spec->targets++], sizeof spec->target[0], "%s", name);
    }
}

static bool read_layer(llm_json_reader_t *reader, const json_t *value, llm_layer_set_t *layers)
{
    uint64_t layer = 0;
    if (!llm_json_whole(value, &layer) || layer >= LLM_LAYERS_MAX) {
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "'layers_to_transform' must be a layer's index or a list of them, each from "
                      "0 to %d",
                      LLM_LAYERS_MAX - 1);
        return false;
    }
    llm_layer_set_add(layers, (uint32_t)layer, (uint32_t)layer + 1);
    return true;
}

/* An empty list is every layer, as in PEFT. */
static void read_layers(llm_json_reader_t *reader, llm_adapter_spec_t *spec)
{
    const json_t *layers = llm_json_get(reader, "layers_to_transform");
    if (layers && !json_is_array(layers)) {
        (void)read_layer(reader, layers, &spec->layers);
        return;
    }
    for (size_t i = 0; i < json_array_size(layers); i++) {
        if (!read_layer(reader, json_array_get(layers, i), &spec->layers))
            return;
    }
}

/* The name of a list of layers, "h" or "layers", of a family that we know. */
static bool is_layer_list(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; llm_arch_at(i); i++) {
        const char *prefix = llm_arch_at(i)->layer_prefix; /* "transformer.h." */
        size_t whole = strlen(prefix);
        if (size && size + 2 <= whole && prefix[whole - size - 2] == '.' &&
            strncmp(prefix + whole - size - 1, name, size) == 0)
            return true;
    }
    return false;
}

/* 'layers_pattern' says where the index stands in a module's path; there is
 * only one place, so that it has nothing to add. */
static void check_pattern(llm_json_reader_t *reader)
{
    const json_t *pattern = llm_json_get(reader, "layers_pattern");
    size_t count = json_is_array(pattern) ? json_array_size(pattern) : pattern ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(pattern) ? json_array_get(pattern, i) : pattern;
        const char *name = json_string_value(item);
        if (!name || !is_layer_list(name)) {
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                          "'layers_pattern' names no list of layers of a family that fedmq knows");
            return;
        }
    }
}

/* A number that may be zero, which llm_json_positive() would refuse. */
static float read_fraction(llm_json_reader_t *reader, const char *key)
{
    const json_t *value = llm_json_get(reader, key);
    if (!value)
        return 0.0f;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0.0 && number < 1.0))
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a number, at least 0 and below 1", key);
    return (float)number;
}

static void read_storage(llm_json_reader_t *reader, llm_adapter_storage_t *out)
{
    *out = (llm_adapter_storage_t){
        .given = llm_json_get(reader, "fan_in_fan_out") != NULL,
        .input_major = llm_json_bool(reader, "fan_in_fan_out", false),
    };
}

static void read_all(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                     llm_adapter_storage_t *storage)
{
    refuse_other_types(reader);
    refuse_features(reader);
    refuse_changed_base(reader);
    spec->rank = (uint32_t)llm_json_integer(reader, "r", 1, LLM_LORA_RANK_MAX);
    spec->alpha = (float)llm_json_positive(reader, "lora_alpha", 8.0);
    spec->dropout = read_fraction(reader, "lora_dropout");
    read_targets(reader, spec);
    read_layers(reader, spec);
    check_pattern(reader);
    read_storage(reader, storage);
}

int llm_adapter_settings_read(const char *directory, llm_adapter_spec_t *spec,
                              llm_adapter_storage_t *storage, fmq_error_t *err)
{
    char *path = llm_file_path(directory, "adapter_config.json");
    if (!path)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    json_t *root = llm_json_load(path, CONFIG_SIZE_MAX, err);
    if (!root) {
        free(path);
        return -1;
    }
    llm_json_reader_t reader = {.object = root, .path = path, .err = err};
    llm_adapter_spec_t read = {.kind = LLM_ADAPTER_LORA};
    llm_adapter_storage_t stored;
    read_all(&reader, &read, &stored);
    json_decref(root);
    free(path);
    if (reader.failed)
        return -1;
    *spec = read;
    if (storage)
        *storage = stored;
    return 0;
}

int llm_adapter_spec_load(const char *directory, llm_adapter_spec_t *spec, fmq_error_t *err)
{
    return llm_adapter_settings_read(directory, spec, NULL, err);
}
