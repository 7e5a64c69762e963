/*
 * load.c - reads the vectors of PEFT adapter directories, and HF models for
 * full fine-tuning.  What an adapter's configuration means is settings.c's
 * affair; a directory whose settings give its tensors another meaning than the
 * adapter at hand does not get past here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/meaning.h"
#include "llm/adapter/method.h"
#include "llm/adapter/tensors.h"
#include "llm/hub/file.h"
#include "llm/hub/foreign.h"

/* The embedding or head that PEFT saves beside what is added to it: the base
 * model's own, unless its vocabulary was changed, which its shape shows. */
static bool is_base_layer(const llm_adapter_t *self, const llm_tensor_view_t *view)
{
    static const llm_role_t roles[] = {LLM_ROLE_TOKENS, LLM_ROLE_HEAD};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        llm_piece_t piece = {.place = {.role = roles[i]}};
        char name[2 * FMQ_SCHEMA_NAME_MAX];
        llm_piece_name(&piece, &self->shape, ".base_layer.weight", name);
        if (strcmp(name, view->name) == 0)
            return view->rank == 2 && view->shape[0] == self->shape.vocab &&
                   view->shape[1] == self->shape.width;
    }
    return false;
}

/* A tensor of the file that the schema does not know, or NULL. */
static const char *stranger(const llm_adapter_t *self, const llm_weights_t *weights)
{
    for (size_t i = 0; i < llm_weights_size(weights); i++) {
        const llm_tensor_view_t *view = llm_weights_at(weights, i);
        if (!fmq_schema_find(self->schema, view->name) && !is_base_layer(self, view))
            return view->name;
    }
    return NULL;
}

static int read_adapter(const llm_adapter_t *self, const llm_weights_t *weights, float *vector,
                        fmq_error_t *err)
{
    const char *unknown = stranger(self, weights);
    if (unknown)
        return fmq_error_set(err, FMQ_ERR_MISMATCH,
                             "the adapter's file holds '%s', which this adapter does not have; its "
                             "targets or model are others",
                             unknown);
    return llm_tensors_read(self, weights, vector, err);
}

static int read_full(const llm_adapter_t *self, const llm_weights_t *weights, float *vector,
                     fmq_error_t *err)
{
    for (size_t i = 0; i < self->size; i++) {
        const llm_tensor_view_t *view =
            llm_parameter_find(&self->shape, &self->pieces[i].place, weights, err);
        if (!view ||
            llm_weights_read(weights, view->name, view->rank, view->shape,
                             vector + llm_piece_offset(&self->pieces[i], self, 0), err) < 0)
            return -1;
    }
    return 0;
}

/* What PEFT wrote before it wrote safetensors. */
static int refuse_pickled(const char *directory, fmq_error_t *err)
{
    char what[LLM_FOREIGN_MAX];
    char *old = llm_file_path(directory, "adapter_model.bin");
    char *now = llm_file_path(directory, "adapter_model.safetensors");
    int rc = 0;
    if (!old || !now)
        rc = fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    else if (!llm_file_exists(now) && llm_foreign_describe(old, what))
        rc = fmq_error_set(
            err, FMQ_ERR_UNSUPPORTED,
            "%s; for an adapter: PeftModel.from_pretrained(...).save_pretrained(...)", what);
    free(old);
    free(now);
    return rc;
}

int llm_adapter_load(const llm_adapter_t *self, const char *directory, float *vector,
                     fmq_error_t *err)
{
    bool full = !self->method->peft_type;
    if (llm_adapter_check_directory(self, directory, err) < 0 ||
        (!full && refuse_pickled(directory, err) < 0))
        return fmq_error_prefix(err, "cannot load '%s'", directory);
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
    else if (self->method->load)
        rc = self->method->load(self, directory, read, err);
    else
        weights = llm_weights_open(whole ? directory : path, err);
    if (weights)
        rc = full ? read_full(self, weights, read, err) : read_adapter(self, weights, read, err);
    if (rc == 0)
        memcpy(vector, read, (size_t)elements * sizeof *read);
    else
        fmq_error_prefix(err, "cannot load '%s'", directory);
    llm_weights_close(&weights);
    free(read);
    free(path);
    return rc;
}
