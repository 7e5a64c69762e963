/*
 * ia3_config.c - IA3's adapter_config.json, as peft.IA3Config has it.
 */
#include "llm/adapter/config_keys.h"
#include "llm/adapter/ia3.h"

static const char *const must_be_off[] = {NULL};

static const char *const known[] = {"target_modules",
                                    "feedforward_modules",
                                    "exclude_modules",
                                    "modules_to_save",
                                    "fan_in_fan_out",
                                    "init_ia3_weights",
                                    NULL};

void llm_ia3_read(llm_json_reader_t *reader, llm_adapter_spec_t *spec,
                  llm_adapter_storage_t *storage)
{
    static const llm_peft_keys_t keys = {must_be_off, known};
    llm_config_refuse(reader, &keys);
    if (!llm_json_bool(reader, "init_ia3_weights", true) && storage->argument)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'init_ia3_weights' is false; factors begin with one here");
    llm_config_read_targets(reader, storage->argument, spec);
    spec->feedforward_given = llm_json_get(reader, "feedforward_modules") != NULL;
    llm_config_read_names(reader, "feedforward_modules", false, &spec->feedforward);
    llm_config_read_names(reader, "exclude_modules", false, &spec->excluded);
    llm_config_read_names(reader, "modules_to_save", true, &spec->saved);
    llm_config_read_storage(reader, storage);
}

/* The fields of peft.IA3Config.  An empty list of feedforward modules is not
 * none, which would be PEFT's defaults. */
json_t *llm_ia3_write(const llm_adapter_t *self, const char *base)
{
    const llm_adapter_spec_t *spec = &self->spec;
    bool none = !spec->feedforward.size && !spec->feedforward.expression[0];
    return json_pack("{ss ss ss so so so so so sb sb sb}", "peft_type", "IA3", "task_type",
                     "CAUSAL_LM", "base_model_name_or_path", base, "revision", json_null(),
                     "target_modules", llm_config_targets(spec), "feedforward_modules",
                     none ? json_array() : llm_config_names(&spec->feedforward), "exclude_modules",
                     llm_config_names(&spec->excluded), "modules_to_save",
                     llm_config_names(&spec->saved), "fan_in_fan_out",
                     self->shape.arch->input_major, "inference_mode", 1, "init_ia3_weights", 1);
}
