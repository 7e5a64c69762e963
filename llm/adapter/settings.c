/*
 * settings.c - reads adapter_config.json: which method's it is, and by that
 * method's table what it says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/method.h"
#include "llm/hub/file.h"
#include "llm/hub/json.h"

#define CONFIG_SIZE_MAX (1u << 20)

/* Asked first: the keys of other methods are others. */
static const llm_method_t *method_of(llm_json_reader_t *reader)
{
    char known[128];
    const char *type = llm_json_string(reader, "peft_type", NULL);
    const llm_method_t *method = type ? llm_method_of_type(type) : NULL;
    if (!type)
        llm_json_fail(reader, FMQ_ERR_FORMAT,
                      "it has no 'peft_type', so that it is not PEFT's configuration of an "
                      "adapter");
    else if (!method)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "an adapter of peft_type '%.60s' is not supported yet (known: %s)", type,
                      llm_method_types(known, sizeof known));
    return method;
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
    const llm_method_t *method = method_of(&reader);
    llm_adapter_spec_t read = {0};
    llm_adapter_storage_t stored = {0};
    if (method) {
        read.kind = method->kind;
        method->read(&reader, &read, &stored);
    }
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
    if (llm_adapter_settings_read(directory, spec, NULL, err) < 0)
        return -1;
    spec->virtual_tokens.encoder = LLM_ENCODER_NONE; /* PEFT saves what it made */
    return 0;
}

int llm_adapter_spec_parse(llm_adapter_kind_t kind, const char *text, size_t size, const char *name,
                           llm_adapter_spec_t *spec, fmq_error_t *err)
{
    const llm_method_t *method = llm_method_of(kind);
    if (!method || !method->read)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "'%s': this adapter has no arguments", name);
    json_t *root = llm_json_parse(text, size, name, err);
    if (!root)
        return -1;
    llm_json_reader_t reader = {.object = root, .path = name, .err = err};
    llm_adapter_spec_t read = {.kind = kind};
    llm_adapter_storage_t stored = {.argument = true};
    method->read(&reader, &read, &stored);
    json_decref(root);
    if (reader.failed)
        return -1;
    *spec = read;
    return 0;
}
