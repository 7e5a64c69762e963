/*
 * config_keys.c - see config_keys.h.
 */
#include "llm/adapter/config_keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool llm_config_is_off(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           ((json_is_array(value) || json_is_object(value)) && json_array_size(value) == 0 &&
            json_object_size(value) == 0);
}

bool llm_config_is_in(const char *const *names, const char *name)
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Where the base model came from, what for and by whom: none changes what tensors mean. */
bool llm_config_is_common(const char *key)
{
    static const char *const common[] = {
        "peft_type", "auto_mapping", "base_model_name_or_path", "peft_version",
        "revision",  "task_type",    "inference_mode",          NULL};
    return llm_config_is_in(common, key);
}

void llm_config_refuse_value(llm_json_reader_t *reader, const char *key, const json_t *value,
                             const char *why)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s' is %.60s; %s", key, text ? text : "set", why);
    free(text);
}

/* A number of which nothing is known is an argument of something; a switch, a
 * text or a list may be that something. */
static void refuse_strangers(llm_json_reader_t *reader, const llm_peft_keys_t *keys)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)reader->object, key, value)
    {
        if (llm_config_is_off(value) || json_is_number(value) || llm_config_is_common(key) ||
            llm_config_is_in(keys->known, key) || llm_config_is_in(keys->must_be_off, key))
            continue;
        llm_config_refuse_value(reader, key, value,
                                "fedmq does not know what that makes of the adapter; remove the "
                                "key if it changes nothing");
    }
}

void llm_config_refuse(llm_json_reader_t *reader, const llm_peft_keys_t *keys)
{
    for (size_t i = 0; keys->must_be_off[i]; i++) {
        const json_t *value = llm_json_get(reader, keys->must_be_off[i]);
        if (!llm_config_is_off(value))
            llm_config_refuse_value(reader, keys->must_be_off[i], value,
                                    "fedmq does not support it, only adapters without");
    }
    refuse_strangers(reader, keys);
}

/* Copies a name, which is none when it is empty or too long. */
static bool take_name(llm_json_reader_t *reader, const char *key, const json_t *value, char *out,
                      size_t size)
{
    const char *name = json_string_value(value);
    if (!name || !*name || strlen(name) != json_string_length(value) || strlen(name) >= size) {
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "'%s' has something that is no name of at most %zu "
                      "bytes",
                      key, size - 1);
        return false;
    }
    (void)snprintf(out, size, "%s", name);
    return true;
}

/* "model.layers.12.mlp.up_proj": the tail behind the index, and the index. */
static const char *split_path(const char *path, uint32_t *layer)
{
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t digits = strspn(dot + 1, "0123456789");
        if (digits < 1 || digits > 4 || dot[1 + digits] != '.')
            continue;
        *layer = (uint32_t)strtoul(dot + 1, NULL, 10);
        return *layer < LLM_LAYERS_MAX ? dot + 2 + digits : NULL;
    }
    return NULL;
}

static uint32_t add_tail(llm_adapter_spec_t *spec, const char *tail)
{
    uint32_t t = 0;
    while (t < spec->targets && strcmp(spec->target[t], tail) != 0)
        t++;
    if (t == spec->targets && t < LLM_TARGETS_MAX && strlen(tail) < LLM_NAME_MAX)
        (void)snprintf(spec->target[spec->targets++], LLM_NAME_MAX, "%s", tail);
    return t < spec->targets ? t : LLM_TARGETS_MAX;
}

/* Does the list name the same modules in each of some layers?  Then these. */
static bool take_by_layers(const json_t *list, llm_adapter_spec_t *spec)
{
    llm_adapter_spec_t found = *spec;
    llm_layer_set_t *of = calloc(LLM_TARGETS_MAX, sizeof *of);
    bool same = of != NULL;
    for (size_t i = 0; same && i < json_array_size(list); i++) {
        uint32_t layer = 0;
        const char *name = json_string_value(json_array_get(list, i));
        const char *tail = name ? split_path(name, &layer) : NULL;
        uint32_t t = tail ? add_tail(&found, tail) : LLM_TARGETS_MAX;
        same = t < LLM_TARGETS_MAX;
        if (same)
            llm_layer_set_add(&of[t], layer, layer + 1);
    }
    for (uint32_t t = 1; same && t < found.targets; t++)
        same = memcmp(&of[t], &of[0], sizeof *of) == 0;
    if (same && found.targets) {
        found.layers = of[0];
        *spec = found;
    }
    free(of);
    return same;
}

static void read_list(llm_json_reader_t *reader, const json_t *list, llm_adapter_spec_t *spec)
{
    size_t size = json_array_size(list);
    if (size > 0 && !llm_json_get(reader, "layers_to_transform") && take_by_layers(list, spec))
        return;
    if (size < 1 || size > LLM_TARGETS_MAX) {
        llm_json_fail(reader, FMQ_ERR_LIMIT, "'target_modules' has %zu names; 1 to %d are possible",
                      size, LLM_TARGETS_MAX);
        return;
    }
    for (size_t i = 0; i < size; i++)
        if (!take_name(reader, "target_modules", json_array_get(list, i),
                       spec->target[spec->targets++], LLM_NAME_MAX))
            return;
}

static bool is_plain(const char *word)
{
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && *word != '_' && *word != '.')
            return false;
    return true;
}

void llm_config_read_targets(llm_json_reader_t *reader, bool argument, llm_adapter_spec_t *spec)
{
    const json_t *targets = llm_json_get(reader, "target_modules");
    const char *word = json_string_value(targets);
    if (!targets)
        return; /* the architecture's defaults */
    if (json_is_array(targets)) {
        read_list(reader, targets, spec);
    } else if (!word) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'target_modules' must be a list of names or a text");
    } else if (argument && *word && is_plain(word)) {
        if (take_name(reader, "target_modules", targets, spec->target[0], LLM_NAME_MAX))
            spec->targets = 1;
    } else if (take_name(reader, "target_modules", targets, spec->expression,
                         sizeof spec->expression) &&
               llm_json_get(reader, "layers_to_transform")) {
        llm_json_fail(reader, FMQ_ERR_CONFIG,
                      "'layers_to_transform' goes with a list of 'target_modules', not with an "
                      "expression");
    }
}

void llm_config_read_names(llm_json_reader_t *reader, const char *key, bool only_names,
                           llm_names_t *out)
{
    const json_t *value = llm_json_get(reader, key);
    if (!value)
        return;
    if (json_is_string(value) && !only_names) {
        (void)take_name(reader, key, value, out->expression, sizeof out->expression);
        return;
    }
    if (!json_is_array(value) || json_array_size(value) > LLM_NAMES_MAX) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a list of at most %d names", key,
                      LLM_NAMES_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!take_name(reader, key, json_array_get(value, i), out->name[out->size++], LLM_NAME_MAX))
            return;
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
    if (count && !llm_json_get(reader, "layers_to_transform"))
        llm_json_fail(reader, FMQ_ERR_CONFIG,
                      "'layers_pattern' is given without 'layers_to_transform'");
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

/* An empty list is every layer, as in PEFT. */
void llm_config_read_layers(llm_json_reader_t *reader, llm_adapter_spec_t *spec)
{
    const json_t *layers = llm_json_get(reader, "layers_to_transform");
    check_pattern(reader);
    if (layers && !json_is_array(layers)) {
        (void)read_layer(reader, layers, &spec->layers);
        return;
    }
    for (size_t i = 0; i < json_array_size(layers); i++) {
        if (!read_layer(reader, json_array_get(layers, i), &spec->layers))
            return;
    }
}

void llm_config_read_exceptions(llm_json_reader_t *reader, const char *key, bool whole,
                                llm_exceptions_t *out)
{
    json_t *map = llm_json_get(reader, key), *value;
    const char *name;
    if (!map)
        return;
    if (!json_is_object(map) || json_object_size(map) > LLM_NAMES_MAX) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a map of at most %d modules to numbers",
                      key, LLM_NAMES_MAX);
        return;
    }
    json_object_foreach(map, name, value)
    {
        double number = json_number_value(value);
        uint64_t integer = 0;
        llm_exception_t *at = &out->at[out->size];
        if (!*name || strlen(name) >= sizeof at->expression || !json_is_number(value) ||
            !(number > 0 && number <= 1e6) || (whole && !llm_json_whole(value, &integer)) ||
            (whole && integer > LLM_LORA_RANK_MAX)) {
            llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' of '%.80s' is no possible %s", key, name,
                          whole ? "rank" : "number");
            return;
        }
        (void)snprintf(at->expression, sizeof at->expression, "%s", name);
        at->value = (float)number;
        out->size++;
    }
}

void llm_config_read_storage(llm_json_reader_t *reader, llm_adapter_storage_t *out)
{
    out->given = llm_json_get(reader, "fan_in_fan_out") != NULL;
    out->input_major = llm_json_bool(reader, "fan_in_fan_out", false);
}

float llm_config_read_fraction(llm_json_reader_t *reader, const char *key)
{
    const json_t *value = llm_json_get(reader, key);
    double number = json_number_value(value);
    if (value && (!json_is_number(value) || !(number >= 0.0 && number < 1.0)))
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a number, at least 0 and below 1", key);
    return (float)number;
}

json_t *llm_config_targets(const llm_adapter_spec_t *spec)
{
    if (spec->expression[0])
        return json_string(spec->expression);
    json_t *targets = json_array();
    for (uint32_t t = 0; targets && t < spec->targets; t++)
        (void)json_array_append_new(targets, json_string(spec->target[t]));
    return targets;
}

json_t *llm_config_names(const llm_names_t *names)
{
    if (names->expression[0])
        return json_string(names->expression);
    if (!names->size)
        return json_null();
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < names->size; i++)
        (void)json_array_append_new(list, json_string(names->name[i]));
    return list;
}

json_t *llm_config_number(float value)
{
    bool whole = value == (float)(json_int_t)value;
    return whole ? json_integer((json_int_t)value) : llm_json_float(value);
}

json_t *llm_config_exceptions(const llm_exceptions_t *values)
{
    json_t *map = json_object();
    for (uint32_t i = 0; map && i < values->size; i++)
        (void)json_object_set_new(map, values->at[i].expression,
                                  llm_config_number(values->at[i].value));
    return map;
}
