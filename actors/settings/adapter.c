/*
 * adapter.c - llm.adapter.args as PEFT would read it.
 *
 * LoRA with PEFT's keyword arguments and defaults.  An argument that changes
 * the mathematics in a way that is not built is refused by name.
 */
#include "actors/settings/settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "actors/settings/table.h"
#include "actors/settings/virtual_tokens.h"

#define ARGS "llm.adapter.args.0"

static int take_rank(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    static const int64_t range[2] = {1, LLM_LORA_RANK_MAX};
    int64_t value = 0;
    if (fmq_setting_int(config, key, range, &value, err) < 0)
        return -1;
    spec->rank = (uint32_t)value;
    return 0;
}

static int take_alpha(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    static const double range[2] = {1e-6, 1e6};
    double value = 0;
    if (fmq_setting_real(config, key, range, &value, err) < 0)
        return -1;
    spec->alpha = (float)value;
    return 0;
}

static int take_dropout(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    static const double range[2] = {0, 0.999};
    double value = 0;
    if (fmq_setting_real(config, key, range, &value, err) < 0)
        return -1;
    spec->dropout = (float)value;
    return 0;
}

static int add_target(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    const char *name = NULL;
    if (fmq_config_get_text(config, key, &name, err) < 0)
        return -1;
    if (!*name || strlen(name) >= sizeof spec->target[0])
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is no module's name",
                             fmq_config_origin(config, key), name);
    if (spec->targets == LLM_TARGETS_MAX)
        return fmq_error_set(err, FMQ_ERR_LIMIT, "%s: more than %d target modules",
                             fmq_config_origin(config, key), LLM_TARGETS_MAX);
    snprintf(spec->target[spec->targets++], sizeof spec->target[0], "%s", name);
    return 0;
}

/* Takes key's value, or each of its items when it is a list. */
static int take_each(const fmq_config_t *config, const char *key, fmq_setting_fn *take, void *out,
                     fmq_error_t *err)
{
    size_t size = fmq_config_size(config, key);
    if (size == 0)
        return take(config, key, out, err);
    for (size_t i = 0; i < size; i++) {
        char item[FMQ_SETTINGS_KEY_MAX + 24];
        snprintf(item, sizeof item, "%s.%zu", key, i);
        if (take(config, item, out, err) < 0)
            return -1;
    }
    return 0;
}

/* One name, or a list of them. */
static int take_targets(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    return take_each(config, key, add_target, out, err);
}

static int add_layer(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    llm_adapter_spec_t *spec = out;
    static const int64_t range[2] = {0, LLM_LAYERS_MAX - 1};
    int64_t layer = 0;
    if (fmq_setting_int(config, key, range, &layer, err) < 0)
        return -1;
    llm_layer_set_add(&spec->layers, (uint32_t)layer, (uint32_t)layer + 1);
    return 0;
}

/* One index, or a list of them; None, as PEFT has it, is all of them.  With
 * offsite tuning the emulator says which layers are the adapter's. */
static int take_layers(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    const char *word = NULL;
    if (fmq_config_get_text(config, key, &word, NULL) == 0 &&
        fmq_setting_only_off(config, key, NULL, NULL) == 0)
        return 0;
    if (fmq_config_bool(config, "llm.offsite_tuning.use"))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: 'layers_to_transform' does not go with offsite tuning: emu_l and "
                             "emu_r say which layers are adapted; leave it out",
                             fmq_config_origin(config, key));
    return take_each(config, key, add_layer, out, err);
}

static const fmq_setting_t lora_table[] = {{"adapter_package", fmq_setting_skip},
                                           {"adapter_method", fmq_setting_skip},
                                           {"r", take_rank},
                                           {"lora_alpha", take_alpha},
                                           {"lora_dropout", take_dropout},
                                           {"target_modules", take_targets},
                                           {"layers_to_transform", take_layers},
                                           {"layers_pattern", fmq_setting_only_off},
                                           {"task_type", fmq_setting_skip},
                                           {"fan_in_fan_out", fmq_setting_skip},
                                           {"inference_mode", fmq_setting_only_off},
                                           {"bias", fmq_setting_only_off},
                                           {"modules_to_save", fmq_setting_only_off},
                                           {"use_rslora", fmq_setting_only_off},
                                           {"use_dora", fmq_setting_only_off},
                                           {"init_lora_weights", fmq_setting_only_true},
                                           {NULL, NULL}};

/* The text of an item, or what FS-LLM takes when it is absent. */
static int check_word(const fmq_config_t *config, const char *key, const char *only,
                      fmq_error_t *err)
{
    const char *word = only;
    if (fmq_config_given(config, key) && fmq_config_get_text(config, key, &word, err) < 0)
        return -1;
    if (strcasecmp(word, only) == 0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s: '%s' is '%s'; only '%s' is built here",
                         fmq_config_origin(config, key), key, word, only);
}

/* What is trained travels, and extensions may have brought codecs for that. */
static void take_codecs(const fmq_config_t *config, llm_adapter_spec_t *spec)
{
    size_t size = 0;
    const fmq_config_offers_t *offers = fmq_config_offers(config);
    for (size_t i = 0; offers && i < offers->size && size < FMQ_SCHEMA_CODECS_MAX; i++)
        if (strcmp(offers->items[i].key, "fedmq.codec") == 0)
            spec->codecs[size++] = offers->items[i].thing;
}

int fmq_settings_adapter(const fmq_config_t *config, llm_adapter_spec_t *out, fmq_error_t *err)
{
    if (!fmq_config_bool(config, "llm.adapter.use")) {
        *out = (llm_adapter_spec_t){.kind = LLM_ADAPTER_FULL};
        take_codecs(config, out);
        return 0;
    }
    llm_adapter_spec_t spec = {.kind = LLM_ADAPTER_LORA, .rank = 8, .alpha = 8};
    const char *method = "lora";
    if (fmq_config_size(config, "llm.adapter.args") > 1)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%s: 'llm.adapter.args' has more than one item; one adapter is built",
                             fmq_config_origin(config, "llm.adapter.args"));
    if (fmq_config_size(config, "llm.adapter.args") == 1 &&
        (check_word(config, ARGS ".adapter_package", "peft", err) < 0 ||
         (fmq_config_given(config, ARGS ".adapter_method") &&
          fmq_config_get_text(config, ARGS ".adapter_method", &method, err) < 0)))
        return -1;
    if (fmq_settings_is_virtual(method)) {
        if (fmq_settings_virtual(config, method, &spec, err) < 0)
            return -1;
    } else if (fmq_config_size(config, "llm.adapter.args") == 1 &&
               (check_word(config, ARGS ".adapter_method", "lora", err) < 0 ||
                fmq_settings_take(config, ARGS, lora_table, &spec, err) < 0)) {
        return -1;
    }
    take_codecs(config, &spec);
    *out = spec;
    return 0;
}
