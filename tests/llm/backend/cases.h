/*
 * cases.h - every op on odd shapes, as a trace of results that two backends
 * can be compared by.
 *
 * A case runs one family of ops on whatever backend it is given, through
 * alloc, upload and download only, and records each output.  Inputs depend on
 * nothing but the case, so traces of two backends, or of two numbers of
 * threads, are comparable entry by entry.
 */
#ifndef TESTS_BACKEND_CASES_H
#define TESTS_BACKEND_CASES_H

#include <stddef.h>

#include "fedmq/llm/backend.h"

typedef struct {
    char label[96];
    size_t count;
    float *data; /* owned */
} trace_entry_t;

typedef struct {
    llm_backend_t *be; /* borrowed */
    trace_entry_t *entries;
    size_t size;
} trace_t;

typedef struct {
    const char *name;
    void (*run)(trace_t *trace);
} case_t;

extern const case_t cases[];
extern const size_t cases_count;

/* Runs a case on be.  Release the trace with trace_release(). */
trace_t trace_of(const case_t *which, llm_backend_t *be);
void trace_release(trace_t *trace);

/* Records n floats of backend memory, or n activations as floats. */
void trace_add(trace_t *trace, const float *memory, size_t n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void trace_acts(trace_t *trace, const llm_act_t *memory, size_t n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Backend memory with n floats from a normal stream, with zeros, or with the
 * given integers; and with n activations. */
float *random_on(llm_backend_t *be, size_t n, uint64_t seed);
float *zeros_on(llm_backend_t *be, size_t n);
llm_act_t *acts_on(llm_backend_t *be, size_t n, uint64_t seed);
llm_act_t *zero_acts_on(llm_backend_t *be, size_t n);
int32_t *integers_on(llm_backend_t *be, const int32_t *values, size_t n);

/* Integers 0 .. below - 1, repeating in no simple order. */
int32_t *indices_on(llm_backend_t *be, size_t n, size_t below);

/* The families. */
void run_linear(trace_t *trace);
void run_linear_rows(trace_t *trace);
void run_matrix(trace_t *trace);
void run_quantized(trace_t *trace);
void run_forms(trace_t *trace);
void run_gemm(trace_t *trace);
void run_thin_gemm(trace_t *trace);
void run_dense(trace_t *trace);
void run_lora(trace_t *trace);
void run_attention(trace_t *trace);
void run_decode(trace_t *trace);
void run_norms(trace_t *trace);
void run_rows(trace_t *trace);
void run_elements(trace_t *trace);
void run_losses(trace_t *trace);
void run_divergence(trace_t *trace);
void run_cosine(trace_t *trace);
void run_optimizers(trace_t *trace);
void run_sums(trace_t *trace);

#endif
