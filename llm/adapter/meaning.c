/*
 * meaning.c - what decides what an adapter's tensors mean, as a text of
 * "key=value" items, and how two such texts are compared.
 *
 * Schemas say names and shapes; a scaling, which no shape shows, is why that is
 * not enough.  Modules and layers enter as they were resolved, so that two
 * spellings of the same targets mean the same.
 */
#include "llm/adapter/meaning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/adapter/method.h"
#include "llm/hub/file.h"

#define ABSENT "(nothing)"

void llm_adapter_meaning(const llm_adapter_t *self, char out[LLM_MEANING_MAX])
{
    llm_line_t line = {.out = out, .size = LLM_MEANING_MAX};
    *out = '\0';
    self->method->say(self, &line);
}

/* The next item of a text: *key and *value up to their sizes.  NULL behind the
 * last one. */
typedef struct {
    const char *key, *value;
    size_t key_size, value_size;
} item_t;

static const char *next_item(const char *text, item_t *item)
{
    text += strspn(text, " ");
    if (!*text)
        return NULL;
    size_t size = strcspn(text, " ");
    const char *equals = memchr(text, '=', size);
    item->key = text;
    item->key_size = equals ? (size_t)(equals - text) : size;
    item->value = equals ? equals + 1 : text + size;
    item->value_size = equals ? size - item->key_size - 1 : 0;
    return text + size;
}

static bool find_item(const char *text, const item_t *wanted, item_t *found)
{
    while ((text = next_item(text, found)) != NULL)
        if (found->key_size == wanted->key_size &&
            memcmp(found->key, wanted->key, wanted->key_size) == 0)
            return true;
    *found = (item_t){.value = ABSENT, .value_size = strlen(ABSENT)};
    return false;
}

static void copy(char *out, size_t size, const char *text, size_t length)
{
    (void)snprintf(out, size, "%.*s%s", (int)(length < size ? length : size - 4), text,
                   length < size ? "" : "...");
}

/* The first item of a text that the other has not, or has with another value. */
static bool lacks(const char *text, const char *other, item_t *mine, item_t *theirs)
{
    while ((text = next_item(text, mine)) != NULL) {
        bool found = find_item(other, mine, theirs);
        if (!found || mine->value_size != theirs->value_size ||
            memcmp(mine->value, theirs->value, mine->value_size) != 0)
            return true;
    }
    return false;
}

bool llm_meaning_differs(const char *there, const char *here, llm_difference_t *out)
{
    item_t left, right, swapped;
    const item_t *key = &left;
    if (!lacks(there, here, &left, &right)) {
        if (!lacks(here, there, &right, &left))
            return false;
        swapped = right; /* an item that only `here` has */
        key = &swapped;
    }
    copy(out->key, sizeof out->key, key->key, key->key_size);
    copy(out->there, sizeof out->there, left.value, left.value_size);
    copy(out->here, sizeof out->here, right.value, right.value_size);
    return true;
}

/* Are weights stored as the directory has it?  PEFT corrects a wrong value with
 * a warning where it knows the layer; a file that says the wrong thing was not
 * written by it for this model. */
static int check_storage(const llm_adapter_t *self, const llm_adapter_storage_t *storage,
                         const char *directory, fmq_error_t *err)
{
    bool major = self->shape.arch->input_major, modules = false, head = false;
    for (size_t i = 0; i < self->size; i++) {
        modules = modules || self->pieces[i].place.role == LLM_ROLE_MODULE;
        head = head || self->pieces[i].place.role == LLM_ROLE_HEAD;
    }
    if (!modules || head) /* PEFT writes what the last of them was: a head is no Conv1D */
        return 0;
    if (!storage->given || storage->input_major == major)
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'fan_in_fan_out' is %s in '%s/adapter_config.json', %s for a model of "
                         "type %s; correct it there if the adapter is one of this model",
                         storage->input_major ? "true" : "false", directory,
                         major ? "true" : "false", self->shape.arch->model_type);
}

static int check_number(const char *key, uint32_t there, size_t here, const char *directory,
                        fmq_error_t *err)
{
    if (!there || there == here)
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' is %u in '%s/adapter_config.json', %zu for this model; the adapter "
                         "is one of another",
                         key, there, directory, here);
}

/* Do virtual tokens have the measures of this model? */
static int check_measures(const llm_adapter_t *self, const llm_adapter_storage_t *storage,
                          const char *directory, fmq_error_t *err)
{
    const llm_shape_t *shape = &self->shape;
    size_t dim = llm_virtual_token_dim(&self->spec, shape);
    size_t heads = self->spec.kind == LLM_ADAPTER_PREFIX ? shape->kv_heads : shape->heads;
    return check_number("token_dim", storage->token_dim, dim, directory, err) < 0 ||
                   check_number("num_attention_heads", storage->num_attention_heads, heads,
                                directory, err) < 0 ||
                   check_number("num_layers", storage->num_layers, shape->layers, directory, err) <
                       0
               ? -1
               : 0;
}

static int compare(const llm_adapter_t *self, const llm_adapter_t *other, const char *directory,
                   fmq_error_t *err)
{
    char there[LLM_MEANING_MAX], here[LLM_MEANING_MAX];
    llm_difference_t difference;
    llm_adapter_meaning(other, there);
    llm_adapter_meaning(self, here);
    if (!llm_meaning_differs(there, here, &difference))
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' is %s in '%s/adapter_config.json', %s here: its tensors would mean "
                         "something else; set llm.adapter.args as that adapter has it, or give "
                         "another adapter",
                         difference.key, difference.there, directory, difference.here);
}

static bool holds(const char *directory, const char *name)
{
    char *path = llm_file_path(directory, name);
    bool there = path && llm_file_exists(path);
    free(path);
    return there;
}

/* A directory that has nothing but an adapter is no model; one of whole
 * weights may have the files of others in it. */
static int check_whole(const char *directory, fmq_error_t *err)
{
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json",
                                          LLM_LAYERS_FILE};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (holds(directory, weights[i]))
            return 0;
    if (!holds(directory, "adapter_config.json"))
        return 0;
    return fmq_error_set(err, FMQ_ERR_MISMATCH,
                         "'%s' holds an adapter (adapter_config.json), but the weights themselves "
                         "are trained here; set llm.adapter.use True, or give a model's directory",
                         directory);
}

int llm_adapter_check_directory(const llm_adapter_t *self, const char *directory, fmq_error_t *err)
{
    llm_adapter_spec_t spec;
    llm_adapter_storage_t storage;
    if (!self->method->peft_type)
        return check_whole(directory, err);
    if (llm_adapter_settings_read(directory, &spec, &storage, err) < 0 ||
        check_storage(self, &storage, directory, err) < 0 ||
        (spec.kind == self->spec.kind && check_measures(self, &storage, directory, err) < 0))
        return -1;
    if (!self->spec.virtual_tokens.encoder)
        spec.virtual_tokens.encoder = LLM_ENCODER_NONE; /* what it made is there as well */
    llm_adapter_t *other = llm_adapter_new(&self->shape, &spec, err);
    if (!other)
        return fmq_error_prefix(err, "'%s/adapter_config.json'", directory);
    int rc = compare(self, other, directory, err);
    llm_adapter_destroy(&other);
    return rc;
}
