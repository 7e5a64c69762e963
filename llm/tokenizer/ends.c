/*
 * ends.c - which tokens begin and end a text, from the files beside the
 * tokenizer.  Looks where transformers looks, in the same order.
 *
 * One end stands behind the answers that are learnt; every end that any file
 * names stops an answer, as a model may have learnt others elsewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/shape.h"
#include "llm/hub/file.h"
#include "llm/hub/json.h"
#include "llm/tokenizer/loader.h"

/* One file to look into, by the token's text or by its id. */
typedef struct {
    const char *file;
    const char *bos_key, *eos_key;
} source_t;

static const source_t sources[] = {
    {"tokenizer_config.json", "bos_token", "eos_token"},
    {"special_tokens_map.json", "bos_token", "eos_token"},
    {"generation_config.json", "bos_token_id", "eos_token_id"},
    {"config.json", "bos_token_id", "eos_token_id"},
};

/* The id that a value means: a text, an AddedToken, an id, a list of ids. */
static int32_t id_of(const llm_tokenizer_t *self, const json_t *value)
{
    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (json_is_object(value))
        value = json_object_get(value, "content");
    if (json_is_string(value))
        return llm_tokenizer_id(self, json_string_value(value));
    uint64_t id;
    size_t size;
    if (!llm_json_whole(value, &id) || id > INT32_MAX)
        return -1;
    bool known = llm_vocab_text(&self->added.vocab, (int32_t)id, &size) ||
                 llm_vocab_text(&self->bpe.vocab, (int32_t)id, &size);
    return known ? (int32_t)id : -1;
}

/* transformers makes the ends special tokens even when the file does not. */
static int add_end(llm_tokenizer_t *self, int32_t id, const json_t *value, fmq_error_t *err)
{
    size_t size;
    if (llm_vocab_text(&self->added.vocab, id, &size))
        return 0;
    const char *text = llm_vocab_text(&self->bpe.vocab, id, &size);
    llm_json_reader_t reader = {.object = value, .path = "special token", .err = err};
    llm_added_token_t flags = {
        .id = id,
        .special = true,
        .single_word = llm_json_bool(&reader, "single_word", false),
        .lstrip = llm_json_bool(&reader, "lstrip", false),
        .rstrip = llm_json_bool(&reader, "rstrip", false),
        .normalized = llm_json_bool(&reader, "normalized", false),
    };
    if (reader.failed)
        return -1;
    return text ? llm_added_add(&self->added, &flags, text, size, err) : 0;
}

static int take_end(llm_tokenizer_t *self, const json_t *value, int32_t *end, fmq_error_t *err)
{
    int32_t id = id_of(self, value);
    if (*end >= 0 || id < 0)
        return 0;
    *end = id;
    return json_is_string(value) || json_is_object(value) ? add_end(self, id, value, err) : 0;
}

static int read_source(llm_tokenizer_t *self, const source_t *source, const char *directory,
                       int32_t ends[2], fmq_error_t *err)
{
    char *path = llm_file_path(directory, source->file);
    if (!path)
        return llm_text_nomem(err);
    int status = 0;
    if (llm_file_exists(path)) {
        json_t *root = llm_json_load(path, LLM_TOKENIZER_FILE_MAX, err);
        status = -1;
        if (root && take_end(self, json_object_get(root, source->bos_key), &ends[0], err) == 0 &&
            take_end(self, json_object_get(root, source->eos_key), &ends[1], err) == 0)
            status = 0;
        json_decref(root);
    }
    free(path);
    return status;
}

/* The family's end where config.json does not mention the key at all; null
 * says that there is none. */
static json_t *unsaid_end(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const llm_arch_t *arch = type ? llm_arch_find(type) : NULL;
    return arch ? json_integer(arch->eos) : json_null();
}

static int add_once(llm_ids_t *ids, int32_t id, fmq_error_t *err)
{
    for (size_t i = 0; i < ids->size; i++)
        if (ids->ids[i] == id)
            return 0;
    return llm_ids_append(ids, id, err);
}

/* An id, or a list of them, of which this program need not know every token. */
static int add_ids(llm_ids_t *ids, const json_t *value, fmq_error_t *err)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t id;
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (llm_json_whole(item, &id) && id <= INT32_MAX && add_once(ids, (int32_t)id, err) < 0)
            return -1;
    }
    return 0;
}

/* Looks into one of the two; without a generation_config.json transformers
 * makes one of config.json, with the family's values where that is silent. */
static int add_ends_of(const char *directory, const char *file, llm_ids_t *ends, fmq_error_t *err)
{
    char *path = llm_file_path(directory, file);
    if (!path)
        return llm_text_nomem(err);
    int status = 0;
    if (llm_file_exists(path)) {
        json_t *root = llm_json_load(path, LLM_TOKENIZER_FILE_MAX, err);
        json_t *value = json_incref(json_object_get(root, "eos_token_id"));
        if (root && !value && ends->size == 0)
            value = unsaid_end(root);
        status = root ? add_ids(ends, value, err) : -1;
        json_decref(value);
        json_decref(root);
    }
    free(path);
    return status;
}

int llm_ends_load(const char *directory, llm_ids_t *ends, fmq_error_t *err)
{
    return add_ends_of(directory, "generation_config.json", ends, err) < 0
               ? -1
               : add_ends_of(directory, "config.json", ends, err);
}

int llm_tokenizer_read_ends(llm_tokenizer_t *self, const char *directory, fmq_error_t *err)
{
    int32_t ends[2] = {-1, -1};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (read_source(self, &sources[i], directory, ends, err) < 0)
            return -1;
    /* What nothing names stays as the tokenizer's own files left it. */
    self->bos = ends[0] >= 0 ? ends[0] : self->bos;
    self->eos = ends[1] >= 0 ? ends[1] : self->eos;
    if (self->eos >= 0 && add_once(&self->ends, self->eos, err) < 0)
        return -1;
    return llm_ends_load(directory, &self->ends, err);
}
