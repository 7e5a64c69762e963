/*
 * weights.c - the tensors of a model, whether in one file or in shards, found
 * by name and read as F32.  What they mean is the model's affair.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/hub.h"
#include "llm/hub/file.h"
#include "llm/hub/foreign.h"
#include "llm/hub/half.h"
#include "llm/hub/json.h"
#include "llm/hub/safetensors.h"

#define INDEX_SIZE_MAX (64u << 20)
#define SHARDS_MAX     4096

typedef struct {
    const llm_tensor_view_t *view; /* borrowed from its file */
    const llm_safetensors_t *file; /* borrowed */
} entry_t;

struct llm_weights {
    char *path; /* owned: what was opened */
    llm_safetensors_t *files;
    size_t files_size;
    entry_t *entries;        /* owned: in the order of the files */
    const entry_t **by_name; /* owned: the same, sorted */
    size_t size;
};

static int compare_names(const void *a, const void *b)
{
    const entry_t *const *left = a, *const *right = b;
    return strcmp((*left)->view->name, (*right)->view->name);
}

/* Lists the tensors of all files; a name may be in one of them only. */
static int index_tensors(llm_weights_t *self, fmq_error_t *err)
{
    size_t total = 0;
    for (size_t i = 0; i < self->files_size; i++)
        total += self->files[i].count;
    self->entries = calloc(total + 1, sizeof *self->entries);
    self->by_name = calloc(total + 1, sizeof *self->by_name);
    if (!self->entries || !self->by_name)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the tensors of '%s'", self->path);
    for (size_t i = 0; i < self->files_size; i++) {
        for (size_t t = 0; t < self->files[i].count; t++) {
            entry_t *entry = &self->entries[self->size];
            *entry = (entry_t){&self->files[i].tensors[t], &self->files[i]};
            self->by_name[self->size++] = entry;
        }
    }
    qsort(self->by_name, self->size, sizeof *self->by_name, compare_names);
    for (size_t i = 1; i < self->size; i++) {
        const entry_t *one = self->by_name[i - 1], *other = self->by_name[i];
        if (strcmp(one->view->name, other->view->name) == 0)
            return fmq_error_set(err, FMQ_ERR_FORMAT, "tensor '%s' is both in '%s' and in '%s'",
                                 one->view->name, one->file->path, other->file->path);
    }
    return 0;
}

static const entry_t *find_entry(const llm_weights_t *self, const char *name)
{
    const llm_tensor_view_t view = {.name = name};
    const entry_t wanted = {.view = &view};
    const entry_t *key = &wanted;
    const entry_t *const *found =
        bsearch(&key, self->by_name, self->size, sizeof *self->by_name, compare_names);
    return found ? *found : NULL;
}

static int open_files(llm_weights_t *self, char *const *paths, size_t count, fmq_error_t *err)
{
    self->files = calloc(count + 1, sizeof *self->files);
    if (!self->files)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to open '%s'", self->path);
    for (size_t i = 0; i < count; i++) {
        if (llm_safetensors_open(&self->files[i], paths[i], err) < 0)
            return -1;
        self->files_size++;
    }
    return index_tensors(self, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A shard lies beside its index: its name may not lead elsewhere. */
static bool plain_name(const char *name)
{
    return name && *name && *name != '.' && !strchr(name, '/');
}

typedef struct {
    char **paths; /* owned, each owned */
    size_t size;
} paths_t;

static void release_paths(paths_t *list)
{
    for (size_t i = 0; i < list->size; i++)
        free(list->paths[i]);
    free(list->paths);
}

/* The distinct shard files of a weight_map, sorted. */
static int list_shards(paths_t *list, json_t *map, const char *directory, fmq_error_t *err)
{
    size_t entries = json_object_size(map);
    const char **names = calloc(entries + 1, sizeof *names);
    list->paths = calloc(entries + 1, sizeof *list->paths);
    int status = -1;
    if (!names || !list->paths) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the index of '%s'", directory);
        goto done;
    }
    const char *tensor;
    json_t *value;
    size_t count = 0;
    json_object_foreach(map, tensor, value)
    {
        names[count] = json_string_value(value);
        if (!plain_name(names[count++])) {
            fmq_error_set(err, FMQ_ERR_FORMAT,
                          "the index of '%s' names no file beside it for tensor '%s'", directory,
                          tensor);
            goto done;
        }
    }
    qsort(names, count, sizeof *names, compare_texts);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
            continue;
        char *path = llm_file_path(directory, names[i]);
        if (!path || list->size == SHARDS_MAX) {
            free(path);
            fmq_error_set(err, path ? FMQ_ERR_LIMIT : FMQ_ERR_NOMEM,
                          "cannot open the more than %zu shards of '%s'", list->size, directory);
            goto done;
        }
        list->paths[list->size++] = path;
    }
    status = 0;

done:
    free(names);
    return status;
}

/* Every tensor that the index names must be in the shard that it names. */
static int check_index(const llm_weights_t *self, json_t *map, fmq_error_t *err)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const entry_t *entry = find_entry(self, tensor);
        const char *slash = entry ? strrchr(entry->file->path, '/') : NULL;
        if (!slash || strcmp(slash + 1, json_string_value(value)) != 0)
            return fmq_error_set(err, FMQ_ERR_MISMATCH,
                                 "'%s': the index says that tensor '%s' is in '%s', but it is not",
                                 self->path, tensor, json_string_value(value));
    }
    return 0;
}

static int open_shards(llm_weights_t *self, const char *index, fmq_error_t *err)
{
    json_t *root = llm_json_load(index, INDEX_SIZE_MAX, err);
    if (!root)
        return -1;
    paths_t list = {0};
    int status = -1;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' has no 'weight_map'", index);
    else if (list_shards(&list, map, self->path, err) == 0 &&
             open_files(self, list.paths, list.size, err) == 0 && check_index(self, map, err) == 0)
        status = 0;
    if (status < 0)
        fmq_error_prefix(err, "shards of '%s'", self->path);
    release_paths(&list);
    json_decref(root);
    return status;
}

static int open_directory(llm_weights_t *self, fmq_error_t *err)
{
    char *single = llm_file_path(self->path, "model.safetensors");
    char *index = llm_file_path(self->path, "model.safetensors.index.json");
    char what[LLM_FOREIGN_MAX];
    int status = -1;
    if (!single || !index)
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to open '%s'", self->path);
    else if (llm_file_exists(single))
        status = open_files(self, &single, 1, err);
    else if (llm_file_exists(index))
        status = open_shards(self, index, err);
    else if (llm_foreign_describe(self->path, what))
        fmq_error_set(err, FMQ_ERR_UNSUPPORTED, "%s", what);
    else
        fmq_error_set(err, FMQ_ERR_NOTFOUND,
                      "'%s' has neither model.safetensors nor model.safetensors.index.json; "
                      "other formats, such as pytorch_model.bin, must be converted first",
                      self->path);
    free(single);
    free(index);
    return status;
}

llm_weights_t *llm_weights_open(const char *path, fmq_error_t *err)
{
    llm_weights_t *self = calloc(1, sizeof *self);
    char *copy = self ? strdup(path) : NULL;
    if (!copy) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to open '%s'", path);
        goto fail;
    }
    self->path = copy;
    int status =
        llm_file_is_directory(path) ? open_directory(self, err) : open_files(self, &copy, 1, err);
    if (status < 0)
        goto fail;
    return self;

fail:
    llm_weights_close(&self);
    return NULL;
}

void llm_weights_close(llm_weights_t **self_p)
{
    llm_weights_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->files_size; i++)
        llm_safetensors_release(&self->files[i]);
    free(self->files);
    free(self->entries);
    free(self->by_name);
    free(self->path);
    free(self);
    *self_p = NULL;
}

size_t llm_weights_size(const llm_weights_t *self)
{
    return self->size;
}

const llm_tensor_view_t *llm_weights_at(const llm_weights_t *self, size_t index)
{
    return index < self->size ? self->entries[index].view : NULL;
}

const llm_tensor_view_t *llm_weights_find(const llm_weights_t *self, const char *name)
{
    const entry_t *entry = find_entry(self, name);
    return entry ? entry->view : NULL;
}

static bool same_shape(const llm_tensor_view_t *view, uint32_t rank, const uint64_t *shape)
{
    return view->rank == rank &&
           (rank == 0 || memcmp(view->shape, shape, rank * sizeof *shape) == 0);
}

int llm_weights_read(const llm_weights_t *self, const char *name, uint32_t rank,
                     const uint64_t *shape, float *out, fmq_error_t *err)
{
    const entry_t *entry = find_entry(self, name);
    if (!entry)
        return fmq_error_set(err, FMQ_ERR_NOTFOUND, "'%s' has no tensor '%s'", self->path, name);
    const llm_tensor_view_t *view = entry->view;
    if (!same_shape(view, rank, shape)) {
        char is[LLM_SHAPE_TEXT_MAX], wanted[LLM_SHAPE_TEXT_MAX];
        llm_safetensors_shape_text(is, view->rank, view->shape);
        llm_safetensors_shape_text(wanted, rank, shape);
        return fmq_error_set(err, FMQ_ERR_MISMATCH, "'%s': tensor '%s' has shape %s, not %s",
                             entry->file->path, name, is, wanted);
    }
    if (view->dtype == FMQ_F32)
        memcpy(out, view->data, (size_t)view->bytes);
    else if (view->dtype == FMQ_F16)
        llm_half_from_f16(view->data, (size_t)view->bytes / 2, out);
    else if (view->dtype == FMQ_BF16)
        llm_half_from_bf16(view->data, (size_t)view->bytes / 2, out);
    else
        return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                             "'%s': tensor '%s' has dtype %s; only F32, F16 and BF16 can be read",
                             entry->file->path, name, view->dtype_text);
    return 0;
}
