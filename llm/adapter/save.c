/*
 * save.c - writes PEFT adapter directories, and HF model directories for full
 * fine-tuning.  How a directory gets to its place is directory.c's affair.
 */
#include <stdlib.h>

#include "llm/adapter/directory.h"
#include "llm/adapter/method.h"
#include "llm/adapter/tensors.h"
#include "llm/hub/file.h"
#include "llm/hub/json.h"

static int save_adapter(const llm_adapter_t *self, const float *vector, const char *base,
                        fmq_dtype_t dtype, const char *directory, fmq_error_t *err)
{
    char *tensors = llm_file_path(directory, "adapter_model.safetensors");
    char *config = llm_file_path(directory, "adapter_config.json");
    const llm_method_t *method = self->method;
    json_t *root = method->write(self, base);
    int rc = -1;
    if (!tensors || !config || !root)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for an adapter's configuration");
    else
        rc = method->save ? method->save(self, vector, dtype, directory, err)
                          : llm_tensors_save(self, vector, dtype, tensors, err);
    if (rc == 0)
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
    int rc = llm_tensors_save(self, vector, dtype, tensors, err);
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
    else if (llm_tensors_save(self, vector, dtype, tensors, err) == 0 &&
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
    if (!self->size)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "there is no adapter to save in '%s'", directory);
    char *temporary = llm_directory_begin(directory, err);
    if (!temporary)
        return -1;
    int rc = self->method->peft_type
                 ? save_adapter(self, vector, base ? base : "", dtype, temporary, err)
             : self->spec.layers.some
                 ? save_layers(self, vector, dtype, temporary, err)
                 : save_full(self, vector, tokenizer_from, dtype, temporary, err);
    return llm_directory_end(&temporary, directory, rc, err);
}
