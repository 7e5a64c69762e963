/*
 * jansson.h - the part of Jansson's interface that the engine uses, for machines
 * that lack the library: values in lists, written without layout.
 * scripts/device-check builds with it; nothing else does.
 */
#ifndef STANDIN_JANSSON_H
#define STANDIN_JANSSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef long long json_int_t;
#define JSON_INTEGER_FORMAT "lld"
typedef enum {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_INTEGER,
    JSON_REAL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
} json_type;

typedef struct json_t json_t;
struct json_t {
    json_type type;
    size_t users, size, capacity; /* of members, or bytes of a string */
    char *text;                   /* owned: a string */
    char **keys;                  /* owned: of an object */
    json_t **items;               /* owned: of an object or an array */
    json_int_t integer;
    double real;
};

#define json_typeof(v)     ((v)->type)
#define json_is_object(v)  ((v) && (v)->type == JSON_OBJECT)
#define json_is_array(v)   ((v) && (v)->type == JSON_ARRAY)
#define json_is_string(v)  ((v) && (v)->type == JSON_STRING)
#define json_is_integer(v) ((v) && (v)->type == JSON_INTEGER)
#define json_is_real(v)    ((v) && (v)->type == JSON_REAL)
#define json_is_number(v)  (json_is_integer(v) || json_is_real(v))
#define json_is_true(v)    ((v) && (v)->type == JSON_TRUE)
#define json_is_false(v)   ((v) && (v)->type == JSON_FALSE)
#define json_is_boolean(v) (json_is_true(v) || json_is_false(v))
#define json_is_null(v)    ((v) && (v)->type == JSON_NULL)
#define json_boolean_value json_is_true
#define json_boolean(v)    ((v) ? json_true() : json_false())

json_t *json_object(void);
json_t *json_array(void);
json_t *json_true(void);
json_t *json_false(void);
json_t *json_null(void);
json_t *json_integer(json_int_t value);
json_t *json_real(double value);
json_t *json_string(const char *text);
json_t *json_stringn(const char *text, size_t size);
json_t *json_stringn_nocheck(const char *text, size_t size);
json_t *json_incref(json_t *value);
void json_decref(json_t *value);

size_t json_array_size(const json_t *array);
json_t *json_array_get(const json_t *array, size_t index);
int json_array_append_new(json_t *array, json_t *value);
size_t json_object_size(const json_t *object);
json_t *json_object_get(const json_t *object, const char *key);
json_t *json_object_getn(const json_t *object, const char *key, size_t size);
int json_object_set_new(json_t *object, const char *key, json_t *value);
int json_object_setn_new(json_t *object, const char *key, size_t size, json_t *value);
int json_object_update(json_t *object, json_t *other);
const char *json_string_value(const json_t *value);
size_t json_string_length(const json_t *value);
json_int_t json_integer_value(const json_t *value);
double json_real_value(const json_t *value);
double json_number_value(const json_t *value);

#define json_object_foreach(object, key, value)                                                    \
    for (size_t at_ = 0; at_ < json_object_size(object) && ((key) = (object)->keys[at_], 1) &&     \
                         ((value) = (object)->items[at_], 1);                                      \
         at_++)
#define json_object_keylen_foreach(object, key, size_, value)                                      \
    for (size_t at_ = 0; at_ < json_object_size(object) && ((key) = (object)->keys[at_], 1) &&     \
                         ((size_) = strlen(key), 1) && ((value) = (object)->items[at_], 1);        \
         at_++)

/* Writing knows one layout: none. */
#define JSON_INDENT(n)         0
#define JSON_COMPACT           0
#define JSON_ENCODE_ANY        0
#define JSON_ENSURE_ASCII      0
#define JSON_PRESERVE_ORDER    0
#define JSON_REAL_PRECISION(n) 0
#define JSON_SORT_KEYS         0
json_t *json_pack(const char *format, ...);
char *json_dumps(const json_t *value, size_t flags);
int json_dumpf(const json_t *value, FILE *stream, size_t flags);

#endif
