/*
 * tokenizer.c - opening, encoding and decoding: the order in which the parts
 * act on a text.  What each part does is in its own file.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/hub/file.h"
#include "llm/hub/json.h"
#include "llm/tokenizer/loader.h"

int llm_tokenizer_read_json(llm_tokenizer_t *self, const json_t *root, fmq_error_t *err)
{
    if (llm_tokenizer_read_model(self, json_object_get(root, "model"), err) < 0 ||
        llm_tokenizer_read_added(self, json_object_get(root, "added_tokens"), err) < 0 ||
        llm_tokenizer_read_normalizer(self, json_object_get(root, "normalizer"), err) < 0 ||
        llm_tokenizer_read_pre_tokenizer(self, json_object_get(root, "pre_tokenizer"), err) < 0 ||
        llm_tokenizer_read_decoder(self, json_object_get(root, "decoder"), err) < 0)
        return -1;
    return llm_tokenizer_read_post_processor(self, json_object_get(root, "post_processor"), err);
}

static int read_json_file(llm_tokenizer_t *self, const char *path, fmq_error_t *err)
{
    json_t *root = llm_json_load(path, LLM_TOKENIZER_FILE_MAX, err);
    if (!root)
        return -1;
    int status = llm_tokenizer_read_json(self, root, err);
    json_decref(root);
    return status < 0 ? fmq_error_prefix(err, "'%s'", path) : 0;
}

/* *pair: it is GPT-2's pair of files. */
static int read_directory(llm_tokenizer_t *self, const char *directory, bool *pair,
                          fmq_error_t *err)
{
    char *json = llm_file_path(directory, "tokenizer.json");
    char *vocab = llm_file_path(directory, "vocab.json");
    int status = -1;
    if (!json || !vocab)
        (void)llm_text_nomem(err);
    else if (llm_file_exists(json))
        status = read_json_file(self, json, err);
    else if ((*pair = llm_file_exists(vocab)))
        status = llm_tokenizer_read_pair(self, directory, err);
    else
        (void)fmq_error_set(err, FMQ_ERR_NOTFOUND,
                            "'%s' has neither tokenizer.json nor vocab.json and merges.txt; a "
                            "tokenizer.model must be converted to tokenizer.json first",
                            directory);
    free(json);
    free(vocab);
    return status;
}

int llm_tokenizer_finish(llm_tokenizer_t *self, fmq_error_t *err)
{
    llm_bpe_finish(&self->bpe);
    size_t size = 0;
    const char *text = "";
    if (self->eos >= 0) {
        text = llm_vocab_text(&self->added.vocab, self->eos, &size);
        if (!text)
            text = llm_vocab_text(&self->bpe.vocab, self->eos, &size);
    }
    self->eos_text = text ? strndup(text, size) : NULL;
    if (!self->eos_text)
        return llm_text_nomem(err);
    return llm_added_finish(&self->added, &self->normalizer, err);
}

llm_tokenizer_t *llm_tokenizer_open(const char *directory, fmq_error_t *err)
{
    llm_tokenizer_t *self = calloc(1, sizeof *self);
    if (!self) {
        (void)llm_text_nomem(err);
        return NULL;
    }
    self->bos = self->eos = -1;
    bool pair = false;
    if (read_directory(self, directory, &pair, err) < 0 ||
        llm_tokenizer_read_ends(self, directory, err) < 0 ||
        (pair && llm_tokenizer_read_marks(self, directory, err) < 0) ||
        llm_tokenizer_finish(self, err) < 0)
        llm_tokenizer_destroy(&self);
    return self;
}

void llm_tokenizer_destroy(llm_tokenizer_t **self_p)
{
    llm_tokenizer_t *self = *self_p;
    if (!self)
        return;
    llm_bpe_release(&self->bpe);
    llm_added_release(&self->added);
    llm_steps_release(&self->normalizer);
    llm_steps_release(&self->pre_tokenizer);
    llm_decoders_release(&self->decoders);
    llm_ids_release(&self->before);
    llm_ids_release(&self->behind);
    llm_ids_release(&self->ends);
    free(self->eos_text);
    free(self);
    *self_p = NULL;
}

/* The buffers of one call, so that a tokenizer can serve many threads. */
typedef struct {
    const llm_tokenizer_t *self;
    llm_text_t repaired;
    llm_parts_t raw, normalized;
    llm_pieces_t normalizing, pieces;
    llm_bpe_work_t bpe;
    llm_ids_t *ids; /* borrowed: where the result goes */
    fmq_error_t *err;
} encoding_t;

/* Pre-tokenizes and encodes a part without added tokens. */
static int encode_part(encoding_t *encoding, llm_slice_t text, bool first)
{
    llm_pieces_t *pieces = &encoding->pieces;
    llm_pieces_clear(pieces);
    if (llm_pieces_add(pieces, text.data, text.size, first, encoding->err) < 0 ||
        llm_steps_run(&encoding->self->pre_tokenizer, pieces, encoding->err) < 0)
        return -1;
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_span_t span = pieces->now.spans[i];
        llm_slice_t piece = {pieces->now.text.data + span.begin, span.end - span.begin};
        if (piece.size && llm_bpe_encode(&encoding->self->bpe, &encoding->bpe, piece, encoding->ids,
                                         encoding->err) < 0)
            return -1;
    }
    return 0;
}

/* Normalizes a part of the raw text and finds the added tokens in that. */
static int encode_raw_part(encoding_t *encoding, llm_slice_t text, bool first)
{
    const llm_added_t *added = &encoding->self->added;
    llm_pieces_t *pieces = &encoding->normalizing;
    llm_pieces_clear(pieces);
    if (llm_pieces_add(pieces, text.data, text.size, first, encoding->err) < 0 ||
        llm_steps_run(&encoding->self->normalizer, pieces, encoding->err) < 0)
        return -1;
    llm_slice_t normal = {pieces->now.text.data, pieces->now.text.size};
    first = pieces->now.spans[0].first;
    if (llm_added_split(added, &added->normalized, normal, &encoding->normalized, encoding->err) <
        0)
        return -1;
    for (size_t i = 0; i < encoding->normalized.size; i++) {
        llm_part_t part = encoding->normalized.parts[i];
        llm_slice_t slice = {normal.data + part.begin, part.end - part.begin};
        int status = part.id >= 0 ? llm_ids_append(encoding->ids, part.id, encoding->err)
                                  : encode_part(encoding, slice, first && part.begin == 0);
        if (status < 0)
            return -1;
    }
    return 0;
}

static int encode_text(encoding_t *encoding, llm_slice_t text)
{
    const llm_added_t *added = &encoding->self->added;
    if (llm_added_split(added, &added->raw, text, &encoding->raw, encoding->err) < 0)
        return -1;
    for (size_t i = 0; i < encoding->raw.size; i++) {
        llm_part_t part = encoding->raw.parts[i];
        llm_slice_t slice = {text.data + part.begin, part.end - part.begin};
        int status = part.id >= 0 ? llm_ids_append(encoding->ids, part.id, encoding->err)
                                  : encode_raw_part(encoding, slice, part.begin == 0);
        if (status < 0)
            return -1;
    }
    return 0;
}

static int append_all(llm_ids_t *ids, const llm_ids_t *more, fmq_error_t *err)
{
    for (size_t i = 0; i < more->size; i++)
        if (llm_ids_append(ids, more->ids[i], err) < 0)
            return -1;
    return 0;
}

/* Replaces invalid bytes; text is borrowed where there are none. */
static int repair(encoding_t *encoding, llm_slice_t *text)
{
    if (llm_utf8_valid(text->data, text->size))
        return 0;
    if (llm_utf8_repair(&encoding->repaired, text->data, text->size, encoding->err) < 0)
        return -1;
    *text = (llm_slice_t){encoding->repaired.data, encoding->repaired.size};
    return 0;
}

int llm_tokenizer_encode(const llm_tokenizer_t *self, const char *text, size_t size, bool special,
                         llm_ids_t *ids, fmq_error_t *err)
{
    encoding_t encoding = {.self = self, .ids = ids, .err = err};
    llm_slice_t slice = {text, size};
    size_t before = ids->size;
    int status = -1;
    if (llm_pieces_init(&encoding.normalizing, err) == 0 &&
        llm_pieces_init(&encoding.pieces, err) == 0 && repair(&encoding, &slice) == 0 &&
        (!special || append_all(ids, &self->before, err) == 0) &&
        encode_text(&encoding, slice) == 0 &&
        (!special || append_all(ids, &self->behind, err) == 0))
        status = 0;
    if (status < 0)
        ids->size = before;
    llm_text_release(&encoding.repaired);
    free(encoding.raw.parts);
    free(encoding.normalized.parts);
    llm_pieces_release(&encoding.normalizing);
    llm_pieces_release(&encoding.pieces);
    llm_bpe_work_release(&encoding.bpe);
    return status;
}

static const char *text_of(const llm_tokenizer_t *self, int32_t id, size_t *size)
{
    const char *text = llm_vocab_text(&self->added.vocab, id, size);
    return text ? text : llm_vocab_text(&self->bpe.vocab, id, size);
}

/* The texts of ids as spans.  Ids that no token has give nothing, as in HF:
 * a model's matrix often has more rows than there are tokens. */
static int collect(const llm_tokenizer_t *self, llm_pieces_t *pieces, const int32_t *ids,
                   size_t count, bool skip_special, fmq_error_t *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const char *text = text_of(self, ids[i], &size);
        if (ids[i] < 0)
            return fmq_error_set(err, FMQ_ERR_LIMIT, "id %d at %zu is no token id", ids[i], i);
        if (!text || (skip_special && llm_added_is_special(&self->added, ids[i])))
            continue;
        if (self->joins_by_space && pieces->now.size &&
            llm_pieces_add(pieces, " ", 1, false, err) < 0)
            return -1;
        if (llm_pieces_add(pieces, text, size, false, err) < 0)
            return -1;
    }
    return 0;
}

char *llm_tokenizer_decode(const llm_tokenizer_t *self, const int32_t *ids, size_t count,
                           bool skip_special, size_t *size, fmq_error_t *err)
{
    llm_pieces_t pieces;
    char *text = NULL;
    if (llm_pieces_init(&pieces, err) == 0 &&
        collect(self, &pieces, ids, count, skip_special, err) == 0 &&
        llm_decoders_run(&self->decoders, &pieces, err) == 0 &&
        llm_text_terminate(&pieces.now.text, err) == 0) {
        text = pieces.now.text.data;
        if (size)
            *size = pieces.now.text.size;
        pieces.now.text = (llm_text_t){0};
    }
    llm_pieces_release(&pieces);
    return text;
}

size_t llm_tokenizer_size(const llm_tokenizer_t *self)
{
    size_t model = self->bpe.vocab.size, added = self->added.vocab.size;
    return model > added ? model : added;
}

int32_t llm_tokenizer_bos(const llm_tokenizer_t *self)
{
    return self->bos;
}

int32_t llm_tokenizer_eos(const llm_tokenizer_t *self)
{
    return self->eos;
}

const int32_t *llm_tokenizer_ends(const llm_tokenizer_t *self, size_t *size)
{
    *size = self->ends.size;
    return self->ends.ids;
}

const char *llm_tokenizer_eos_text(const llm_tokenizer_t *self)
{
    return self->eos_text;
}
