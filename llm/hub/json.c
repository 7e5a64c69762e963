/*
 * json.c - loading, saving and reading JSON with errors that name file and key.
 * What the keys mean is their readers' affair.
 */
#include "llm/hub/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/hub/file.h"
#include "llm/hub/json_text.h"
#include "llm/hub/kind.h"

json_t *llm_json_parse(const char *text, size_t size, const char *path, fmq_error_t *err)
{
    llm_json_flaw_t flaw;
    json_t *root = llm_json_read(text, size, LLM_JSON_UNIQUE_KEYS, &flaw);
    if (!root)
        fmq_error_set(err, flaw.no_memory ? FMQ_ERR_NOMEM : FMQ_ERR_FORMAT,
                      "'%s' is not valid JSON: line %llu, column %llu: %s", path,
                      (unsigned long long)flaw.line, (unsigned long long)flaw.column, flaw.text);
    return root;
}

json_t *llm_json_load(const char *path, size_t size_max, fmq_error_t *err)
{
    size_t size;
    char *text = llm_file_read(path, size_max, &size, err);
    if (!text)
        return NULL;
    const char *kind = llm_kind_of_binary(text, size);
    if (!kind)
        kind = llm_kind_of_text(text, size < LLM_KIND_HEAD_BYTES ? size : LLM_KIND_HEAD_BYTES);
    if (kind) {
        free(text);
        fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' is not JSON; it is %s", path, kind);
        return NULL;
    }
    size_t mark = llm_kind_mark(text, size);
    json_t *root = llm_json_parse(text + mark, size - mark, path, err);
    free(text);
    if (root && !json_is_object(root)) {
        json_decref(root);
        fmq_error_set(err, FMQ_ERR_FORMAT, "'%s' does not hold a JSON object", path);
        return NULL;
    }
    return root;
}

int llm_json_save(const json_t *value, const char *path, fmq_error_t *err)
{
    llm_file_out_t out;
    if (llm_file_create(&out, path, err) < 0)
        return -1;
    if (json_dumpf(value, out.stream, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0 ||
        fputc('\n', out.stream) == EOF) {
        llm_file_abandon(&out);
        return fmq_error_set(err, FMQ_ERR_IO, "cannot write '%s'", path);
    }
    return llm_file_commit(&out, err);
}

bool llm_json_whole(const json_t *value, uint64_t *out)
{
    if (!json_is_number(value))
        return false;
    double number = json_number_value(value);
    if (!(number >= 0 && number <= (double)LLM_JSON_INTEGER_MAX) || number != floor(number))
        return false;
    *out = (uint64_t)number;
    return true;
}

void llm_json_fail(llm_json_reader_t *reader, fmq_error_code_t code, const char *format, ...)
{
    if (reader->failed)
        return;
    va_list args;
    va_start(args, format);
    (void)fmq_error_setv(reader->err, code, format, args);
    va_end(args);
    (void)fmq_error_prefix(reader->err, "'%s'", reader->path);
    reader->failed = true;
}

json_t *llm_json_get(const llm_json_reader_t *reader, const char *key)
{
    json_t *value = json_object_get(reader->object, key);
    return json_is_null(value) ? NULL : value;
}

static int64_t integer_of(llm_json_reader_t *reader, const char *key, int64_t low, int64_t high)
{
    const json_t *value = llm_json_get(reader, key);
    double number = json_number_value(value);
    if (!json_is_number(value) || number != floor(number))
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be an integer", key);
    else if (!(number >= (double)low && number <= (double)high))
        llm_json_fail(reader, FMQ_ERR_LIMIT, "'%s' is %.17g, outside %lld to %lld", key, number,
                      (long long)low, (long long)high);
    return reader->failed ? low : (int64_t)number;
}

int64_t llm_json_integer(llm_json_reader_t *reader, const char *key, int64_t low, int64_t high)
{
    if (!llm_json_get(reader, key)) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' is missing", key);
        return low;
    }
    return integer_of(reader, key, low, high);
}

int64_t llm_json_integer_if(llm_json_reader_t *reader, const char *key, int64_t low, int64_t high)
{
    return llm_json_get(reader, key) ? integer_of(reader, key, low, high) : low - 1;
}

double llm_json_positive(llm_json_reader_t *reader, const char *key, double absent)
{
    const json_t *value = llm_json_get(reader, key);
    if (!value)
        return absent;
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || number <= 0) {
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a number greater than 0", key);
        return absent;
    }
    return number;
}

bool llm_json_bool(llm_json_reader_t *reader, const char *key, bool absent)
{
    const json_t *value = llm_json_get(reader, key);
    if (value && !json_is_boolean(value))
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be true or false", key);
    return json_is_boolean(value) ? json_is_true(value) : absent;
}

const char *llm_json_string(llm_json_reader_t *reader, const char *key, const char *absent)
{
    const json_t *value = llm_json_get(reader, key);
    if (value && !json_is_string(value))
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a string", key);
    else if (value && strlen(json_string_value(value)) != json_string_length(value))
        llm_json_fail(reader, FMQ_ERR_FORMAT, "'%s' must be a string without a NUL", key);
    return json_is_string(value) ? json_string_value(value) : absent;
}

json_t *llm_json_float(float value)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

int llm_json_set_float(json_t *object, const char *key, float value)
{
    return json_object_set_new(object, key, llm_json_float(value));
}
