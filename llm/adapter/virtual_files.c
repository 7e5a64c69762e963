/*
 * virtual_files.c - the vectors of virtual tokens on disk: PEFT's
 * prompt_embeddings, and the encoder that they came out of.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/encoder.h"
#include "llm/adapter/tensors.h"
#include "llm/adapter/virtual.h"
#include "llm/hub/file.h"

static const char rows_name[] = "prompt_embeddings";

static int read_rows(const llm_encoder_layout_t *layout, const llm_weights_t *weights, float *rows,
                     fmq_error_t *err)
{
    const uint64_t shape[] = {layout->count, layout->width};
    for (size_t i = 0; i < llm_weights_size(weights); i++)
        if (strcmp(llm_weights_at(weights, i)->name, rows_name) != 0)
            return fmq_error_set(err, FMQ_ERR_MISMATCH,
                                 "the adapter's file holds '%s' beside '%s', which fedmq does not "
                                 "know with virtual tokens",
                                 llm_weights_at(weights, i)->name, rows_name);
    return llm_weights_read(weights, rows_name, 2, shape, rows, err);
}

int llm_virtual_load(const llm_adapter_t *self, const char *directory, float *vector,
                     fmq_error_t *err)
{
    const llm_encoder_layout_t *layout = llm_adapter_virtual(self);
    bool encoded = layout->dense_size > 0;
    char *path = llm_file_path(directory, encoded ? LLM_ENCODER_FILE : "adapter_model.safetensors");
    if (!path)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    llm_weights_t *weights = NULL;
    int rc = -1;
    if (encoded && !llm_file_exists(path))
        fmq_error_set(err, FMQ_ERR_NOTFOUND,
                      "there is no '%s': without the encoder, which PEFT does not save, what it "
                      "made can be computed with, but not trained on",
                      LLM_ENCODER_FILE);
    else
        weights = llm_weights_open(path, err);
    if (weights)
        rc = encoded ? llm_tensors_read(self, weights, vector, err)
                     : read_rows(layout, weights, vector + layout->embedding, err);
    llm_weights_close(&weights);
    free(path);
    return rc;
}

/* The rows that the vector stands for, the caller's.  They are few: whatever
 * trained them, the CPU makes them here. */
static float *rows_of(const llm_adapter_t *self, const float *vector, fmq_error_t *err)
{
    const llm_encoder_layout_t *layout = llm_adapter_virtual(self);
    size_t elements = (size_t)fmq_schema_elements(self->schema);
    size_t bytes = layout->count * layout->width * sizeof(float);
    llm_backend_t *be = llm_backend_cpu_new(1, err);
    if (!be)
        return NULL;
    float *rows = malloc(bytes), *params = be->ops->alloc(be, elements * sizeof *params);
    llm_encoder_t *encoder = llm_encoder_new(layout, be, false, err);
    if (encoder && rows && params) {
        be->ops->upload(be, params, vector, elements * sizeof *params);
        be->ops->download(be, rows, llm_encoder_forward(encoder, params, NULL), bytes);
    } else {
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for the rows of %zu virtual tokens",
                      layout->count);
        free(rows);
        rows = NULL;
    }
    llm_encoder_destroy(&encoder);
    if (params)
        be->ops->release(be, params);
    llm_backend_destroy(&be);
    return rows;
}

static int save_rows(const llm_encoder_layout_t *layout, const float *rows, fmq_dtype_t dtype,
                     const char *path, fmq_error_t *err)
{
    llm_tensor_out_t tensor = {.name = rows_name,
                               .dtype = dtype,
                               .rank = 2,
                               .shape = {layout->count, layout->width},
                               .data = rows};
    return llm_safetensors_save(path, &tensor, 1, err);
}

int llm_virtual_save(const llm_adapter_t *self, const float *vector, fmq_dtype_t dtype,
                     const char *directory, fmq_error_t *err)
{
    const llm_encoder_layout_t *layout = llm_adapter_virtual(self);
    char *tensors = llm_file_path(directory, "adapter_model.safetensors");
    char *encoder = llm_file_path(directory, LLM_ENCODER_FILE);
    float *rows = NULL;
    int rc = -1;
    if (!tensors || !encoder)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    else
        rows = rows_of(self, vector, err);
    if (rows)
        rc = save_rows(layout, rows, dtype, tensors, err);
    if (rc == 0 && layout->dense_size > 0)
        rc = llm_tensors_save(self, vector, FMQ_F32, encoder, err);
    free(rows);
    free(tensors);
    free(encoder);
    return rc;
}
