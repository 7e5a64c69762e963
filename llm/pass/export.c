/*
 * export.c - writes a model as an HF directory, with what was trained merged
 * into its weights.  One tensor is in memory at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/directory.h"
#include "llm/adapter/layout.h"
#include "llm/hub/file.h"
#include "llm/hub/half.h"
#include "llm/hub/safetensors.h"
#include "llm/pass/stack.h"
#include "llm/weights/build.h"

#define BLOCK 8192 /* elements narrowed at a time */

typedef struct {
    const llm_model_t *model;
    const llm_merge_t *merges;
    size_t count;
    fmq_dtype_t dtype;
    llm_safetensors_entry_t *entries; /* owned, one a tensor */
    char (*names)[FMQ_SCHEMA_NAME_MAX];
    uint64_t (*shapes)[2];
    float *room; /* owned: of the largest tensor */
} export_t;

/* Channels that a layer lacks stay zeros, whatever a vector holds there. */
static void trim(const export_t *self, size_t index)
{
    const uint64_t *has = self->model->parameters.items[index].shape;
    const uint64_t *full = self->shapes[index];
    for (uint64_t r = 0; r < full[0]; r++) {
        uint64_t kept = r < has[0] ? has[1] : 0;
        memset(self->room + r * full[1] + kept, 0, (size_t)(full[1] - kept) * sizeof *self->room);
    }
}

static void merge_pieces(const export_t *self, size_t index, bool replaces)
{
    const llm_parameter_t *parameter = &self->model->parameters.items[index];
    for (size_t i = 0; i < self->count; i++) {
        const llm_merge_t *merge = &self->merges[i];
        for (size_t p = 0; p < merge->adapter->size; p++) {
            const llm_piece_t *piece = &merge->adapter->pieces[p];
            if (piece->ops->replaces == replaces)
                piece->ops->merge(piece, merge->adapter, merge->vector, parameter, self->room);
        }
    }
}

/* What the merges make of a tensor that is in the room. */
static void merge_tensor(const export_t *self, size_t index)
{
    merge_pieces(self, index, true);
    merge_pieces(self, index, false);
    trim(self, index);
}

static bool write_floats(const export_t *self, size_t count, FILE *stream)
{
    if (self->dtype == FMQ_F32)
        return fwrite(self->room, sizeof(float), count, stream) == count;
    unsigned char block[2 * BLOCK];
    for (size_t done = 0; done < count; done += BLOCK) {
        size_t part = count - done < BLOCK ? count - done : BLOCK;
        if (self->dtype == FMQ_F16)
            llm_half_to_f16(self->room + done, part, block);
        else
            llm_half_to_bf16(self->room + done, part, block);
        if (fwrite(block, 2, part, stream) != part)
            return false;
    }
    return true;
}

/* A failed write shows in the stream, and commit reports it; -1 is for a
 * tensor that could not be read. */
static int write_tensors(const export_t *self, FILE *stream, fmq_error_t *err)
{
    for (size_t i = 0; i < self->model->parameters.size; i++) {
        if (llm_model_read_at(self->model, i, self->room, err) < 0)
            return -1;
        merge_tensor(self, i);
        if (!write_floats(self, (size_t)(self->shapes[i][0] * self->shapes[i][1]), stream))
            break;
    }
    return 0;
}

static int write_file(const export_t *self, const char *path, fmq_error_t *err)
{
    size_t size = 0;
    char *header =
        llm_safetensors_header(path, self->entries, self->model->parameters.size, &size, err);
    if (!header)
        return -1;
    llm_file_out_t out;
    int rc = llm_file_create(&out, path, err);
    if (rc < 0)
        goto done;
    if (fwrite(header, 1, size, out.stream) == size && write_tensors(self, out.stream, err) < 0) {
        llm_file_abandon(&out);
        rc = -1;
        goto done;
    }
    rc = llm_file_commit(&out, err);
done:
    free(header);
    return rc;
}

static int prepare(export_t *self, fmq_error_t *err)
{
    const llm_parameters_t *parameters = &self->model->parameters;
    size_t most = 0;
    self->entries = calloc(parameters->size, sizeof *self->entries);
    self->names = calloc(parameters->size, sizeof *self->names);
    self->shapes = calloc(parameters->size, sizeof *self->shapes);
    if (!self->entries || !self->names || !self->shapes)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list of tensors");
    for (size_t i = 0; i < parameters->size; i++) {
        const llm_parameter_t *parameter = &parameters->items[i];
        llm_parameter_name(&self->model->shape, parameter, self->names[i]);
        llm_model_extents(self->model, parameter, self->shapes[i]);
        size_t count = (size_t)(self->shapes[i][0] * self->shapes[i][1]);
        most = count > most ? count : most;
        self->entries[i] = (llm_safetensors_entry_t){.name = self->names[i],
                                                     .dtype = self->dtype == FMQ_F32   ? "F32"
                                                              : self->dtype == FMQ_F16 ? "F16"
                                                                                       : "BF16",
                                                     .rank = parameter->rank,
                                                     .shape = self->shapes[i],
                                                     .bytes = count * fmq_dtype_size(self->dtype)};
    }
    self->room = malloc(most * sizeof *self->room);
    return self->room ? 0
                      : fmq_error_set(err, FMQ_ERR_NOMEM,
                                      "out of memory for a tensor of %zu elements", most);
}

static void release(export_t *self)
{
    free(self->entries);
    free(self->names);
    free(self->shapes);
    free(self->room);
}

static int check(const export_t *self, const char *directory, fmq_error_t *err)
{
    if (self->dtype != FMQ_F32 && self->dtype != FMQ_F16 && self->dtype != FMQ_BF16)
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "cannot write '%s': models are written as f32, f16 or bf16",
                             directory);
    for (size_t i = 0; i < self->count; i++) {
        llm_stack_t stack = {.model = self->model, .adapter = self->merges[i].adapter};
        if (llm_stack_check(&stack, err) < 0)
            return fmq_error_prefix(err, "cannot write '%s'", directory);
        if (llm_adapter_unties(stack.adapter))
            return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                                 "cannot write '%s': the model's head is its embedding, and the "
                                 "adapter changes one of them: they would have to be two tensors; "
                                 "the adapter's own directory is all there is",
                                 directory);
        if (llm_adapter_virtual(self->merges[i].adapter))
            return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                                 "cannot write '%s': virtual tokens cannot be merged into a "
                                 "model's weights; the adapter's own directory is all there is",
                                 directory);
    }
    return 0;
}

static int write_directory(const export_t *self, const char *tokenizer_from, const char *directory,
                           fmq_error_t *err)
{
    char *tensors = llm_file_path(directory, "model.safetensors");
    char *config = llm_file_path(directory, "config.json");
    int rc = -1;
    if (!tensors || !config)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a path");
    else if (write_file(self, tensors, err) == 0 &&
             llm_directory_copy_tokenizer(tokenizer_from, directory, err) == 0)
        rc = llm_shape_save(&self->model->shape, config, err);
    free(tensors);
    free(config);
    return rc;
}

int llm_model_export(const llm_model_t *self, const llm_merge_t *merges, size_t count,
                     const char *tokenizer_from, fmq_dtype_t dtype, const char *directory,
                     fmq_error_t *err)
{
    export_t export = {.model = self, .merges = merges, .count = count, .dtype = dtype};
    if (check(&export, directory, err) < 0)
        return -1;
    int rc = -1;
    char *temporary = prepare(&export, err) == 0 ? llm_directory_begin(directory, err) : NULL;
    if (temporary) {
        rc = write_directory(&export, tokenizer_from, temporary, err);
        rc = llm_directory_end(&temporary, directory, rc, err);
    }
    release(&export);
    return rc;
}
