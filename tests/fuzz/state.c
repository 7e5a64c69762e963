/*
 * state.c - fuzz target: a chunk of a tensor state.  What is refused for its
 * format leaves the output as it was; what is accepted is finite.
 */
#include <math.h>
#include <string.h>

#include "fedmq/broker/state.h"
#include "tests/fuzz/fuzz.h"

#define ELEMENTS 12
#define BEFORE   123.5f

static fmq_schema_t *make_schema(void)
{
    static const uint64_t matrix[] = {2, 4}, bias[] = {3}, scale[] = {1};
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    if (!schema || fmq_schema_add(schema, "matrix", 2, matrix, NULL) < 0 ||
        fmq_schema_add(schema, "bias", 1, bias, NULL) < 0 ||
        fmq_schema_add(schema, "scale", 1, scale, NULL) < 0 ||
        fmq_schema_elements(schema) != ELEMENTS)
        __builtin_trap();
    return schema;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    float out[ELEMENTS];
    fmq_error_t err;
    fmq_schema_t *schema = make_schema();
    for (int i = 0; i < ELEMENTS; i++)
        out[i] = BEFORE;
    int result = fmq_state_decode(schema, 0, data, size, out, &err);
    for (int i = 0; i < ELEMENTS; i++)
        if ((result == 0 && !isfinite(out[i])) ||
            (result < 0 && err.code == FMQ_ERR_FORMAT && out[i] != BEFORE))
            __builtin_trap();
    fmq_schema_destroy(&schema);
    return 0;
}
