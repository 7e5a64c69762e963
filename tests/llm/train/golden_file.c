/*
 * golden_file.c - reads golden values.
 */
#include "tests/llm/train/golden_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

json_t *golden_open(const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/tests/llm/train/goldens/%s", FEDMQ_SOURCE_DIR, name);
    json_error_t broken;
    json_t *golden = json_load_file(path, 0, &broken);
    if (!golden)
        fail_msg("cannot read %s: %s", path, broken.text);
    return golden;
}

double golden_number(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return otherwise;
    assert_true(json_is_number(value));
    return json_number_value(value);
}

void golden_numbers(const json_t *list, double *out, size_t count)
{
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        assert_true(json_is_number(value));
        out[i] = json_number_value(value);
    }
}
