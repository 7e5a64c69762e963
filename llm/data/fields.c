/*
 * fields.c - finds a record's texts in a JSON object by keys or dotted paths.
 */
#include "llm/data/fields.h"

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

/* The text at key; made[slot] holds it where it had to be written. */
static int read_text(llm_fields_t *self, size_t slot, const char *key, const char **text,
                     fmq_error_t *err)
{
    const json_t *value = llm_field_find(self->object, key);
    if (!value) {
        *text = "";
        return 0;
    }
    if (json_is_string(value)) {
        *text = json_string_value(value);
        return 0;
    }
    if (json_is_object(value) || json_is_array(value))
        return llm_reader_complain(
            self->reader, err,
            "'%s' is %s, expected a text; a dotted key such as '%s.%s' reaches inside", key,
            json_is_object(value) ? "an object" : "a list", key,
            json_is_object(value) ? "name" : "0");
    self->made[slot] = json_dumps(value, JSON_ENCODE_ANY);
    if (!self->made[slot])
        return fmq_error_set(err, FMQ_ERR_NOMEM, "cannot read a record: out of memory");
    *text = self->made[slot];
    return 0;
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

int llm_fields_read(llm_fields_t *self, const llm_reader_t *reader, const json_t *object,
                    const llm_record_keys_t *keys, fmq_error_t *err)
{
    *self = (llm_fields_t){.reader = reader, .object = object};
    llm_record_t *record = &self->record;
    const char *instruction = keys && keys->instruction ? keys->instruction : "instruction";
    const char *input = keys && keys->input ? keys->input : "input";
    const char *output = keys && keys->output ? keys->output : "output";
    const char *category = keys && keys->category ? keys->category : "category";
    if (!llm_field_find(object, instruction) && !llm_field_find(object, output)) {
        char found[LLM_KEYS_TEXT_BYTES];
        llm_fields_list(object, found);
        return llm_reader_complain(reader, err,
                                   "a record has neither '%s' nor '%s'; its keys are: %s",
                                   instruction, output, *found ? found : "(none)");
    }
    if (read_text(self, 0, instruction, &record->instruction, err) < 0 ||
        read_text(self, 1, input, &record->input, err) < 0 ||
        read_text(self, 2, output, &record->output, err) < 0 ||
        read_text(self, 3, category, &record->category, err) < 0)
        return -1;
    return 0;
}

void llm_fields_release(llm_fields_t *self)
{
    for (size_t i = 0; i < 4; i++)
        free(self->made[i]);
    *self = (llm_fields_t){0};
}
