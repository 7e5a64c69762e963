/*
 * standins.c - see jansson.h, sodium.h and cmocka.h beside it.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include "cmocka.h"
#include "jansson.h"
#include "sodium.h"

static json_t *value_new(json_type type)
{
    json_t *value = calloc(1, sizeof *value);
    if (value) {
        value->type = type;
        value->users = 1;
    }
    return value;
}

json_t *json_object(void)
{
    return value_new(JSON_OBJECT);
}

json_t *json_array(void)
{
    return value_new(JSON_ARRAY);
}

json_t *json_true(void)
{
    return value_new(JSON_TRUE);
}

json_t *json_false(void)
{
    return value_new(JSON_FALSE);
}

json_t *json_null(void)
{
    return value_new(JSON_NULL);
}

json_t *json_integer(json_int_t number)
{
    json_t *value = value_new(JSON_INTEGER);
    if (value)
        value->integer = number;
    return value;
}

json_t *json_real(double number)
{
    json_t *value = value_new(JSON_REAL);
    if (value)
        value->real = number;
    return value;
}

static char *copy_of(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

json_t *json_stringn(const char *text, size_t size)
{
    json_t *value = value_new(JSON_STRING);
    if (!value)
        return NULL;
    value->text = copy_of(text, size);
    value->size = size;
    if (!value->text) {
        free(value);
        return NULL;
    }
    return value;
}

json_t *json_stringn_nocheck(const char *text, size_t size)
{
    return json_stringn(text, size);
}

json_t *json_string(const char *text)
{
    return json_stringn(text, strlen(text));
}

json_t *json_incref(json_t *value)
{
    if (value)
        value->users++;
    return value;
}

void json_decref(json_t *value)
{
    if (!value || --value->users)
        return;
    for (size_t i = 0; value->items && i < value->size; i++) {
        json_decref(value->items[i]);
        if (value->keys)
            free(value->keys[i]);
    }
    free(value->items);
    free(value->keys);
    free(value->text);
    free(value);
}

size_t json_array_size(const json_t *array)
{
    return json_is_array(array) ? array->size : 0;
}

json_t *json_array_get(const json_t *array, size_t index)
{
    return index < json_array_size(array) ? array->items[index] : NULL;
}

/* Room for one more; keys too where `keyed`. */
static int grow(json_t *value, bool keyed)
{
    if (value->size < value->capacity)
        return 0;
    size_t capacity = value->capacity ? 2 * value->capacity : 8;
    json_t **items = realloc(value->items, capacity * sizeof *items);
    if (!items)
        return -1;
    value->items = items;
    if (keyed) {
        char **keys = realloc(value->keys, capacity * sizeof *keys);
        if (!keys)
            return -1;
        value->keys = keys;
    }
    value->capacity = capacity;
    return 0;
}

int json_array_append_new(json_t *array, json_t *value)
{
    if (!json_is_array(array) || !value || grow(array, false) < 0) {
        json_decref(value);
        return -1;
    }
    array->items[array->size++] = value;
    return 0;
}

size_t json_object_size(const json_t *object)
{
    return json_is_object(object) ? object->size : 0;
}

json_t *json_object_getn(const json_t *object, const char *key, size_t size)
{
    for (size_t i = 0; i < json_object_size(object); i++)
        if (strlen(object->keys[i]) == size && memcmp(object->keys[i], key, size) == 0)
            return object->items[i];
    return NULL;
}

json_t *json_object_get(const json_t *object, const char *key)
{
    return json_object_getn(object, key, strlen(key));
}

int json_object_setn_new(json_t *object, const char *key, size_t size, json_t *value)
{
    for (size_t i = 0; value && i < json_object_size(object); i++)
        if (strlen(object->keys[i]) == size && memcmp(object->keys[i], key, size) == 0) {
            json_decref(object->items[i]);
            object->items[i] = value;
            return 0;
        }
    char *copy = copy_of(key, size);
    if (!json_is_object(object) || !value || !copy || grow(object, true) < 0) {
        json_decref(value);
        free(copy);
        return -1;
    }
    object->keys[object->size] = copy;
    object->items[object->size++] = value;
    return 0;
}

int json_object_set_new(json_t *object, const char *key, json_t *value)
{
    return json_object_setn_new(object, key, strlen(key), value);
}

int json_object_update(json_t *object, json_t *other)
{
    for (size_t i = 0; i < json_object_size(other); i++)
        if (json_object_set_new(object, other->keys[i], json_incref(other->items[i])) < 0)
            return -1;
    return 0;
}

const char *json_string_value(const json_t *value)
{
    return json_is_string(value) ? value->text : NULL;
}

size_t json_string_length(const json_t *value)
{
    return json_is_string(value) ? value->size : 0;
}

json_int_t json_integer_value(const json_t *value)
{
    return json_is_integer(value) ? value->integer : 0;
}

double json_real_value(const json_t *value)
{
    return json_is_real(value) ? value->real : 0.0;
}

double json_number_value(const json_t *value)
{
    return json_is_integer(value) ? (double)value->integer : json_real_value(value);
}

/* One value of json_pack()'s format: s o I i b f {} []. */
static json_t *packed(const char **at, va_list *arguments)
{
    while (**at == ' ')
        (*at)++;
    char what = *(*at)++;
    json_t *value = what == '{' ? json_object() : what == '[' ? json_array() : NULL;
    switch (what) {
    case 's':
        return json_string(va_arg(*arguments, const char *));
    case 'o':
        return va_arg(*arguments, json_t *);
    case 'I':
        return json_integer(va_arg(*arguments, json_int_t));
    case 'i':
        return json_integer(va_arg(*arguments, int));
    case 'b':
        return json_boolean(va_arg(*arguments, int));
    case 'f':
        return json_real(va_arg(*arguments, double));
    default:
        break;
    }
    while (value && **at && **at != '}' && **at != ']') {
        if (what == '[') {
            (void)json_array_append_new(value, packed(at, arguments));
        } else {
            (*at)++; /* the key's s */
            const char *key = va_arg(*arguments, const char *);
            (void)json_object_set_new(value, key, packed(at, arguments));
        }
        while (**at == ' ')
            (*at)++;
    }
    (*at)++;
    return value;
}

json_t *json_pack(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    json_t *value = packed(&format, &arguments);
    va_end(arguments);
    return value;
}

static void write_text(const char *text, size_t size, FILE *stream)
{
    (void)fputc('"', stream);
    for (size_t i = 0; i < size; i++)
        if (text[i] == '"' || text[i] == '\\')
            (void)fprintf(stream, "\\%c", text[i]);
        else if ((unsigned char)text[i] < 0x20)
            (void)fprintf(stream, "\\u%04x", (unsigned)text[i]);
        else
            (void)fputc(text[i], stream);
    (void)fputc('"', stream);
}

static void write_value(const json_t *value, FILE *stream)
{
    static const char *const words[] = {
        [JSON_TRUE] = "true", [JSON_FALSE] = "false", [JSON_NULL] = "null"};
    char number[64];
    switch (value->type) {
    case JSON_STRING:
        write_text(value->text, value->size, stream);
        return;
    case JSON_INTEGER:
        (void)fprintf(stream, "%lld", value->integer);
        return;
    case JSON_REAL:
        (void)snprintf(number, sizeof number, "%.17g", value->real);
        (void)fprintf(stream, strpbrk(number, ".e") ? "%s" : "%s.0", number);
        return;
    case JSON_OBJECT:
    case JSON_ARRAY:
        (void)fputc(value->type == JSON_OBJECT ? '{' : '[', stream);
        for (size_t i = 0; i < value->size; i++) {
            if (i)
                (void)fputc(',', stream);
            if (value->keys) {
                write_text(value->keys[i], strlen(value->keys[i]), stream);
                (void)fputc(':', stream);
            }
            write_value(value->items[i], stream);
        }
        (void)fputc(value->type == JSON_OBJECT ? '}' : ']', stream);
        return;
    default:
        (void)fputs(words[value->type], stream);
    }
}

int json_dumpf(const json_t *value, FILE *stream, size_t flags)
{
    (void)flags;
    if (!value)
        return -1;
    write_value(value, stream);
    return ferror(stream) ? -1 : 0;
}

char *json_dumps(const json_t *value, size_t flags)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int status = stream ? json_dumpf(value, stream, flags) : -1;
    if (stream && fclose(stream) != 0)
        status = -1;
    if (status < 0) {
        free(text);
        return NULL;
    }
    return text;
}

int sodium_init(void)
{
    return 0;
}

void randombytes_buf(void *to, size_t size)
{
    memset(to, 7, size);
}

/* FNV-1a. */
static uint64_t mixed(uint64_t hash, const unsigned char *in, unsigned long long size)
{
    for (unsigned long long i = 0; i < size; i++)
        hash = (hash ^ in[i]) * 0x100000001b3u;
    return hash;
}

int crypto_shorthash(unsigned char *out, const unsigned char *in, unsigned long long size,
                     const unsigned char *key)
{
    (void)key;
    uint64_t hash = mixed(0xcbf29ce484222325u, in, size);
    memcpy(out, &hash, sizeof hash);
    return 0;
}

int crypto_generichash_init(crypto_generichash_state *state, const unsigned char *key,
                            size_t key_size, size_t size)
{
    (void)key;
    (void)key_size;
    for (uint64_t i = 0; i < 4; i++)
        state->words[i] = 0xcbf29ce484222325u + i * 0x9e3779b97f4a7c15u + size;
    return 0;
}

int crypto_generichash_update(crypto_generichash_state *state, const unsigned char *in,
                              unsigned long long size)
{
    state->words[0] = mixed(state->words[0], in, size);
    for (int i = 1; i < 4; i++)
        state->words[i] = mixed(state->words[i], (const unsigned char *)state->words, 8);
    return 0;
}

int crypto_generichash_final(crypto_generichash_state *state, unsigned char *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = ((const unsigned char *)state->words)[i % sizeof state->words];
    return 0;
}

static const char *filter; /* one program, one thread */

void cmocka_set_test_filter(const char *pattern)
{
    filter = pattern;
}

int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown)
{
    void *state = NULL;
    size_t ran = 0;
    if (setup && setup(&state))
        return 1;
    for (size_t i = 0; i < count; i++) {
        void *own = tests[i].initial_state ? tests[i].initial_state : state;
        if (filter && strncmp(tests[i].name, filter, strcspn(filter, "*")) != 0)
            continue;
        printf("%s\n", tests[i].name);
        fflush(stdout);
        if (tests[i].setup_func && tests[i].setup_func(&own))
            return 1;
        tests[i].test_func(&own);
        if (tests[i].teardown_func)
            (void)tests[i].teardown_func(&own);
        ran++;
    }
    if (teardown)
        (void)teardown(&state);
    printf("%s: %zu tests passed\n", group, ran);
    return ran ? 0 : 1;
}
