/*
 * workshop.c - see workshop.h.
 */
#include "tests/llm/offsite/workshop.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "llm/weights/parameter.h"
#include "tests/llm/data/byte_tokenizer.h"

static llm_dataset_t *public_examples(void)
{
    llm_records_t *records = llm_records_new();
    for (int i = 0; i < 12; i++) {
        char answer[24];
        (void)snprintf(answer, sizeof answer, "%d and %d", 7 * i, i * i);
        llm_record_t record = {.instruction = "", .output = answer};
        assert_int_equal(llm_records_add(records, &record, NULL), 0);
    }
    llm_tokenizer_t tokenizer = {0};
    llm_dataset_t *data = llm_dataset_new(records, NULL, &tokenizer, SMALL_CONTEXT, NULL);
    assert_non_null(data);
    llm_records_destroy(&records);
    return data;
}

/* The random model's tensors, changed, as a model directory. */
static void write_edited(const llm_model_t *model, const char *folder, workshop_edit_fn *edit)
{
    fmq_error_t err;
    char path[128];
    llm_parameters_t parameters;
    const llm_shape_t *shape = llm_model_shape(model);
    assert_int_equal(llm_parameters_init(&parameters, shape, &err), 0);
    llm_tensor_out_t *out = calloc(parameters.size, sizeof *out);
    char(*names)[FMQ_SCHEMA_NAME_MAX] = calloc(parameters.size, sizeof *names);
    for (size_t i = 0; i < parameters.size; i++) {
        const llm_parameter_t *parameter = &parameters.items[i];
        float *values = malloc(parameter->count * sizeof *values);
        llm_parameter_name(shape, parameter, names[i]);
        assert_int_equal(llm_model_read(model, names[i], values, &err), 0);
        edit(names[i], values, parameter->shape[0], parameter->rank > 1 ? parameter->shape[1] : 1);
        out[i] = (llm_tensor_out_t){names[i], FMQ_F32, parameter->rank, {0}, values};
        memcpy(out[i].shape, parameter->shape, sizeof parameter->shape);
    }
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(llm_shape_save(shape, path, &err), 0);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(llm_safetensors_save(path, out, parameters.size, &err), 0);
    for (size_t i = 0; i < parameters.size; i++)
        free((void *)(uintptr_t)out[i].data);
    free(out);
    free(names);
    llm_parameters_release(&parameters);
}

static void remove_file(const char *folder, const char *name)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

static void edit_model(small_t *small, workshop_edit_fn *edit)
{
    fmq_error_t err;
    char folder[] = "/tmp/fedmq-workshop-XXXXXX";
    assert_non_null(mkdtemp(folder));
    write_edited(small->model, folder, edit);
    llm_model_destroy(&small->model);
    small->model = llm_model_open(folder, small->be, &err);
    if (!small->model)
        fail_msg("%s", err.text);
    remove_file(folder, "config.json"); /* the mapping stays */
    remove_file(folder, "model.safetensors");
    assert_int_equal(rmdir(folder), 0);
}

void workshop_open(workshop_t *self, const char *family, uint32_t layers, workshop_edit_fn *edit)
{
    memset(self, 0, sizeof *self);
    small_open(&self->small, family, layers);
    if (edit)
        edit_model(&self->small, edit);
    (void)snprintf(self->folder, sizeof self->folder, "/tmp/fedmq-workshop-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    assert_int_equal(rmdir(self->folder), 0);
    self->data = public_examples();
    self->how = (llm_emulator_building_t){
        .be = self->small.be, .directory = self->folder, .data = self->data, .seed = 1};
}

typedef void(visit_fn)(void *argument, const char *path, const struct stat *status);

static void each_file(const workshop_t *self, visit_fn *visit, void *argument)
{
    DIR *folder = opendir(self->folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[400];
        struct stat status;
        (void)snprintf(path, sizeof path, "%s/%s", self->folder, entry->d_name);
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
            visit(argument, path, &status);
    }
    if (folder)
        (void)closedir(folder);
}

static void remove_one(void *argument, const char *path, const struct stat *status)
{
    (void)argument, (void)status;
    (void)unlink(path);
}

static void count_one(void *argument, const char *path, const struct stat *status)
{
    (void)path, (void)status;
    ++*(size_t *)argument;
}

static void add_bytes(void *argument, const char *path, const struct stat *status)
{
    (void)path;
    *(uint64_t *)argument += (uint64_t)status->st_size;
}

static void add_times(void *argument, const char *path, const struct stat *status)
{
    (void)path;
    *(uint64_t *)argument += (uint64_t)status->st_ino * 31 + (uint64_t)status->st_mtim.tv_nsec;
}

static void cut_first(void *argument, const char *path, const struct stat *status)
{
    bool *done = argument;
    if (!*done)
        assert_int_equal(truncate(path, status->st_size / 2), 0);
    *done = true;
}

void workshop_cut_one(const workshop_t *self)
{
    bool done = false;
    each_file(self, cut_first, &done);
    assert_true(done);
}

size_t workshop_files(const workshop_t *self)
{
    size_t count = 0;
    each_file(self, count_one, &count);
    return count;
}

uint64_t workshop_bytes(const workshop_t *self)
{
    uint64_t bytes = 0;
    each_file(self, add_bytes, &bytes);
    return bytes;
}

uint64_t workshop_times(const workshop_t *self)
{
    uint64_t sum = 0;
    each_file(self, add_times, &sum);
    return sum;
}

void workshop_close(workshop_t *self)
{
    llm_dataset_destroy(&self->data);
    each_file(self, remove_one, NULL);
    (void)rmdir(self->folder);
    small_close(&self->small);
}

float *workshop_read(const llm_model_t *model, uint32_t layer, const char *name, size_t count)
{
    char full[FMQ_SCHEMA_NAME_MAX];
    fmq_error_t err;
    float *values = malloc(count * sizeof *values);
    (void)snprintf(full, sizeof full, "%s%u.%s", llm_model_shape(model)->arch->layer_prefix, layer,
                   name);
    if (llm_model_read(model, full, values, &err) < 0)
        fail_msg("%s", err.text);
    return values;
}
