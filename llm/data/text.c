/*
 * text.c - plain text as records: cut at blank lines, never inside a
 * character.  What is learnt from it is the datasets' business.
 */
#include <stdlib.h>
#include <string.h>

#include "llm/data/reader.h"
#include "llm/data/store.h"
#include "llm/data/utf8.h"

#define PIECE_BYTES_MAX (32u * LLM_TEXT_RECORD_BYTES)

/* Bytes of the next record: up to and with the first blank line behind
 * LLM_TEXT_RECORD_BYTES; without one, up to the last newline, or the last
 * whole character, before PIECE_BYTES_MAX. */
static size_t next_cut(const char *text, size_t size)
{
    if (size <= LLM_TEXT_RECORD_BYTES)
        return size;
    size_t limit = size < PIECE_BYTES_MAX ? size : PIECE_BYTES_MAX;
    size_t line = 0;
    for (size_t i = LLM_TEXT_RECORD_BYTES - 1; i < limit; i++) {
        if (text[i] != '\n')
            continue;
        line = i + 1;
        if (text[i - 1] == '\n')
            return line;
    }
    if (limit == size)
        return size;
    if (line)
        return line;
    size_t cut = limit;
    while (cut > limit - 4 && ((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    return cut;
}

int llm_records_add_text(llm_records_t *self, const char *text, size_t size, fmq_error_t *err)
{
    if (size && memchr(text, '\0', size))
        return fmq_error_set(err, FMQ_ERR_FORMAT, "the text holds a NUL byte; is it text?");
    char *piece = malloc(PIECE_BYTES_MAX + 1);
    if (!piece)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot cut text: out of memory");
    size_t before = llm_records_size(self);
    int result = 0;
    for (size_t at = 0; at < size && result == 0;) {
        size_t length = next_cut(text + at, size - at);
        memcpy(piece, text + at, length);
        piece[length] = '\0';
        result = llm_records_add(self, &(llm_record_t){.output = piece}, err);
        at += length;
    }
    if (result < 0)
        llm_records_truncate(self, before);
    free(piece);
    return result;
}

/* Line ends of Windows become newlines, as Python reads text. */
static size_t drop_returns(char *text, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < size; i++)
        if (text[i] != '\r' || i + 1 == size || text[i + 1] != '\n')
            text[kept++] = text[i];
    text[kept] = '\0';
    return kept;
}

int llm_records_load_text(llm_records_t *self, const char *path, fmq_error_t *err)
{
    llm_reader_t *reader = llm_reader_open(path, err);
    if (!reader)
        return -1;
    size_t size = 0;
    char *text = llm_reader_rest(reader, &size, err);
    llm_reader_close(&reader);
    if (!text)
        return -1;
    size = drop_returns(text, size);
    int result = llm_records_add_text(self, text, size, err);
    free(text);
    return result < 0 ? fmq_error_prefix(err, "'%s'", path) : 0;
}
