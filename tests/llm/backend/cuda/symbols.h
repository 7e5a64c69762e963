/*
 * symbols.h - a module shows its one function and nothing else.  For files that
 * include cmocka.h.
 */
#ifndef TESTS_BACKEND_CUDA_SYMBOLS_H
#define TESTS_BACKEND_CUDA_SYMBOLS_H

#include <stdio.h>
#include <string.h>

#include "llm/backend/cuda/module.h"

static inline void expect_one_symbol(const char *module)
{
    char line[512];
    size_t count = 0;
    (void)snprintf(line, sizeof line, "nm -D --defined-only %s", module);
    FILE *names = popen(line, "r");
    assert_non_null(names);
    while (fgets(line, sizeof line, names)) {
        count++;
        if (!strstr(line, " T " LLM_CUDA_ENTRY))
            fail_msg("it shows %s", line);
    }
    assert_int_equal(pclose(names), 0);
    assert_int_equal(count, 1);
}

#endif
