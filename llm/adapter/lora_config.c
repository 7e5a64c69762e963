/*
 * lora_config.c - LoRA's adapter_config.json, as peft.LoraConfig has it.
 *
 * Every key is one of three: it is honoured, it cannot change what the tensors
 * mean and is passed over, or it is refused by its name when it is on.  A key
 * that nobody knows here is refused when it is on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/lora.h"

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

void llm_lora_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                   llm_adapter_storage_t *storage)
{
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

static json_t *targets_json(const llm_adapter_spec_t *spec)
{
    json_t *targets = json_array();
    for (uint32_t t = 0; targets && t < spec->targets; t++)
        (void)json_array_append_new(targets, json_string(spec->target[t]));
    return targets;
}

/* A list of indices, or null for all of them.  PEFT finds the index in a
 * module's path by itself, so that no layers_pattern is needed. */
static json_t *layers_json(const llm_adapter_t *self)
{
    if (!self->spec.layers.some)
        return json_null();
    json_t *layers = json_array();
    for (uint32_t layer = 0; layers && layer < self->shape.layers; layer++) {
        if (llm_layer_set_has(&self->spec.layers, layer))
            (void)json_array_append_new(layers, json_integer((json_int_t)layer));
    }
    return layers;
}

/* The fields of peft.LoraConfig; those left out have PEFT's defaults. */
json_t *llm_lora_write(const llm_adapter_t *self, const char *base)
{
    const llm_adapter_spec_t *spec = &self->spec;
    double alpha = (double)spec->alpha;
    bool whole = alpha == (double)(json_int_t)alpha;
    char dropout[32]; /* the shortest decimal of the float: 0.05, not 0.0500000007 */
    (void)snprintf(dropout, sizeof dropout, "%.7g", (double)spec->dropout);
    return json_pack("{ss ss ss so sI so sf so ss sb sb sb so so so s{} s{} sb sb}", "peft_type",
                     "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "revision",
                     json_null(), "r", (json_int_t)spec->rank, "lora_alpha",
                     whole ? json_integer((json_int_t)alpha) : json_real(alpha), "lora_dropout",
                     strtod(dropout, NULL), "target_modules", targets_json(spec), "bias", "none",
                     "fan_in_fan_out", self->shape.arch->input_major, "inference_mode", 1,
                     "init_lora_weights", 1, "modules_to_save", json_null(), "layers_to_transform",
                     layers_json(self), "layers_pattern", json_null(), "rank_pattern",
                     "alpha_pattern", "use_rslora", 0, "use_dora", 0);
}
