/*
 * yaml.c - fuzz target: the configuration of a run.  What is read without a
 * mistake must be read again from what it is written as.
 */
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fmq_error_t err;
    fmq_config_t *config = fmq_config_new(), *again = fmq_config_new();
    if (!config || !again)
        __builtin_trap();
    int result = fmq_config_parse(config, "fuzz", (const char *)data, size, &err);
    (void)fmq_config_check(config, NULL, NULL, NULL);
    char *text = fmq_config_dump(config, true, &err);
    if (!text || (result == 0 && fmq_config_parse(again, "dump", text, strlen(text), &err) < 0))
        __builtin_trap();
    free(text);
    fmq_config_destroy(&config);
    fmq_config_destroy(&again);
    return 0;
}
