/*
 * load.c - reads PEFT adapter directories, and HF models for full fine-tuning.
 * What the configuration asks for and this engine does not do is refused by
 * its key, never passed over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/layout.h"
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
};

static bool is_off(const json_t *value)
{
    return !value || json_is_false(value) ||
           ((json_is_array(value) || json_is_object(value)) && json_array_size(value) == 0 &&
            json_object_size(value) == 0);
}

static void refuse_features(llm_json_reader_t *reader)
{
    for (size_t i = 0; i < sizeof must_be_off / sizeof *must_be_off; i++) {
        if (!is_off(llm_json_get(reader, must_be_off[i])))
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s' is set, which fedmq does not support",
                          must_be_off[i]);
    }
    const char *type = llm_json_string(reader, "peft_type", "");
    if (strcmp(type, "LORA") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "peft_type '%s' is not supported (known: LORA)",
                      type);
    const char *task = llm_json_string(reader, "task_type", "CAUSAL_LM");
    if (strcmp(task, "CAUSAL_LM") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "task_type '%s' is not supported (known: CAUSAL_LM)", task);
    const char *bias = llm_json_string(reader, "bias", "none");
    if (strcmp(bias, "none") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "bias '%s' is not supported (known: none)",
                      bias);
}

/* Initialisations that also change the base model's weights make an adapter
 * that is wrong on the base model itself. */
static void refuse_changed_base(llm_json_reader_t *reader)
{
    const json_t *init = llm_json_get(reader, "init_lora_weights");
    if (!json_is_string(init))
        return;
    const char *name = json_string_value(init);
    if (strcmp(name, "gaussian") != 0 && strcmp(name, "eva") != 0 &&
        strcmp(name, "orthogonal") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "init_lora_weights '%s' changes the base model's weights; convert the "
                      "adapter with PEFT's path_initial_model_for_weight_conversion first",
                      name);
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

int llm_adapter_spec_load(const char *directory, llm_adapter_spec_t *spec, fmq_error_t *err)
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
    refuse_features(&reader);
    refuse_changed_base(&reader);
    read.rank = (uint32_t)llm_json_integer(&reader, "r", 1, LLM_LORA_RANK_MAX);
    read.alpha = (float)llm_json_positive(&reader, "lora_alpha", 8.0);
    read.dropout = read_fraction(&reader, "lora_dropout");
    read_targets(&reader, &read);
    read_layers(&reader, &read);
    check_pattern(&reader);
    json_decref(root);
    free(path);
    if (reader.failed)
        return -1;
    *spec = read;
    return 0;
}

/* A tensor of the file that the schema does not know, or NULL. */
static const char *stranger(const llm_adapter_t *self, const llm_weights_t *weights)
{
    for (size_t i = 0; i < llm_weights_size(weights); i++) {
        const char *name = llm_weights_at(weights, i)->name;
        if (!fmq_schema_find(self->schema, name))
            return name;
    }
    return NULL;
}

static int read_lora(const llm_adapter_t *self, const llm_weights_t *weights, float *vector,
                     fmq_error_t *err)
{
    const char *unknown = stranger(self, weights);
    if (unknown)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the adapter's file holds '%s', which this adapter does not have; its "
                             "targets or model are others",
                             unknown);
    for (size_t i = 0; i < fmq_schema_size(self->schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(self->schema, i);
        if (llm_weights_read(weights, tensor->name, tensor->rank, tensor->shape,
                             vector + tensor->offset, err) < 0)
            return -1;
    }
    return 0;
}

static int read_full(const llm_adapter_t *self, const llm_weights_t *weights, float *vector,
                     fmq_error_t *err)
{
    llm_parameters_t parameters;
    if (llm_parameters_init(&parameters, &self->shape, err) < 0)
        return -1;
    int rc = 0;
    size_t index = 0;
    for (size_t i = 0; i < parameters.size && rc == 0; i++) {
        if (!llm_adapter_covers(self, &parameters.items[i]))
            continue;
        const llm_tensor_view_t *view =
            llm_parameter_find(&self->shape, &parameters.items[i], weights, err);
        rc = view ? llm_weights_read(weights, view->name, view->rank, view->shape,
                                     vector + fmq_schema_at(self->schema, index++)->offset, err)
                  : -1;
    }
    llm_parameters_release(&parameters);
    return rc;
}

int llm_adapter_load(const llm_adapter_t *self, const char *directory, float *vector,
                     fmq_error_t *err)
{
    bool full = self->spec.kind == LLM_ADAPTER_FULL;
    char *path = llm_file_path(directory, full ? LLM_LAYERS_FILE : "adapter_model.safetensors");
    if (!path)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    bool whole = full && !(self->spec.layers.some && llm_file_exists(path));
    /* Outputs stay untouched on failure, so tensors are read beside first. */
    uint64_t elements = fmq_schema_elements(self->schema);
    float *read = malloc((size_t)elements * sizeof *read + 1);
    llm_weights_t *weights = NULL;
    int rc = -1;
    if (!read)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for %llu elements",
                      (unsigned long long)elements);
    else
        weights = llm_weights_open(whole ? directory : path, err);
    if (weights)
        rc = full ? read_full(self, weights, read, err) : read_lora(self, weights, read, err);
    if (rc == 0)
        memcpy(vector, read, (size_t)elements * sizeof *read);
    else
        fmq_error_prefix(err, "cannot load '%s'", directory);
    llm_weights_close(&weights);
    free(read);
    free(path);
    return rc;
}
