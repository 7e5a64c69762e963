/*
 * json_text.c - a recursive descent over the grammar of RFC 8259.  It builds
 * jansson's values and knows nothing of what they mean.
 */
#include "llm/hub/json_text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES 64 /* longer numbers are copied to the heap */
#define SHOWN_BYTES  24 /* of a wrong word, in what is said about it */
#define NO_ESCAPE    UINT32_MAX

typedef struct {
    const char *begin, *at, *end;
    unsigned how;
    unsigned depth;
    char *scratch; /* owned: a text with escapes, decoded */
    size_t capacity;
    llm_json_flaw_t *flaw;
} reader_t;

/* Says once what is wrong at a place of the text.  Returns NULL. */
static json_t *refuse(reader_t *self, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static json_t *refuse(reader_t *self, const char *where, const char *format, ...)
{
    llm_json_flaw_t *flaw = self->flaw;
    flaw->line = flaw->column = 1;
    for (const char *at = self->begin; at < where; at++) {
        if (*at == '\n') {
            flaw->line++;
            flaw->column = 1;
        } else if (((unsigned char)*at & 0xC0) != 0x80) {
            flaw->column++;
        }
    }
    flaw->ends_early = where == self->end;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(flaw->text, sizeof flaw->text, format, args);
    va_end(args);
    return NULL;
}

static json_t *no_memory(reader_t *self)
{
    self->flaw->no_memory = true;
    (void)snprintf(self->flaw->text, sizeof self->flaw->text, "out of memory");
    return NULL;
}

static void skip_space(reader_t *self)
{
    while (self->at < self->end &&
           (*self->at == ' ' || *self->at == '\n' || *self->at == '\t' || *self->at == '\r'))
        self->at++;
}

static bool takes(reader_t *self, char byte)
{
    if (self->at == self->end || *self->at != byte)
        return false;
    self->at++;
    return true;
}

/* What stands where something else is wanted, as people call it. */
static json_t *refuse_stranger(reader_t *self, const char *wanted)
{
    const char *at = self->at;
    size_t left = (size_t)(self->end - at), size = 0;
    unsigned char byte = left ? (unsigned char)*at : 0;
    if (left == 0)
        return refuse(self, at, "the text ends where %s is expected", wanted);
    if (byte == '\'')
        return refuse(self, at, "a single quote: JSON's texts stand in double quotes");
    if (byte == '#' || (byte == '/' && left > 1 && (at[1] == '/' || at[1] == '*')))
        return refuse(self, at, "a comment: JSON has none");
    if (byte == ',')
        return refuse(self, at, "a comma where %s is expected", wanted);
    if (byte < ' ' || byte > '~')
        return refuse(self, at, "a byte 0x%02X where %s is expected", byte, wanted);
    while (size < left && size < SHOWN_BYTES && at[size] > ' ' && at[size] <= '~' &&
           !strchr(",:[]{}\"", at[size]))
        size++;
    return refuse(self, at, "'%.*s' where %s is expected", (int)(size ? size : 1), at, wanted);
}

static bool is_digit(const reader_t *self)
{
    return self->at < self->end && *self->at >= '0' && *self->at <= '9';
}

static bool take_digits(reader_t *self)
{
    if (!is_digit(self))
        return false;
    while (is_digit(self))
        self->at++;
    return true;
}

/* int [ frac ] [ exp ] of the grammar, from begin on. */
static bool scan_number(reader_t *self, const char *begin)
{
    (void)takes(self, '-');
    if (takes(self, '0')) {
        if (is_digit(self))
            return refuse(self, begin, "a number must not begin with 0 and another digit");
    } else if (!take_digits(self)) {
        if (self->at < self->end && (*self->at == 'I' || *self->at == 'i'))
            return refuse(self, begin, "'-Infinity': JSON has no infinite numbers");
        return refuse_stranger(self, "a digit");
    }
    if (takes(self, '.') && !take_digits(self))
        return refuse_stranger(self, "a digit behind the point");
    if (takes(self, 'e') || takes(self, 'E')) {
        if (!takes(self, '+'))
            (void)takes(self, '-');
        if (!take_digits(self))
            return refuse_stranger(self, "a digit of the exponent");
    }
    return true;
}

static json_t *read_number(reader_t *self)
{
    const char *begin = self->at;
    if (!scan_number(self, begin))
        return NULL;
    size_t size = (size_t)(self->at - begin);
    json_t *made = NULL;
    if (self->how & LLM_JSON_NUMBERS_AS_TEXT) {
        made = json_stringn_nocheck(begin, size);
        return made ? made : no_memory(self);
    }
    char few[NUMBER_BYTES], *copy = size < sizeof few ? few : malloc(size + 1);
    if (!copy)
        return no_memory(self);
    memcpy(copy, begin, size);
    copy[size] = '\0';
    double value = strtod(copy, NULL);
    if (copy != few)
        free(copy);
    if (!isfinite(value))
        return refuse(self, begin, "a number beyond the range of a double");
    made = json_real(value);
    return made ? made : no_memory(self);
}

static json_t *read_word(reader_t *self)
{
    static const struct {
        const char *word;
        int kind; /* 0 null, 1 false, 2 true */
    } words[] = {{"null", 0}, {"false", 1}, {"true", 2}};
    static const struct {
        const char *word, *text;
    } strangers[] = {{"NaN", "'NaN': JSON has no such number"},
                     {"Infinity", "'Infinity': JSON has no infinite numbers"},
                     {"None", "'None': JSON calls it null"},
                     {"True", "'True': JSON writes true"},
                     {"False", "'False': JSON writes false"}};
    size_t left = (size_t)(self->end - self->at);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i].word);
        if (left < size || memcmp(self->at, words[i].word, size) != 0)
            continue;
        self->at += size;
        return words[i].kind == 0 ? json_null() : json_boolean(words[i].kind == 2);
    }
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        size_t size = strlen(strangers[i].word);
        if (left >= size && memcmp(self->at, strangers[i].word, size) == 0)
            return refuse(self, self->at, "%s", strangers[i].text);
    }
    return refuse_stranger(self, "a value");
}

/* Four hexadecimal digits from at on; NO_ESCAPE when they are not there. */
static uint32_t four_digits(const reader_t *self, const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, at++) {
        if (at >= self->end)
            return NO_ESCAPE;
        char digit = *at;
        value <<= 4;
        if (digit >= '0' && digit <= '9')
            value |= (uint32_t)(digit - '0');
        else if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
            value |= (uint32_t)((digit | 32) - 'a' + 10);
        else
            return NO_ESCAPE;
    }
    return value;
}

static size_t put_utf8(uint32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

/* The character of \uXXXX, and of a second one that makes a pair with it; the
 * reader stands behind the u.  NO_ESCAPE after a refusal. */
static uint32_t read_unicode(reader_t *self)
{
    const char *begin = self->at - 2;
    uint32_t high = four_digits(self, self->at);
    if (high == NO_ESCAPE) {
        bool ends = self->end - self->at < 4;
        (void)refuse(self, ends ? self->end : begin, "'\\u' without four hexadecimal digits");
        return NO_ESCAPE;
    }
    self->at += 4;
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    bool pair =
        high < 0xDC00 && self->end - self->at >= 6 && self->at[0] == '\\' && self->at[1] == 'u';
    uint32_t low = pair ? four_digits(self, self->at + 2) : 0;
    if (low >= 0xDC00 && low <= 0xDFFF) {
        self->at += 6;
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    if (self->how & LLM_JSON_MEND)
        return 0xFFFD;
    (void)refuse(self, begin,
                 "an escape that names half of a surrogate pair, which is no character");
    return NO_ESCAPE;
}

/* Decodes what stands behind a backslash into out; 0 after a refusal. */
static size_t read_escape(reader_t *self, char *out)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (self->at == self->end) {
        (void)refuse(self, self->end, "the text ends inside a string");
        return 0;
    }
    char letter = *self->at++;
    if (letter == 'u') {
        uint32_t point = read_unicode(self);
        return point == NO_ESCAPE ? 0 : put_utf8(point, out);
    }
    const char *known = letter ? strchr(letters, letter) : NULL;
    if (!known) {
        (void)refuse(self, self->at - 2,
                     "an escape that JSON does not have: a backslash is written "
                     "as two");
        return 0;
    }
    out[0] = bytes[known - letters];
    return 1;
}

/* The end of the run of bytes that stand for themselves. */
static const char *plain_run(const reader_t *self)
{
    const char *at = self->at;
    while (at < self->end && *at != '"' && *at != '\\' && (unsigned char)*at >= ' ')
        at++;
    return at;
}

/* Room for size bytes and those that are there.  Escapes only shrink, so the
 * longest string that is possible is never outgrown. */
static bool reserve(reader_t *self, size_t size)
{
    if (size <= self->capacity)
        return true;
    size_t capacity = self->capacity ? self->capacity : 256;
    while (capacity < size)
        capacity *= 2;
    char *grown = realloc(self->scratch, capacity);
    if (!grown) {
        (void)no_memory(self);
        return false;
    }
    self->scratch = grown;
    self->capacity = capacity;
    return true;
}

/* The bytes of a string whose opening quote was taken: borrowed from the text
 * or from the scratch.  False after a refusal. */
static bool read_string(reader_t *self, const char **text, size_t *size)
{
    const char *run = plain_run(self);
    size_t used = 0;
    *text = self->at;
    *size = (size_t)(run - self->at);
    if (run < self->end && *run == '"') {
        self->at = run + 1;
        return true;
    }
    for (;; run = plain_run(self)) {
        size_t length = (size_t)(run - self->at);
        if (!reserve(self, used + length + 4))
            return false;
        memcpy(self->scratch + used, self->at, length);
        used += length;
        self->at = run;
        if (run == self->end)
            return refuse(self, run, "the text ends inside a string");
        self->at++;
        if (*run == '"')
            break;
        if (*run != '\\')
            return refuse(self, run,
                          *run == '\n' || *run == '\r'
                              ? "a line ends inside a string; a newline is written as \\n"
                              : "a control character inside a string");
        size_t made = read_escape(self, self->scratch + used);
        if (made == 0)
            return false;
        used += made;
    }
    *text = self->scratch;
    *size = used;
    return true;
}

/* Names the first byte that is not UTF-8 between begin and the reader. */
static void refuse_bytes(reader_t *self, const char *begin)
{
    const char *at = begin;
    while (at < self->at) {
        size_t size = 1;
        while (at + size < self->at && size < 4 && ((unsigned char)at[size] & 0xC0) == 0x80)
            size++;
        json_t *character = json_stringn(at, size);
        if (!character)
            break;
        json_decref(character);
        at += size;
    }
    (void)refuse(self, at < self->at ? at : begin,
                 "a byte 0x%02X that is not UTF-8; if the file has another encoding, convert it: "
                 "iconv -f WINDOWS-1252 -t UTF-8",
                 at < self->at ? (unsigned char)*at : 0);
}

static json_t *read_value(reader_t *self);

static json_t *read_text(reader_t *self)
{
    const char *begin = self->at, *text;
    size_t size;
    if (!read_string(self, &text, &size))
        return NULL;
    json_t *made = json_stringn(text, size);
    if (!made)
        refuse_bytes(self, begin);
    return made;
}

/* One "key": value of an object. */
static bool read_member(reader_t *self, json_t *object)
{
    const char *begin = self->at, *text;
    size_t size;
    if (!takes(self, '"'))
        return refuse_stranger(self, "a key in double quotes");
    if (!read_string(self, &text, &size))
        return false;
    /* The value may need the scratch where the key lies. */
    char few[NUMBER_BYTES], *key = size < sizeof few ? few : malloc(size + 1);
    if (!key)
        return no_memory(self);
    memcpy(key, text, size);
    key[size] = '\0';
    const char *behind = self->at;
    json_t *value = NULL;
    bool kept = false;
    if ((self->how & LLM_JSON_UNIQUE_KEYS) && json_object_getn(object, key, size)) {
        (void)refuse(self, begin, "a duplicate key, '%.40s'", key);
        goto done;
    }
    skip_space(self);
    if (!takes(self, ':')) {
        (void)refuse_stranger(self, "':' behind the key");
        goto done;
    }
    skip_space(self);
    value = read_value(self);
    if (!value)
        goto done;
    kept = json_object_setn_new(object, key, size, value) == 0;
    if (!kept) {
        self->at = behind;
        refuse_bytes(self, begin + 1);
    }
done:
    if (key != few)
        free(key);
    return kept;
}

static bool read_element(reader_t *self, json_t *array)
{
    json_t *value = read_value(self);
    if (!value)
        return false;
    if (json_array_append_new(array, value) < 0)
        return no_memory(self);
    return true;
}

/* Members or elements between brackets; the opening one was taken. */
static json_t *read_list(reader_t *self, char closing)
{
    bool object = closing == '}';
    json_t *made = object ? json_object() : json_array();
    if (!made)
        return no_memory(self);
    const char *comma = NULL;
    for (;;) {
        skip_space(self);
        if (takes(self, closing)) {
            if (!comma)
                return made;
            (void)refuse(self, comma, "a trailing comma: nothing follows it before the '%c'",
                         closing);
            break;
        }
        if (!(object ? read_member(self, made) : read_element(self, made)))
            break;
        skip_space(self);
        comma = self->at;
        if (takes(self, ','))
            continue;
        if (takes(self, closing))
            return made;
        (void)refuse_stranger(self, object ? "',' or '}'" : "',' or ']'");
        break;
    }
    json_decref(made);
    return NULL;
}

static json_t *read_nested(reader_t *self, char closing)
{
    if (self->depth == LLM_JSON_DEPTH_MAX)
        return refuse(self, self->at - 1, "more than %d brackets within each other",
                      LLM_JSON_DEPTH_MAX);
    self->depth++;
    json_t *made = read_list(self, closing);
    self->depth--;
    return made;
}

static json_t *read_value(reader_t *self)
{
    if (takes(self, '{'))
        return read_nested(self, '}');
    if (takes(self, '['))
        return read_nested(self, ']');
    if (takes(self, '"'))
        return read_text(self);
    if (is_digit(self) || (self->at < self->end && *self->at == '-'))
        return read_number(self);
    return read_word(self);
}

json_t *llm_json_read(const char *text, size_t size, unsigned how, llm_json_flaw_t *flaw)
{
    reader_t self = {.begin = text, .at = text, .end = text + size, .how = how, .flaw = flaw};
    *flaw = (llm_json_flaw_t){.line = 1, .column = 1};
    skip_space(&self);
    json_t *value = read_value(&self);
    if (value) {
        skip_space(&self);
        if (self.at < self.end) {
            json_decref(value);
            value = refuse(&self, self.at, "something stands behind the end of the JSON text");
        }
    }
    free(self.scratch);
    return value;
}
