/*
 * model.c - the vocabulary, the merges and the added tokens of a tokenizer,
 * from tokenizer.json or from GPT-2's pair of files.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/hub/file.h"
#include "llm/hub/json.h"
#include "llm/hub/kind.h"
#include "llm/tokenizer/loader.h"

static int read_vocab(llm_bpe_t *bpe, json_t *vocab, fmq_error_t *err)
{
    const char *token;
    size_t size;
    json_t *value;
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "the model has no 'vocab'");
    json_object_keylen_foreach(vocab, token, size, value)
    {
        uint64_t id;
        if (!llm_json_whole(value, &id))
            return fmq_error_set(err, FMQ_ERR_FORMAT, "the id of token '%.100s' is not a number",
                                 token);
        if (llm_vocab_add(&bpe->vocab, token, size, id, err) < 0)
            return -1;
    }
    return 0;
}

/* Cuts "left right" at its only space; false when there is not exactly one. */
static bool cut_merge(llm_slice_t merge, llm_slice_t *left, llm_slice_t *right)
{
    const char *space = memchr(merge.data, ' ', merge.size);
    if (!space)
        return false;
    *left = (llm_slice_t){merge.data, (size_t)(space - merge.data)};
    *right = (llm_slice_t){space + 1, merge.size - left->size - 1};
    return !memchr(right->data, ' ', right->size);
}

static int add_merge_line(llm_bpe_t *bpe, llm_slice_t line, uint32_t rank, fmq_error_t *err)
{
    llm_slice_t left, right;
    if (!cut_merge(line, &left, &right))
        return fmq_error_set(err, FMQ_ERR_FORMAT,
                             "merge %u ('%.*s') is not two tokens with a space between", rank,
                             (int)(line.size < 100 ? line.size : 100), line.data);
    return llm_bpe_add_merge(bpe, left, right, rank, err);
}

static int read_merges(llm_bpe_t *bpe, json_t *merges, fmq_error_t *err)
{
    size_t index;
    json_t *value;
    if (!json_is_array(merges))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "the model has no 'merges'");
    json_array_foreach(merges, index, value)
    {
        const json_t *left = json_array_get(value, 0), *right = json_array_get(value, 1);
        int status;
        if (json_is_string(value))
            status = add_merge_line(bpe, llm_tokenizer_slice(value), (uint32_t)index, err);
        else if (json_array_size(value) == 2 && json_is_string(left) && json_is_string(right))
            status = llm_bpe_add_merge(bpe, llm_tokenizer_slice(left), llm_tokenizer_slice(right),
                                       (uint32_t)index, err);
        else
            status =
                fmq_error_set(err, FMQ_ERR_FORMAT, "merge %zu is neither a text nor a pair", index);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* Features of HF's BPE that would change ids and are not built here. */
static void refuse_features(llm_json_reader_t *reader)
{
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++)
        if (*llm_json_string(reader, texts[i], ""))
            llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'%s' is not supported", texts[i]);
    const json_t *dropout = llm_json_get(reader, "dropout");
    if (dropout && json_number_value(dropout) != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED, "'dropout' is not supported");
    const char *type = llm_json_string(reader, "type", "BPE");
    if (strcmp(type, "BPE") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "models of type '%s' are not supported (known: BPE)", type);
}

int llm_tokenizer_read_model(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err)
{
    if (!json_is_object(value))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "there is no 'model'");
    llm_bpe_t *bpe = &self->bpe;
    llm_json_reader_t reader = {.object = value, .path = "model", .err = err};
    refuse_features(&reader);
    bpe->byte_fallback = llm_json_bool(&reader, "byte_fallback", false);
    bpe->fuse_unknown = llm_json_bool(&reader, "fuse_unk", false);
    bpe->ignore_merges = llm_json_bool(&reader, "ignore_merges", false);
    const char *unknown = llm_json_string(&reader, "unk_token", NULL);
    if (reader.failed || read_vocab(bpe, json_object_get(value, "vocab"), err) < 0 ||
        read_merges(bpe, json_object_get(value, "merges"), err) < 0)
        return -1;
    bpe->unknown = unknown ? llm_vocab_find(&bpe->vocab, unknown, strlen(unknown)) : -1;
    if (unknown && bpe->unknown < 0)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'unk_token' '%s' is not in the vocabulary",
                             unknown);
    return 0;
}

/* An added token that the model knows must have the same id in both. */
static int check_added(const llm_tokenizer_t *self, llm_slice_t content, int32_t id,
                       fmq_error_t *err)
{
    size_t size;
    int32_t known = llm_vocab_find(&self->bpe.vocab, content.data, content.size);
    if (known >= 0 ? known == id : !llm_vocab_text(&self->bpe.vocab, id, &size))
        return 0;
    return fmq_error_set(err, FMQ_ERR_FORMAT,
                         "added token '%.*s' has id %d, but the vocabulary has %s",
                         (int)(content.size < 100 ? content.size : 100), content.data, id,
                         known >= 0 ? "it at another id" : "another token there");
}

int llm_tokenizer_read_added(llm_tokenizer_t *self, const json_t *value, fmq_error_t *err)
{
    size_t index;
    json_t *entry;
    json_array_foreach(value, index, entry)
    {
        llm_json_reader_t reader = {.object = entry, .path = "added_tokens", .err = err};
        int64_t id = llm_json_integer(&reader, "id", 0, INT32_MAX);
        llm_added_token_t flags = {
            .id = (int32_t)id,
            .single_word = llm_json_bool(&reader, "single_word", false),
            .lstrip = llm_json_bool(&reader, "lstrip", false),
            .rstrip = llm_json_bool(&reader, "rstrip", false),
            .normalized = llm_json_bool(&reader, "normalized", true),
            .special = llm_json_bool(&reader, "special", false),
        };
        llm_slice_t content = llm_tokenizer_slice(json_object_get(entry, "content"));
        if (content.size == 0)
            llm_json_fail(&reader, FMQ_ERR_FORMAT, "token %zu has no 'content'", index);
        if (reader.failed || check_added(self, content, flags.id, err) < 0 ||
            llm_added_add(&self->added, &flags, content.data, content.size, err) < 0)
            return -1;
    }
    return 0;
}

/* merges.txt: a merge a line, with "#version" lines between. */
static int read_merges_text(llm_bpe_t *bpe, const char *text, size_t size, fmq_error_t *err)
{
    uint32_t rank = 0;
    for (const char *at = text, *end = text + size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        llm_slice_t line = {at, (size_t)((stop ? stop : end) - at)};
        at = stop ? stop + 1 : end;
        if (line.size && line.data[line.size - 1] == '\r')
            line.size--;
        if (line.size == 0 || (line.size >= 8 && memcmp(line.data, "#version", 8) == 0))
            continue;
        if (add_merge_line(bpe, line, rank++, err) < 0)
            return -1;
    }
    return 0;
}

static int read_pair_files(llm_tokenizer_t *self, const char *vocab_path, const char *merges_path,
                           fmq_error_t *err)
{
    size_t size;
    json_t *vocab = llm_json_load(vocab_path, LLM_TOKENIZER_FILE_MAX, err);
    if (!vocab)
        return -1;
    int status = read_vocab(&self->bpe, vocab, err);
    json_decref(vocab);
    if (status < 0)
        return fmq_error_prefix(err, "'%s'", vocab_path);
    char *text = llm_file_read(merges_path, LLM_TOKENIZER_FILE_MAX, &size, err);
    if (!text)
        return -1;
    if (!llm_utf8_valid(text, size))
        status = fmq_error_set(err, FMQ_ERR_FORMAT, "it is not UTF-8");
    else {
        size_t mark = llm_kind_mark(text, size);
        status = read_merges_text(&self->bpe, text + mark, size - mark, err);
    }
    free(text);
    return status < 0 ? fmq_error_prefix(err, "'%s'", merges_path) : 0;
}

/* GPT-2's files say nothing of added tokens; its only one is well known. */
static int add_end_of_text(llm_tokenizer_t *self, fmq_error_t *err)
{
    static const char text[] = "<|endoftext|>";
    int32_t id = llm_vocab_find(&self->bpe.vocab, text, sizeof text - 1);
    if (id < 0)
        return 0;
    self->bos = self->eos = id;
    const llm_added_token_t flags = {.id = id, .special = true};
    return llm_added_add(&self->added, &flags, text, sizeof text - 1, err);
}

/* Other classes read the same two files in their own way: with another
 * pattern, a normalizer, marks around the text. */
static void refuse_class(llm_json_reader_t *reader)
{
    const char *name = llm_json_string(reader, "tokenizer_class", "GPT2Tokenizer");
    if (strcmp(name, "GPT2Tokenizer") != 0 && strcmp(name, "GPT2TokenizerFast") != 0)
        llm_json_fail(reader, FMQ_ERR_UNSUPPORTED,
                      "'tokenizer_class' is '%s'; vocab.json and merges.txt are read as GPT-2's "
                      "alone: save the tokenizer as tokenizer.json "
                      "(AutoTokenizer.from_pretrained(...).save_pretrained(...))",
                      name);
}

/* tokenizer_config.json may ask for a space before the text, or for another
 * tokenizer. */
static int read_pair_config(const char *directory, bool *out, fmq_error_t *err)
{
    char *path = llm_file_path(directory, "tokenizer_config.json");
    if (!path)
        return llm_text_nomem(err);
    *out = false;
    int status = 0;
    if (llm_file_exists(path)) {
        json_t *root = llm_json_load(path, LLM_TOKENIZER_FILE_MAX, err);
        llm_json_reader_t reader = {.object = root, .path = path, .err = err, .failed = !root};
        if (root) {
            refuse_class(&reader);
            *out = llm_json_bool(&reader, "add_prefix_space", false);
        }
        status = reader.failed ? -1 : 0;
        json_decref(root);
    }
    free(path);
    return status;
}

int llm_tokenizer_read_marks(llm_tokenizer_t *self, const char *directory, fmq_error_t *err)
{
    char *path = llm_file_path(directory, "tokenizer_config.json");
    if (!path)
        return llm_text_nomem(err);
    int status = 0;
    if (llm_file_exists(path)) {
        json_t *root = llm_json_load(path, LLM_TOKENIZER_FILE_MAX, err);
        llm_json_reader_t reader = {.object = root, .path = path, .err = err, .failed = !root};
        bool begin = root && llm_json_bool(&reader, "add_bos_token", false);
        bool end = root && llm_json_bool(&reader, "add_eos_token", false);
        json_decref(root);
        status = reader.failed ? -1 : 0;
        if (status == 0 && begin && self->bos >= 0)
            status = llm_ids_append(&self->before, self->bos, err);
        if (status == 0 && end && self->eos >= 0)
            status = llm_ids_append(&self->behind, self->eos, err);
    }
    free(path);
    return status;
}

int llm_tokenizer_read_pair(llm_tokenizer_t *self, const char *directory, fmq_error_t *err)
{
    char *vocab = llm_file_path(directory, "vocab.json");
    char *merges = llm_file_path(directory, "merges.txt");
    char *added = llm_file_path(directory, "added_tokens.json");
    bool prefix_space = false;
    int status = -1;
    self->bpe.unknown = -1;
    if (!vocab || !merges || !added)
        (void)llm_text_nomem(err);
    else if (llm_file_exists(added))
        (void)fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                            "'%s' is not supported; save the tokenizer as tokenizer.json", added);
    else if (read_pair_files(self, vocab, merges, err) == 0 && add_end_of_text(self, err) == 0 &&
             read_pair_config(directory, &prefix_space, err) == 0 &&
             llm_tokenizer_add_byte_level(self, prefix_space, true, err) == 0 &&
             llm_decoders_add(&self->decoders, LLM_DECODER_BYTE_LEVEL, err))
        status = 0;
    free(vocab);
    free(merges);
    free(added);
    return status;
}
