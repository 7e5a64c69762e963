/*
 * safetensors.c - fuzz target: the header of a safetensors file.
 */
#include <string.h>

#include "llm/hub/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    llm_safetensors_t file = {.path = strdup("fuzz")};
    fmq_error_t err;
    volatile uint8_t sum = 0;
    if (file.path && llm_safetensors_parse(&file, data, size, &err) == 0) {
        for (size_t i = 0; i < file.count; i++) {
            const llm_tensor_view_t *view = &file.tensors[i];
            const uint8_t *bytes = view->data;
            if (bytes < data || view->bytes > (size_t)(data + size - bytes))
                __builtin_trap();
            for (uint64_t b = 0; b < view->bytes; b++)
                sum = (uint8_t)(sum + bytes[b]);
        }
    }
    llm_safetensors_release(&file);
    return 0;
}
