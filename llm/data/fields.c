/*
 * fields.c - finds a record's texts in a JSON object by keys or dotted paths.
 */
#include "llm/data/fields.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX 256 /* bytes of one name of a dotted path, with NUL */

/* One step of a path: a member of an object or an element of an array. */
static const json_t *descend(const json_t *value, const char *name)
{
    if (json_is_object(value))
        return json_object_get(value, name);
    if (!json_is_array(value))
        return NULL;
    char *end;
    unsigned long long index = strtoull(name, &end, 10);
    if (*name < '0' || *name > '9' || *end || index >= json_array_size(value))
        return NULL;
    return json_array_get(value, (size_t)index);
}

const json_t *llm_field_find(const json_t *object, const char *path)
{
    const json_t *value = descend(object, path);
    if (!value && strchr(path, '.')) {
        value = object;
        for (const char *at = path; value;) {
            char name[PART_MAX];
            size_t length = strcspn(at, ".");
            if (length >= sizeof name)
                return NULL;
            memcpy(name, at, length);
            name[length] = '\0';
            value = descend(value, name);
            if (!at[length])
                break;
            at += length + 1;
        }
    }
    return json_is_null(value) ? NULL : value;
}

/* A copy of a text with U+FFFD for every NUL: records are C strings. */
static char *without_nul(const char *text, size_t size)
{
    char *copy = malloc(3 * size + 1), *out = copy;
    for (size_t i = 0; copy && i < size; i++) {
        if (text[i]) {
            *out++ = text[i];
        } else {
            memcpy(out, "\xEF\xBF\xBD", 3);
            out += 3;
        }
    }
    if (copy)
        *out = '\0';
    return copy;
}

/* A file of columns holds one object whose fields are lists. */
static bool is_columns(const llm_fields_t *self)
{
    const json_t *instruction = llm_field_find(self->object, self->keys.instruction);
    const json_t *output = llm_field_find(self->object, self->keys.output);
    return (json_is_array(instruction) && json_is_array(output)) ||
           (json_is_object(instruction) && json_is_object(output));
}

static int refuse_nested(const llm_fields_t *self, const json_t *value, const char *key,
                         fmq_error_t *err)
{
    bool object = json_is_object(value);
    const char *name = key == self->keys.instruction ? "instruction"
                       : key == self->keys.input     ? "input"
                       : key == self->keys.output    ? "output"
                                                     : "category";
    return llm_reader_complain(
        self->reader, err,
        "'%s' is %s, expected a text; a dotted key reaches inside: %s=%s.%s in fedmq.data_fields, "
        "or in --fields of eval%s",
        key, object ? "an object" : "a list", name, key, object ? "name" : "0",
        is_columns(self) ? "; if the file holds columns, write one object a record: "
                           "pandas.read_json(FILE).to_json(OUT, orient='records', lines=True)"
                         : "");
}

/* The text at key; made[slot] holds it where it had to be written. */
static int read_text(llm_fields_t *self, size_t slot, const char *key, const char **text,
                     fmq_error_t *err)
{
    const json_t *value = llm_field_find(self->object, key);
    *text = "";
    if (!value)
        return 0;
    if (json_is_object(value) || json_is_array(value))
        return refuse_nested(self, value, key, err);
    if (json_is_boolean(value)) {
        *text = json_is_true(value) ? "true" : "false";
        return 0;
    }
    *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (!memchr(*text, '\0', size))
        return 0;
    *text = self->made[slot] = without_nul(*text, size);
    return *text ? 0 : fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read a record: out of memory");
}

void llm_fields_list(const json_t *object, char out[LLM_KEYS_TEXT_BYTES])
{
    size_t used = 0;
    out[0] = '\0';
    const char *key;
    json_t *value;
    /* jansson's iteration takes a non-const object that it does not change. */
    union {
        const json_t *given;
        json_t *taken;
    } both = {.given = object};
    json_object_foreach(both.taken, key, value)
    {
        size_t length = strlen(key);
        if (used + length + 8 > LLM_KEYS_TEXT_BYTES) {
            memcpy(out + used, ", ...", 6);
            return;
        }
        if (used) {
            memcpy(out + used, ", ", 2);
            used += 2;
        }
        memcpy(out + used, key, length + 1);
        used += length;
    }
}

/* A file that holds one object around its list: which key has it. */
static const char *key_of_list(const json_t *object)
{
    const char *key;
    json_t *value;
    union {
        const json_t *given;
        json_t *taken;
    } both = {.given = object};
    json_object_foreach(both.taken, key, value)
    {
        if (json_is_array(value) && json_is_object(json_array_get(value, 0)))
            return key;
    }
    return NULL;
}

/* Chats: {"role": ..., "content": ...} or {"from": ..., "value": ...}. */
static const char *key_of_turn(const json_t *list)
{
    static const char *const pairs[][2] = {{"role", "content"}, {"from", "value"}};
    const json_t *first = json_array_get(list, 0);
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(first, pairs[i][0]) && json_object_get(first, pairs[i][1]))
            return pairs[i][1];
    return NULL;
}

static int refuse_strange(const llm_fields_t *self, fmq_error_t *err)
{
    char found[LLM_KEYS_TEXT_BYTES];
    const char *list = key_of_list(self->object);
    llm_fields_list(self->object, found);
    llm_reader_complain(self->reader, err, "a record has neither '%s' nor '%s'; its keys are: %s",
                        self->keys.instruction, self->keys.output, *found ? found : "(none)");
    if (!list || !err)
        return -1;
    size_t used = strlen(err->text);
    const char *turn = key_of_turn(json_object_get(self->object, list));
    if (turn)
        (void)snprintf(err->text + used, sizeof err->text - used,
                       "; it has a conversation in '%.64s': name two of its texts in "
                       "fedmq.data_fields, or in --fields of eval, such as "
                       "instruction=%.64s.0.%s, output=%.64s.1.%s",
                       list, list, turn, list, turn);
    else
        (void)snprintf(err->text + used, sizeof err->text - used,
                       "; it has a list of objects in '%.64s': if these are the records, a file "
                       "must hold that list alone, or one object a line (jq '.[\"%.64s\"]' FILE)",
                       list, list);
    return -1;
}

int llm_fields_read(llm_fields_t *self, const llm_reader_t *reader, const json_t *object,
                    const llm_record_keys_t *keys, fmq_error_t *err)
{
    *self = (llm_fields_t){.reader = reader, .object = object};
    llm_record_t *record = &self->record;
    self->keys = (llm_record_keys_t){
        .instruction = keys && keys->instruction ? keys->instruction : "instruction",
        .input = keys && keys->input ? keys->input : "input",
        .output = keys && keys->output ? keys->output : "output",
        .category = keys && keys->category ? keys->category : "category"};
    if (!llm_field_find(object, self->keys.instruction) &&
        !llm_field_find(object, self->keys.output))
        return refuse_strange(self, err);
    if (read_text(self, 0, self->keys.instruction, &record->instruction, err) < 0 ||
        read_text(self, 1, self->keys.input, &record->input, err) < 0 ||
        read_text(self, 2, self->keys.output, &record->output, err) < 0 ||
        read_text(self, 3, self->keys.category, &record->category, err) < 0)
        return -1;
    return 0;
}

void llm_fields_release(llm_fields_t *self)
{
    for (size_t i = 0; i < 4; i++)
        free(self->made[i]);
    *self = (llm_fields_t){0};
}

static char *trimmed(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    for (size_t size = strlen(text); size && (text[size - 1] == ' ' || text[size - 1] == '\t');)
        text[--size] = '\0';
    return text;
}

int llm_record_fields_parse(llm_record_fields_t *out, const char *text, fmq_error_t *err)
{
    struct {
        const char *name;
        const char **key;
    } names[] = {{"instruction", &out->keys.instruction},
                 {"input", &out->keys.input},
                 {"output", &out->keys.output},
                 {"category", &out->keys.category}};
    *out = (llm_record_fields_t){0};
    if (strlen(text) >= sizeof out->text)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "names of fields have more than %d bytes",
                             LLM_RECORD_FIELDS_MAX - 1);
    memcpy(out->text, text, strlen(text) + 1);
    for (char *at = out->text, *next; *trimmed(at); at = next) {
        next = at + strcspn(at, ",");
        if (*next)
            *next++ = '\0';
        char *equals = strchr(at, '=');
        if (equals)
            *equals = '\0';
        const char *name = trimmed(at), *key = equals ? trimmed(equals + 1) : "";
        size_t i = 0;
        while (i < 4 && strcmp(names[i].name, name) != 0)
            i++;
        if (i == 4 || !*key)
            return fmq_error_set(err, FMQ_ERR_CONFIG,
                                 "'%s%s%s' is no name of a field; write such as "
                                 "\"instruction=question.text, output=answers.0\"; fields are "
                                 "instruction, input, output, category",
                                 name, equals ? "=" : "", key);
        *names[i].key = key;
    }
    return 0;
}
