/*
 * reader.c - cuts a byte stream into JSON objects and has each read.
 *
 * The cut is made by counting brackets outside strings, so that a list of any
 * length is read with the memory of its largest element.  Whether an element
 * is valid JSON is for json_text.h to say.
 */
#include "llm/data/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fedmq/llm/records.h"
#include "llm/hub/json_text.h"
#include "llm/hub/kind.h"

#define READER_BUFFER_SIZE (64u << 10)
#define END_OF_INPUT       (-1)

/* OBJECTS: one behind the other as LINES, but each over as many lines as it
 * likes; so it is when the first one does not end with its line. */
typedef enum { START, LIST_FIRST, LIST_NEXT, LINES, OBJECTS, DONE } reader_stage_t;

typedef struct {
    uint64_t line, column; /* both from 1 */
} place_t;

struct llm_reader {
    char *name;     /* owned */
    gzFile file;    /* owned; NULL when reading memory */
    uint8_t *block; /* owned; NULL when reading memory */
    const uint8_t *next, *end;
    uint64_t bytes; /* read from the source so far */
    place_t here;   /* of the next byte */
    place_t began;  /* of the last value */
    reader_stage_t stage;
    bool first; /* no value has been given yet */
    char *text; /* owned: bytes of the current value */
    size_t size, capacity;
    fmq_error_t failure; /* sticky: reading the source failed */
};

static llm_reader_t *reader_new(const char *name, fmq_error_t *err)
{
    llm_reader_t *self = calloc(1, sizeof *self);
    if (self)
        self->name = strdup(name);
    if (!self || !self->name) {
        llm_reader_close(&self);
        fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read '%s': out of memory", name);
        return NULL;
    }
    self->here = (place_t){1, 1};
    self->began = self->here;
    self->first = true;
    return self;
}

llm_reader_t *llm_reader_open(const char *path, fmq_error_t *err)
{
    llm_reader_t *self = reader_new(path, err);
    if (!self)
        return NULL;
    self->block = malloc(READER_BUFFER_SIZE);
    if (!self->block) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read '%s': out of memory", path);
        goto fail;
    }
    errno = 0;
    self->file = gzopen(path, "rb");
    if (!self->file) {
        fmq_error_set(err, errno == ENOENT ? FMQ_ERR_NOTFOUND : FMQ_ERR_IO, "cannot open '%s': %s",
                      path, errno ? strerror(errno) : "out of memory");
        goto fail;
    }
    return self;
fail:
    llm_reader_close(&self);
    return NULL;
}

llm_reader_t *llm_reader_open_memory(const char *name, const void *data, size_t size,
                                     fmq_error_t *err)
{
    llm_reader_t *self = reader_new(name, err);
    if (!self)
        return NULL;
    self->next = data;
    self->end = size ? self->next + size : self->next;
    self->bytes = size;
    return self;
}

void llm_reader_close(llm_reader_t **self_p)
{
    llm_reader_t *self = *self_p;
    if (!self)
        return;
    if (self->file)
        gzclose(self->file);
    free(self->name);
    free(self->block);
    free(self->text);
    free(self);
    *self_p = NULL;
}

int llm_reader_complain(const llm_reader_t *self, fmq_error_t *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fmq_error_setv(err, FMQ_ERR_FORMAT, format, args);
    va_end(args);
    return fmq_error_prefix(err, "%s:%llu:%llu", self->name, (unsigned long long)self->began.line,
                            (unsigned long long)self->began.column);
}

/* Fills the block again.  False at the end and on failure. */
static bool refill(llm_reader_t *self)
{
    if (!self->file || self->failure.code != FMQ_OK)
        return false;
    int got = gzread(self->file, self->block, READER_BUFFER_SIZE);
    int code = Z_OK;
    const char *reason = gzerror(self->file, &code);
    /* A gzip file that was cut off gives its bytes and then Z_BUF_ERROR. */
    if (got < 0 || (got == 0 && code != Z_OK && code != Z_STREAM_END)) {
        fmq_error_set(&self->failure, code == Z_ERRNO ? FMQ_ERR_IO : FMQ_ERR_FORMAT,
                      "cannot read '%s': %s", self->name,
                      code == Z_ERRNO       ? strerror(errno)
                      : code == Z_BUF_ERROR ? "the file ends early"
                                            : reason);
        return false;
    }
    self->bytes += (uint64_t)got;
    if (self->bytes > LLM_RECORDS_FILE_MAX) {
        fmq_error_set(&self->failure, FMQ_ERR_LIMIT,
                      "'%s' holds more than %llu bytes; split it into several files", self->name,
                      (unsigned long long)LLM_RECORDS_FILE_MAX);
        return false;
    }
    self->next = self->block;
    self->end = self->block + got;
    return got > 0;
}

static int peek_byte(llm_reader_t *self)
{
    if (self->next == self->end && !refill(self))
        return END_OF_INPUT;
    return *self->next;
}

static int take_byte(llm_reader_t *self)
{
    int byte = peek_byte(self);
    if (byte == END_OF_INPUT)
        return byte;
    self->next++;
    if (byte == '\n')
        self->here = (place_t){self->here.line + 1, 1};
    else if ((byte & 0xC0) != 0x80) /* a column is a character, not a byte */
        self->here.column++;
    return byte;
}

static bool is_space(int byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Skips white space; returns the byte behind it without taking it. */
static int skip_space(llm_reader_t *self)
{
    while (is_space(peek_byte(self)))
        take_byte(self);
    self->began = self->here;
    return peek_byte(self);
}

static int reserve(llm_reader_t *self, size_t size, fmq_error_t *err)
{
    size_t capacity = self->capacity ? self->capacity : 4096;
    while (capacity < size)
        capacity *= 2;
    char *text = capacity > self->capacity ? realloc(self->text, capacity) : self->text;
    if (!text)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read '%s': out of memory", self->name);
    self->text = text;
    self->capacity = capacity;
    return 0;
}

/* Takes the next count bytes, which are in the block, into the text. */
static int keep_run(llm_reader_t *self, size_t count, size_t limit, fmq_error_t *err)
{
    if (count > limit - self->size) {
        fmq_error_set(err, FMQ_ERR_LIMIT,
                      "a record is longer than %zu bytes; a file is a list of objects or has one "
                      "object a line",
                      limit);
        return fmq_error_prefix(err, "%s:%llu:%llu", self->name,
                                (unsigned long long)self->began.line,
                                (unsigned long long)self->began.column);
    }
    if (reserve(self, self->size + count, err) < 0)
        return -1;
    memcpy(self->text + self->size, self->next, count);
    self->size += count;
    const uint8_t *end = self->next + count;
    while (self->next < end)
        take_byte(self);
    return 0;
}

/* Where a scan of an object or array stands. */
typedef struct {
    bool in_string, escaped;
    size_t depth;
} nesting_t;

/* Bytes up to and with the one that closes the outermost bracket; size when it
 * is not among them. */
static size_t scan(nesting_t *self, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i];
        if (self->in_string) {
            self->in_string = self->escaped || byte != '"';
            self->escaped = !self->escaped && byte == '\\';
        } else if (byte == '"') {
            self->in_string = true;
        } else if (byte == '{' || byte == '[') {
            self->depth++;
        } else if ((byte == '}' || byte == ']') && --self->depth == 0) {
            return i + 1;
        }
    }
    return size;
}

/* Collects bytes behind those that nesting has seen, up to the bracket that
 * closes the outermost one. */
static int collect_rest(llm_reader_t *self, nesting_t *nesting, fmq_error_t *err)
{
    do {
        if (peek_byte(self) == END_OF_INPUT)
            return llm_reader_complain(self, err, "the file ends inside this object");
        size_t count = scan(nesting, self->next, (size_t)(self->end - self->next));
        if (keep_run(self, count, LLM_RECORDS_VALUE_MAX, err) < 0)
            return -1;
    } while (nesting->depth > 0);
    return 0;
}

/* Collects the bytes of one object, whose bracket is next. */
static int collect_element(llm_reader_t *self, fmq_error_t *err)
{
    nesting_t nesting = {0};
    self->size = 0;
    return collect_rest(self, &nesting, err);
}

static int collect_line(llm_reader_t *self, fmq_error_t *err)
{
    self->size = 0;
    while (peek_byte(self) != END_OF_INPUT) {
        size_t left = (size_t)(self->end - self->next);
        const uint8_t *newline = memchr(self->next, '\n', left);
        size_t count = newline ? (size_t)(newline - self->next) : left;
        if (keep_run(self, count, LLM_RECORDS_VALUE_MAX, err) < 0)
            return -1;
        if (newline)
            break;
    }
    return 0;
}

/* Says where the collected bytes are wrong. */
static int complain_flaw(const llm_reader_t *self, const llm_json_flaw_t *flaw, fmq_error_t *err)
{
    if (flaw->no_memory)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read '%s': out of memory", self->name);
    if (flaw->ends_early && self->stage == LINES)
        return llm_reader_complain(self, err, "the line ends inside this object");
    return fmq_error_set(
        err, FMQ_ERR_FORMAT, "%s:%llu:%llu: %s", self->name,
        (unsigned long long)(self->began.line + flaw->line - 1),
        (unsigned long long)(flaw->column + (flaw->line == 1 ? self->began.column - 1 : 0)),
        flaw->text);
}

/* Reads the collected bytes.  Numbers stay as they are written, and texts that
 * were cut inside a character are common enough to be mended. */
static int parse_collected(llm_reader_t *self, json_t **value, fmq_error_t *err)
{
    static const unsigned how = LLM_JSON_NUMBERS_AS_TEXT | LLM_JSON_MEND;
    llm_json_flaw_t flaw;
    json_t *parsed = llm_json_read(self->text, self->size, how, &flaw);
    if (!parsed && self->first && self->stage == LINES && flaw.ends_early) {
        nesting_t nesting = {0};
        (void)scan(&nesting, (const uint8_t *)self->text, self->size);
        self->stage = OBJECTS;
        if (collect_rest(self, &nesting, err) < 0)
            return -1;
        parsed = llm_json_read(self->text, self->size, how, &flaw);
    }
    if (!parsed)
        return complain_flaw(self, &flaw, err);
    self->first = false;
    *value = parsed;
    return 1;
}

static size_t bytes_ahead(const llm_reader_t *self)
{
    size_t left = (size_t)(self->end - self->next);
    return left < LLM_KIND_HEAD_BYTES ? left : LLM_KIND_HEAD_BYTES;
}

/* Passes over a byte order mark; refuses what is no text. */
static int begin_text(llm_reader_t *self, fmq_error_t *err)
{
    if (peek_byte(self) == END_OF_INPUT)
        return 0;
    const char *kind = llm_kind_of_binary(self->next, bytes_ahead(self));
    if (kind)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not text; it is %s", self->name, kind);
    self->next += llm_kind_mark(self->next, bytes_ahead(self));
    return 0;
}

/* Chooses between list and lines. */
static int find_stage(llm_reader_t *self, fmq_error_t *err)
{
    if (begin_text(self, err) < 0)
        return -1;
    const char *kind =
        self->next < self->end ? llm_kind_of_text(self->next, bytes_ahead(self)) : NULL;
    if (kind)
        return fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not JSON; it is %s", self->name, kind);
    if (skip_space(self) == '[') {
        take_byte(self);
        self->stage = LIST_FIRST;
    } else {
        self->stage = LINES;
    }
    return 0;
}

static int complain_element(const llm_reader_t *self, int byte, fmq_error_t *err)
{
    const char *found = byte == '['                  ? ", this is a list"
                        : byte == '"'                ? ", this is a text"
                        : byte == ','                ? ", this is a comma with nothing before it"
                        : byte == '#' || byte == '/' ? ", this is a comment, which JSON has not"
                        : byte == END_OF_INPUT       ? ", the file ends"
                                                     : "";
    return llm_reader_complain(self, err, "expected an object in the list%s", found);
}

/* Moves to the next element of a list.  1: there is one, 0: the list ended. */
static int next_element(llm_reader_t *self, fmq_error_t *err)
{
    int byte = skip_space(self);
    if (self->stage == LIST_NEXT && byte == ',') {
        place_t comma = self->began;
        take_byte(self);
        byte = skip_space(self);
        if (byte == ']') {
            self->began = comma;
            return llm_reader_complain(self, err,
                                       "a trailing comma: no object follows it before the ']'");
        }
    } else if (byte == ']') {
        take_byte(self);
        self->stage = DONE;
        if (skip_space(self) != END_OF_INPUT)
            return llm_reader_complain(self, err, "expected nothing behind the list's ']'");
        return 0;
    } else if (self->stage == LIST_NEXT) {
        return llm_reader_complain(self, err, "expected ',' or ']'%s",
                                   byte == END_OF_INPUT ? ", the file ends" : "");
    }
    self->stage = LIST_NEXT;
    return byte == '{' ? 1 : complain_element(self, byte, err);
}

static int next_value(llm_reader_t *self, json_t **value, fmq_error_t *err)
{
    if (self->stage == START && find_stage(self, err) < 0)
        return -1;
    if (self->stage == DONE)
        return 0;
    if (self->stage == LINES || self->stage == OBJECTS) {
        int byte = skip_space(self);
        if (byte == END_OF_INPUT)
            return 0;
        if (byte != '{')
            return llm_reader_complain(
                self, err, "expected one JSON object a line, or a list of objects in [ and ]");
        if ((self->stage == LINES ? collect_line(self, err) : collect_element(self, err)) < 0)
            return -1;
    } else {
        int found = next_element(self, err);
        if (found <= 0)
            return found;
        if (collect_element(self, err) < 0)
            return -1;
    }
    return parse_collected(self, value, err);
}

/* What went wrong with the source explains every complaint that follows. */
static int fail_for_source(const llm_reader_t *self, fmq_error_t *err)
{
    return fmq_error_copy(err, &self->failure);
}

int llm_reader_next(llm_reader_t *self, json_t **value, fmq_error_t *err)
{
    json_t *parsed = NULL;
    int found = next_value(self, &parsed, err);
    if (self->failure.code != FMQ_OK) {
        json_decref(parsed);
        return fail_for_source(self, err);
    }
    if (found > 0)
        *value = parsed;
    return found;
}

char *llm_reader_rest(llm_reader_t *self, size_t *size, fmq_error_t *err)
{
    self->size = 0;
    if (begin_text(self, err) < 0)
        return NULL;
    while (peek_byte(self) != END_OF_INPUT)
        if (keep_run(self, (size_t)(self->end - self->next), SIZE_MAX, err) < 0)
            return NULL;
    if (self->failure.code != FMQ_OK) {
        fail_for_source(self, err);
        return NULL;
    }
    if (reserve(self, self->size + 1, err) < 0)
        return NULL;
    self->text[self->size] = '\0';
    *size = self->size;
    char *text = self->text;
    self->text = NULL;
    self->capacity = 0;
    return text;
}
