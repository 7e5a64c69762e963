/*
 * adapter.c - llm.adapter.args as PEFT would read it.
 *
 * PEFT's keyword arguments and defaults.  An argument that changes the
 * mathematics in a way that is not built is refused by name.
 */
#include "actors/settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "actors/settings/table.h"
#include "actors/settings/virtual_tokens.h"

#define ARGS   "llm.adapter.args.0"
#define METHOD ARGS ".adapter_method"

/* With offsite tuning the emulator says which layers are the adapter's; None,
 * as PEFT has it, is all of them. */
static int check_layers(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    (void)out;
    if (!fmq_config_bool(config, "llm.offsite_tuning.use") ||
        fmq_setting_only_off(config, key, NULL, NULL) == 0)
        return 0;
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: 'layers_to_transform' does not go with offsite tuning: emu_l and "
                         "emu_r say which layers are adapted; leave it out",
                         fmq_config_origin(config, key));
}

/* Which arguments a method has; llm_adapter_spec_parse() says what they mean. */
static const fmq_setting_t lora_table[] = {{"adapter_package", fmq_setting_skip},
                                           {"adapter_method", fmq_setting_skip},
                                           {"r", fmq_setting_skip},
                                           {"lora_alpha", fmq_setting_skip},
                                           {"lora_dropout", fmq_setting_skip},
                                           {"target_modules", fmq_setting_skip},
                                           {"exclude_modules", fmq_setting_skip},
                                           {"layers_to_transform", check_layers},
                                           {"layers_pattern", fmq_setting_skip},
                                           {"rank_pattern", fmq_setting_skip},
                                           {"alpha_pattern", fmq_setting_skip},
                                           {"task_type", fmq_setting_skip},
                                           {"fan_in_fan_out", fmq_setting_skip},
                                           {"inference_mode", fmq_setting_only_off},
                                           {"bias", fmq_setting_skip},
                                           {"modules_to_save", fmq_setting_skip},
                                           {"use_rslora", fmq_setting_skip},
                                           {"use_dora", fmq_setting_skip},
                                           {"init_lora_weights", fmq_setting_skip},
                                           {NULL, NULL}};

static const fmq_setting_t ia3_table[] = {{"adapter_package", fmq_setting_skip},
                                          {"adapter_method", fmq_setting_skip},
                                          {"target_modules", fmq_setting_skip},
                                          {"feedforward_modules", fmq_setting_skip},
                                          {"exclude_modules", fmq_setting_skip},
                                          {"modules_to_save", fmq_setting_skip},
                                          {"task_type", fmq_setting_skip},
                                          {"fan_in_fan_out", fmq_setting_skip},
                                          {"inference_mode", fmq_setting_only_off},
                                          {"init_ia3_weights", fmq_setting_only_true},
                                          {NULL, NULL}};

static const struct {
    const char *method;
    llm_adapter_kind_t kind;
    const fmq_setting_t *table;
} of_modules[] = {{"lora", LLM_ADAPTER_LORA, lora_table}, {"ia3", LLM_ADAPTER_IA3, ia3_table}};

#define OF_MODULES (sizeof of_modules / sizeof *of_modules)

/* An emulator's layers have been tried with products of low rank alone. */
static int check_offsite(const fmq_config_t *config, const llm_adapter_spec_t *spec,
                         fmq_error_t *err)
{
    const char *what = spec->kind != LLM_ADAPTER_LORA ? "ia3"
                       : spec->dora                   ? "use_dora"
                       : spec->bias                   ? "bias"
                       : spec->saved.size             ? "modules_to_save"
                                                      : NULL;
    if (!what || !fmq_config_bool(config, "llm.offsite_tuning.use"))
        return 0;
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                         "%s: %s does not go with offsite tuning, which trains LoRA's products of "
                         "low rank on the adapter's layers; leave it out",
                         fmq_config_origin(config, ARGS), what);
}

/* Methods that adapt modules of the model, with PEFT's arguments of them. */
static int take_modules(const fmq_config_t *config, const char *method, llm_adapter_spec_t *spec,
                        fmq_error_t *err)
{
    size_t m = 0;
    while (m < OF_MODULES && strcasecmp(of_modules[m].method, method) != 0)
        m++;
    if (m == OF_MODULES)
        return fmq_error_set(
            err, FMQ_ERR_UNSUPPORTED,
            "%s: '%s' is '%.60s'; lora, ia3, prompt, p-tuning and prefix are built",
            fmq_config_origin(config, METHOD), METHOD, method);
    if (fmq_settings_take(config, ARGS, of_modules[m].table, NULL, err) < 0)
        return -1;
    static const char *const ours[] = {"adapter_package", "adapter_method", NULL};
    char *text = fmq_config_json(config, ARGS, ours, err);
    char name[FMQ_SETTINGS_KEY_MAX];
    (void)snprintf(name, sizeof name, "%s: " ARGS, fmq_config_origin(config, ARGS));
    int rc =
        text ? llm_adapter_spec_parse(of_modules[m].kind, text, strlen(text), name, spec, err) : -1;
    free(text);
    if (rc < 0 && err && err->code == FMQ_ERR_FORMAT)
        err->code = FMQ_ERR_CONFIG; /* no file is wrong */
    return rc < 0 ? -1 : check_offsite(config, spec, err);
}

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
    size_t maps = fmq_config_size(config, "llm.adapter.args");
    if (maps > 1)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "%s: 'llm.adapter.args' has more than one item; one adapter is built",
                             fmq_config_origin(config, "llm.adapter.args"));
    if (maps == 1 &&
        (check_word(config, ARGS ".adapter_package", "peft", err) < 0 ||
         (fmq_config_given(config, METHOD) &&
          fmq_config_get_text(config, METHOD, &method, err) < 0) ||
         (fmq_settings_is_virtual(method) ? fmq_settings_virtual(config, method, &spec, err)
                                          : take_modules(config, method, &spec, err)) < 0))
        return -1;
    take_codecs(config, &spec);
    *out = spec;
    return 0;
}
