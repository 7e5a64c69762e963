/*
 * save.c - writes PEFT adapter directories, and HF model directories for full
 * fine-tuning.  How a directory gets to its place is directory.c's affair.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/directory.h"
#include "llm/adapter/layout.h"
#include "llm/hub/file.h"
#include "llm/hub/json.h"

static int save_tensors(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                        const char *path, fmq_error_t *err)
{
    size_t count = fmq_schema_size(self->schema);
    llm_tensor_out_t *tensors = calloc(count + 1, sizeof *tensors);
    if (!tensors)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list of %zu tensors", count);
    for (size_t i = 0; i < count; i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(self->schema, i);
        tensors[i] = (llm_tensor_out_t){.name = tensor->name,
                                        .dtype = dtype,
                                        .rank = tensor->rank,
                                        .data = vector + tensor->offset};
        memcpy(tensors[i].shape, tensor->shape, sizeof tensors[i].shape);
    }
    int rc = llm_safetensors_save(path, tensors, count, err);
    free(tensors);
    return rc;
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
static json_t *config_json(const llm_adapter_t *self, const char *base)
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

static int save_lora(const llm_adapter_t *self, const float *vector, const char *base,
                     fmq_dtype_t dtype, const char *directory, fmq_error_t *err)
{
    char *tensors = llm_file_path(directory, "adapter_model.safetensors");
    char *config = llm_file_path(directory, "adapter_config.json");
    json_t *root = config_json(self, base);
    int rc = -1;
    if (!tensors || !config || !root)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter's configuration");
    else if (save_tensors(self, vector, dtype, tensors, err) == 0)
        rc = llm_json_save(root, config, err);
    json_decref(root);
    free(tensors);
    free(config);
    return rc;
}

/* No config.json: transformers would take it for a model and make up all that
 * is missing. */
static int save_layers(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                       const char *directory, fmq_error_t *err)
{
    char *tensors = llm_file_path(directory, LLM_LAYERS_FILE);
    if (!tensors)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    int rc = save_tensors(self, vector, dtype, tensors, err);
    free(tensors);
    return rc;
}

static int save_full(const llm_adapter_t *self, const float *vector, const char *tokenizer_from,
                     fmq_dtype_t dtype, const char *directory, fmq_error_t *err)
{
    char *tensors = llm_file_path(directory, "model.safetensors");
    char *config = llm_file_path(directory, "config.json");
    int rc = -1;
    if (!tensors || !config)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    else if (save_tensors(self, vector, dtype, tensors, err) == 0 &&
             llm_directory_copy_tokenizer(tokenizer_from, directory, err) == 0)
        rc = llm_shape_save(&self->shape, config, err);
    free(tensors);
    free(config);
    return rc;
}

int llm_adapter_save(const llm_adapter_t *self, const float *vector, const char *base,
                     const char *tokenizer_from, fmq_dtype_t dtype, const char *directory,
                     fmq_error_t *err)
{
    bool some = self->spec.kind == LLM_ADAPTER_FULL && self->spec.layers.some;
    if (self->spec.kind == LLM_ADAPTER_NONE)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no adapter to save in '%s'", directory);
    char *temporary = llm_directory_begin(directory, err);
    if (!temporary)
        return -1;
    int rc = self->spec.kind == LLM_ADAPTER_LORA
                 ? save_lora(self, vector, base ? base : "", dtype, temporary, err)
             : some ? save_layers(self, vector, dtype, temporary, err)
                    : save_full(self, vector, tokenizer_from, dtype, temporary, err);
    return llm_directory_end(&temporary, directory, rc, err);
}
