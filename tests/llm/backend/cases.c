/*
 * cases.c - the list of cases, and traces.
 */
#include "cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gradcheck.h"

const case_t cases[] = {
    {"linear", run_linear},
    {"rows of linear", run_linear_rows},
    {"stored matrices", run_matrix},
    {"quantized matrices", run_quantized},
    {"forms of matrices", run_forms},
    {"gemm", run_gemm},
    {"thin gemm", run_thin_gemm},
    {"dense weights", run_dense},
    {"lora", run_lora},
    {"attention", run_attention},
    {"decoding", run_decode},
    {"norms", run_norms},
    {"rows", run_rows},
    {"elements", run_elements},
    {"losses", run_losses},
    {"divergence", run_divergence},
    {"cosine", run_cosine},
    {"optimizers", run_optimizers},
    {"sums", run_sums},
};
const size_t cases_count = sizeof cases / sizeof cases[0];

static trace_entry_t *entry_new(trace_t *trace, size_t n, const char *format, va_list args)
{
    trace->entries = realloc(trace->entries, (trace->size + 1) * sizeof *trace->entries);
    assert_non_null(trace->entries);
    trace_entry_t *entry = &trace->entries[trace->size++];
    vsnprintf(entry->label, sizeof entry->label, format, args);
    entry->count = n;
    entry->data = malloc(n * sizeof(float) + 1);
    assert_non_null(entry->data);
    return entry;
}

void trace_add(trace_t *trace, const float *memory, size_t n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    trace_entry_t *entry = entry_new(trace, n, format, args);
    va_end(args);
    trace->be->ops->download(trace->be, entry->data, memory, n * sizeof(float));
}

void trace_acts(trace_t *trace, const llm_act_t *memory, size_t n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    trace_entry_t *entry = entry_new(trace, n, format, args);
    va_end(args);
    llm_act_download(trace->be, entry->data, memory, n);
}

trace_t trace_of(const case_t *which, llm_backend_t *be)
{
    trace_t trace = {.be = be};
    which->run(&trace);
    assert_true(trace.size > 0);
    return trace;
}

void trace_release(trace_t *trace)
{
    for (size_t i = 0; i < trace->size; i++)
        free(trace->entries[i].data);
    free(trace->entries);
    *trace = (trace_t){0};
}

float *random_on(llm_backend_t *be, size_t n, uint64_t seed)
{
    float *host = malloc(n * sizeof(float) + 1);
    float *memory = be->ops->alloc(be, n * sizeof(float));
    assert_non_null(host);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 64, 0);
    random_floats(host, n, seed);
    be->ops->upload(be, memory, host, n * sizeof(float));
    free(host);
    return memory;
}

float *zeros_on(llm_backend_t *be, size_t n)
{
    float *memory = be->ops->alloc(be, n * sizeof(float));
    assert_non_null(memory);
    be->ops->zero(be, memory, n * sizeof(float));
    return memory;
}

llm_act_t *acts_on(llm_backend_t *be, size_t n, uint64_t seed)
{
    float *host = malloc(n * sizeof(float) + 1);
    llm_act_t *memory = be->ops->alloc(be, llm_act_bytes(be, n));
    assert_non_null(host);
    assert_non_null(memory);
    random_floats(host, n, seed);
    llm_act_upload(be, memory, host, n);
    free(host);
    return memory;
}

llm_act_t *zero_acts_on(llm_backend_t *be, size_t n)
{
    llm_act_t *memory = be->ops->alloc(be, llm_act_bytes(be, n));
    assert_non_null(memory);
    be->ops->zero(be, memory, llm_act_bytes(be, n));
    return memory;
}

int32_t *integers_on(llm_backend_t *be, const int32_t *values, size_t n)
{
    int32_t *memory = be->ops->alloc(be, n * sizeof(int32_t));
    assert_non_null(memory);
    be->ops->upload(be, memory, values, n * sizeof(int32_t));
    return memory;
}

int32_t *indices_on(llm_backend_t *be, size_t n, size_t below)
{
    int32_t *host = malloc(n * sizeof(int32_t) + 1);
    assert_non_null(host);
    for (size_t i = 0; i < n; i++)
        host[i] = (int32_t)((i * i * 7 + 3 * i + 1) % below);
    int32_t *memory = integers_on(be, host, n);
    free(host);
    return memory;
}
