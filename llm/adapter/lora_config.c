/*
 * lora_config.c - LoRA's adapter_config.json, as peft.LoraConfig has it.
 */
#include <string.h>

#include "llm/adapter/config_keys.h"
#include "llm/adapter/lora.h"

/* Keys of LoraConfig that change the result when they are set. */
static const char *const must_be_off[] = {"use_qalora",
                                          "use_bdlora",
                                          "lora_bias",
                                          "layer_replication",
                                          "trainable_token_indices",
                                          "corda_config",
                                          "target_parameters",
                                          "arrow_config",
                                          "kasa_config",
                                          "monteclora_config",
                                          "velora_config",
                                          "alora_invocation_tokens",
                                          "megatron_config",
                                          "ensure_weight_tying",
                                          NULL};

/* Keys that are read below, and those that cannot change what saved tensors
 * mean: how it was trained, what a first value was made of, arguments of switches
 * that are off. */
static const char *const known[] = {"bias",
                                    "init_lora_weights",
                                    "r",
                                    "lora_alpha",
                                    "lora_dropout",
                                    "target_modules",
                                    "layers_to_transform",
                                    "layers_pattern",
                                    "fan_in_fan_out",
                                    "eva_config",
                                    "loftq_config",
                                    "lora_ga_config",
                                    "megatron_core",
                                    "qalora_group_size",
                                    "runtime_config",
                                    "use_rslora",
                                    "use_dora",
                                    "rank_pattern",
                                    "alpha_pattern",
                                    "modules_to_save",
                                    "exclude_modules",
                                    NULL};

/* Initialisations that also change the base model's weights make an adapter
 * that is wrong on the base model itself.  EVA's and orthogonal ones leave it:
 * of a saved adapter they say nothing that matters any more. */
static void read_init(llm_json_reader_t *reader, bool argument, llm_adapter_spec_t *spec)
{
    static const char *const of_base[] = {"pissa", "olora", "corda", "loftq", "lora_ga", NULL};
    static const char *const harmless[] = {"eva", "orthogonal", NULL};
    const json_t *init = llm_json_get(reader, "init_lora_weights");
    const char *name = json_string_value(init);
    if (!init || json_is_true(init))
        return;
    if (json_is_false(init))
        spec->init = LLM_INIT_RANDOM;
    else if (name && strcmp(name, "gaussian") == 0)
        spec->init = LLM_INIT_GAUSSIAN;
    else if (argument && name && !llm_config_is_in(of_base, name) &&
             strncmp(name, "pissa_niter_", strlen("pissa_niter_")) != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'init_lora_weights' is '%.60s'; True, False and gaussian are built (eva "
                      "and the like need a pass over the data first)",
                      name);
    else if (!name || !llm_config_is_in(harmless, name))
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'init_lora_weights' is '%.60s', which changes the base model's weights; %s",
                      name ? name : "no text",
                      argument ? "that would be another model at every client: True, False and "
                                 "gaussian are built"
                               : "convert the adapter with PEFT's "
                                 "path_initial_model_for_weight_conversion first");
}

const char *llm_bias_name(llm_bias_t bias)
{
    static const char *const names[] = {"none", "all", "lora_only"};
    return names[bias];
}

static void read_bias(llm_json_reader_t *reader, llm_adapter_spec_t *spec)
{
    const char *name = llm_json_string(reader, "bias", "none");
    for (int bias = LLM_BIAS_NONE; bias <= LLM_BIAS_LORA_ONLY; bias++) {
        spec->bias = (llm_bias_t)bias;
        if (strcmp(llm_bias_name(spec->bias), name) == 0)
            return;
    }
    llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'bias' is '%.60s'; it is none, all or lora_only",
                  name);
}

void llm_lora_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                   llm_adapter_storage_t *storage)
{
    static const llm_peft_keys_t keys = {must_be_off, known};
    llm_config_refuse(reader, &keys);
    read_init(reader, storage->argument, spec);
    spec->rank = 8;
    if (!storage->argument || llm_json_get(reader, "r"))
        spec->rank = (uint32_t)llm_json_integer(reader, "r", 1, LLM_LORA_RANK_MAX);
    spec->alpha = (float)llm_json_positive(reader, "lora_alpha", 8.0);
    spec->dropout = llm_config_read_fraction(reader, "lora_dropout");
    spec->rslora = llm_json_bool(reader, "use_rslora", false);
    spec->dora = llm_json_bool(reader, "use_dora", false);
    read_bias(reader, spec);
    llm_config_read_layers(reader, spec);
    llm_config_read_targets(reader, storage->argument, spec);
    llm_config_read_names(reader, "exclude_modules", false, &spec->excluded);
    llm_config_read_names(reader, "modules_to_save", true, &spec->saved);
    llm_config_read_exceptions(reader, "rank_pattern", true, &spec->ranks);
    llm_config_read_exceptions(reader, "alpha_pattern", false, &spec->alphas);
    llm_config_read_storage(reader, storage);
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

static json_t *init_json(llm_init_t init)
{
    return init == LLM_INIT_GAUSSIAN ? json_string("gaussian")
                                     : json_boolean(init == LLM_INIT_DEFAULT);
}

/* The fields of peft.LoraConfig; those left out have PEFT's defaults. */
json_t *llm_lora_write(const llm_adapter_t *self, const char *base)
{
    const llm_adapter_spec_t *spec = &self->spec;
    return json_pack(
        "{ss ss ss so sI so so so so ss sb sb so so so so so so sb sb}", "peft_type", "LORA",
        "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "revision", json_null(), "r",
        (json_int_t)spec->rank, "lora_alpha", llm_config_number(spec->alpha), "lora_dropout",
        llm_json_float(spec->dropout), "target_modules", llm_config_targets(spec),
        "exclude_modules", llm_config_names(&spec->excluded), "bias", llm_bias_name(spec->bias),
        "fan_in_fan_out", self->shape.arch->input_major, "inference_mode", 1, "init_lora_weights",
        init_json(spec->init), "modules_to_save", llm_config_names(&spec->saved),
        "layers_to_transform", layers_json(self), "layers_pattern", json_null(), "rank_pattern",
        llm_config_exceptions(&spec->ranks), "alpha_pattern", llm_config_exceptions(&spec->alphas),
        "use_rslora", spec->rslora, "use_dora", spec->dora);
}
