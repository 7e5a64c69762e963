/*
 * decoder.c - the links of the chain, each after the Rust code of its name.
 */
#include "llm/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

llm_decoder_t *llm_decoders_add(llm_decoders_t *list, llm_decoder_kind_t kind, fmq_error_t *err)
{
    llm_decoder_t *grown =
        llm_text_grow(list->decoders, list->size, &list->capacity, sizeof *grown, err);
    if (!grown)
        return NULL;
    list->decoders = grown;
    grown[list->size] = (llm_decoder_t){.kind = kind};
    return &grown[list->size++];
}

void llm_decoders_release(llm_decoders_t *list)
{
    for (size_t i = 0; i < list->size; i++) {
        llm_pattern_release(&list->decoders[i].replace.pattern);
        llm_text_release(&list->decoders[i].replace.content);
        llm_text_release(&list->decoders[i].content);
    }
    free(list->decoders);
    *list = (llm_decoders_t){0};
}

static llm_slice_t slice_of(const llm_pieces_t *pieces, size_t index)
{
    llm_span_t span = pieces->now.spans[index];
    if (span.begin == span.end)
        return (llm_slice_t){"", 0};
    return (llm_slice_t){pieces->now.text.data + span.begin, span.end - span.begin};
}

static int put_span(llm_pieces_t *pieces, const char *data, size_t size, fmq_error_t *err)
{
    if (llm_pieces_put(pieces, data, size, err) < 0)
        return -1;
    return llm_pieces_close(pieces, false, err);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* The byte that "<0x41>" stands for, or -1. */
static int byte_of(llm_slice_t token)
{
    if (token.size != 6 || memcmp(token.data, "<0x", 3) != 0 || token.data[5] != '>')
        return -1;
    int high = digit_of(token.data[3]), low = digit_of(token.data[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* Bytes that make characters are one text; others are U+FFFD each. */
static int flush_bytes(llm_pieces_t *pieces, llm_text_t *bytes, fmq_error_t *err)
{
    int status = 0;
    if (bytes->size && llm_utf8_valid(bytes->data, bytes->size))
        status = put_span(pieces, bytes->data, bytes->size, err);
    else
        for (size_t i = 0; i < bytes->size && status == 0; i++)
            status = put_span(pieces, REPLACEMENT, sizeof REPLACEMENT - 1, err);
    bytes->size = 0;
    return status;
}

static int run_byte_fallback(llm_pieces_t *pieces, fmq_error_t *err)
{
    llm_text_t bytes = {0};
    int status = 0;
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size && status == 0; i++) {
        llm_slice_t token = slice_of(pieces, i);
        int byte = byte_of(token);
        char character = (char)byte;
        if (byte >= 0)
            status = llm_text_append(&bytes, &character, 1, err);
        else if (flush_bytes(pieces, &bytes, err) < 0)
            status = -1;
        else
            status = put_span(pieces, token.data, token.size, err);
    }
    if (status == 0)
        status = flush_bytes(pieces, &bytes, err);
    llm_text_release(&bytes);
    llm_pieces_commit(pieces);
    return status;
}

static int run_fuse(llm_pieces_t *pieces, fmq_error_t *err)
{
    llm_pieces_begin(pieces);
    if (put_span(pieces, pieces->now.text.data, pieces->now.text.size, err) < 0)
        return -1;
    llm_pieces_commit(pieces);
    return 0;
}

static bool starts_with(llm_slice_t text, const llm_text_t *content)
{
    return content->size && text.size >= content->size &&
           memcmp(text.data, content->data, content->size) == 0;
}

static int run_strip(const llm_decoder_t *decoder, llm_pieces_t *pieces, fmq_error_t *err)
{
    const llm_text_t *content = &decoder->content;
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_slice_t text = slice_of(pieces, i);
        for (size_t n = 0; n < decoder->start && starts_with(text, content); n++) {
            text.data += content->size;
            text.size -= content->size;
        }
        for (size_t n = 0; n < decoder->stop && text.size >= content->size; n++) {
            llm_slice_t tail = {text.data + text.size - content->size, content->size};
            if (!starts_with(tail, content))
                break;
            text.size -= content->size;
        }
        if (put_span(pieces, text.data, text.size, err) < 0)
            return -1;
    }
    llm_pieces_commit(pieces);
    return 0;
}

/* Marks become spaces; those of the first token go when one was added. */
static int run_metaspace(const llm_decoder_t *decoder, llm_pieces_t *pieces, fmq_error_t *err)
{
    llm_pieces_begin(pieces);
    for (size_t i = 0; i < pieces->now.size; i++) {
        llm_slice_t text = slice_of(pieces, i);
        while (text.size) {
            bool mark = starts_with(text, &decoder->content);
            size_t size = mark ? decoder->content.size : llm_utf8_length(text.data);
            bool drop = mark && i == 0 && !decoder->keep_first;
            if (!drop && llm_pieces_put(pieces, mark ? " " : text.data, mark ? 1 : size, err) < 0)
                return -1;
            text.data += size;
            text.size -= size;
        }
        if (llm_pieces_close(pieces, false, err) < 0)
            return -1;
    }
    llm_pieces_commit(pieces);
    return 0;
}

/* A token in GPT-2's alphabet becomes its bytes; any other stays as it is. */
static int append_bytes(llm_text_t *bytes, llm_slice_t token, fmq_error_t *err)
{
    size_t before = bytes->size;
    for (size_t at = 0; at < token.size; at += llm_utf8_length(token.data + at)) {
        int byte = llm_alphabet_byte(llm_utf8_decode(token.data + at));
        char character = (char)byte;
        if (byte < 0) {
            bytes->size = before;
            return llm_text_append(bytes, token.data, token.size, err);
        }
        if (llm_text_append(bytes, &character, 1, err) < 0)
            return -1;
    }
    return 0;
}

static int run_byte_level(llm_pieces_t *pieces, fmq_error_t *err)
{
    llm_text_t bytes = {0};
    int status = 0;
    for (size_t i = 0; i < pieces->now.size && status == 0; i++)
        status = append_bytes(&bytes, slice_of(pieces, i), err);
    llm_pieces_begin(pieces);
    if (status == 0)
        status = llm_utf8_repair(&pieces->next.text, bytes.data, bytes.size, err);
    if (status == 0)
        status = llm_pieces_close(pieces, false, err);
    llm_text_release(&bytes);
    llm_pieces_commit(pieces);
    return status;
}

static int run_one(const llm_decoder_t *decoder, llm_pieces_t *pieces, fmq_error_t *err)
{
    switch (decoder->kind) {
    case LLM_DECODER_REPLACE:
        return llm_pieces_replace(pieces, &decoder->replace, err);
    case LLM_DECODER_BYTE_FALLBACK:
        return run_byte_fallback(pieces, err);
    case LLM_DECODER_FUSE:
        return run_fuse(pieces, err);
    case LLM_DECODER_STRIP:
        return run_strip(decoder, pieces, err);
    case LLM_DECODER_METASPACE:
        return run_metaspace(decoder, pieces, err);
    case LLM_DECODER_BYTE_LEVEL:
        return run_byte_level(pieces, err);
    }
    return 0;
}

int llm_decoders_run(const llm_decoders_t *list, llm_pieces_t *pieces, fmq_error_t *err)
{
    for (size_t i = 0; i < list->size; i++)
        if (run_one(&list->decoders[i], pieces, err) < 0)
            return -1;
    return 0;
}
