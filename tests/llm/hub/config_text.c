/*
 * config_text.c - see config_text.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/llm/hub/config_text.h"

int config_text_set_up(void **state)
{
    static scratch_t scratch;
    scratch_init(&scratch);
    *state = &scratch;
    return 0;
}

int config_text_tear_down(void **state)
{
    scratch_release(*state);
    return 0;
}

int config_text_load(void **state, const char *text, llm_shape_t *shape, fmq_error_t *err)
{
    return llm_shape_load(shape, scratch_text(*state, "config.json", text), err);
}

void config_text_load_well(void **state, const char *text, llm_shape_t *shape)
{
    fmq_error_t err = {0};
    if (config_text_load(state, text, shape, &err) < 0)
        fail_msg("%s", err.text);
}

void config_text_replace(char *out, size_t size, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    (void)snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}
