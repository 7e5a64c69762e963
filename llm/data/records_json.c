/*
 * records_json.c - records from JSON and JSON Lines, and back.
 *
 * A file is taken whole or not at all: on failure the records that were
 * already read are given up.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "llm/data/fields.h"
#include "llm/data/reader.h"
#include "llm/data/store.h"

/* One file or piece of memory on its way into records. */
typedef struct {
    llm_records_t *records;               /* borrowed */
    llm_reader_t *reader;                 /* owned */
    const llm_record_keys_t *keys;        /* borrowed; may be NULL */
    llm_correction_fn *correct;           /* or NULL */
    size_t answers;                       /* records with an output so far */
    char keys_found[LLM_KEYS_TEXT_BYTES]; /* of the first record without one */
} intake_t;

/* Adds a record; a refusal says where it stands. */
static int add_record(intake_t *self, const llm_record_t *record, fmq_error_t *err)
{
    fmq_error_t why;
    if (llm_records_add(self->records, record, &why) == 0)
        return 0;
    llm_reader_complain(self->reader, err, "%s", why.text);
    if (err)
        err->code = why.code;
    return -1;
}

static void note_answer(intake_t *self, const json_t *object, const char *output)
{
    if (*output)
        self->answers++;
    else if (!*self->keys_found)
        llm_fields_list(object, self->keys_found);
}

/* A file of questions alone teaches nothing; most likely its answers have
 * another name. */
static int require_answers(const intake_t *self, const char *path, fmq_error_t *err)
{
    const char *output = self->keys && self->keys->output ? self->keys->output : "output";
    if (self->answers > 0 || !*self->keys_found)
        return 0;
    return fmq_error_set(err, FMQ_ERR_FORMAT,
                         "'%s': no record has an answer, '%s'; the keys of the first are: %s; "
                         "name the right one: output=KEY in fedmq.data_fields, or in --fields of "
                         "eval; or give a data.type that has these keys: with dolly-15k@llm and "
                         "data.file_path '%s' they are instruction, context, response, category",
                         path, output, self->keys_found, path);
}

/* Keeps one JSON object as a record, corrected where asked. */
static int keep_object(intake_t *self, const json_t *object, fmq_error_t *err)
{
    llm_fields_t fields;
    char *made[2] = {NULL, NULL};
    int keep = 1;
    int result = llm_fields_read(&fields, self->reader, object, self->keys, err);
    if (result == 0)
        note_answer(self, object, fields.record.output);
    if (result == 0 && self->correct) {
        keep = self->correct(&fields.record, made);
        if (keep < 0)
            result = fmq_error_set(err, FMQ_ERR_NOMEM, "cannot correct a record: out of memory");
    }
    if (result == 0 && keep > 0)
        result = add_record(self, &fields.record, err);
    free(made[0]);
    free(made[1]);
    llm_fields_release(&fields);
    return result;
}

/* Closes the reader. */
static int keep_all(intake_t *self, fmq_error_t *err)
{
    size_t before = llm_records_size(self->records);
    json_t *object = NULL;
    int found;
    while ((found = llm_reader_next(self->reader, &object, err)) > 0) {
        int result = keep_object(self, object, err);
        json_decref(object);
        if (result < 0) {
            found = -1;
            break;
        }
    }
    if (found < 0)
        llm_records_truncate(self->records, before);
    llm_reader_close(&self->reader);
    return found;
}

int llm_records_load_corrected(llm_records_t *self, const char *path, const llm_record_keys_t *keys,
                               llm_correction_fn *correct, fmq_error_t *err)
{
    intake_t intake = {.records = self, .keys = keys, .correct = correct};
    size_t before = llm_records_size(self);
    intake.reader = llm_reader_open(path, err);
    if (!intake.reader || keep_all(&intake, err) < 0)
        return -1;
    if (require_answers(&intake, path, err) == 0)
        return 0;
    llm_records_truncate(self, before);
    return -1;
}

int llm_records_load(llm_records_t *self, const char *path, const llm_record_keys_t *keys,
                     fmq_error_t *err)
{
    return llm_records_load_corrected(self, path, keys, NULL, err);
}

int llm_records_parse(llm_records_t *self, const char *name, const void *data, size_t size,
                      const llm_record_keys_t *keys, fmq_error_t *err)
{
    intake_t intake = {.records = self, .keys = keys};
    intake.reader = llm_reader_open_memory(name, data, size, err);
    return intake.reader ? keep_all(&intake, err) : -1;
}

int llm_records_decode(llm_records_t *self, const char *name, const void *data, size_t size,
                       fmq_error_t *err)
{
    return llm_records_parse(self, name, data, size, NULL, err);
}

typedef struct {
    char *bytes; /* owned by whoever began */
    size_t size, capacity;
} text_t;

static int append(const char *bytes, size_t size, void *argument)
{
    text_t *text = argument;
    if (text->capacity - text->size < size) {
        size_t capacity = text->capacity ? text->capacity : 4096;
        while (capacity - text->size < size) {
            if (capacity > SIZE_MAX / 2)
                return -1;
            capacity *= 2;
        }
        char *grown = realloc(text->bytes, capacity);
        if (!grown)
            return -1;
        text->bytes = grown;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    return 0;
}

/* Empty fields are left out, but for the output: a line is never empty. */
static int append_field(text_t *text, const char *separator, const char *key, const char *value)
{
    json_t *string = json_string(value);
    if (!string)
        return -1;
    int result = append(separator, strlen(separator), text);
    if (result == 0)
        result = append(key, strlen(key), text);
    if (result == 0)
        result = json_dump_callback(string, append, text, JSON_ENCODE_ANY);
    json_decref(string);
    return result;
}

static int append_record(text_t *text, const llm_record_t *record)
{
    if (append_field(text, "{", "\"output\":", record->output) < 0)
        return -1;
    if (*record->instruction &&
        append_field(text, ",", "\"instruction\":", record->instruction) < 0)
        return -1;
    if (*record->input && append_field(text, ",", "\"input\":", record->input) < 0)
        return -1;
    if (*record->category && append_field(text, ",", "\"category\":", record->category) < 0)
        return -1;
    return append("}\n", 2, text);
}

char *llm_records_encode(const llm_records_t *self, size_t *size, fmq_error_t *err)
{
    text_t text = {0};
    int result = 0;
    for (size_t i = 0; i < llm_records_size(self) && result == 0; i++)
        result = append_record(&text, llm_records_at(self, i));
    if (result == 0)
        result = append("", 1, &text); /* a final NUL, not counted */
    if (result < 0) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "cannot encode %zu records: out of memory",
                      llm_records_size(self));
        free(text.bytes);
        return NULL;
    }
    *size = text.size - 1;
    return text.bytes;
}
