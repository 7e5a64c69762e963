/*
 * subject.h - what a benchmark measures: a backend and a model, in the form
 * that the arguments ask for.
 */
#ifndef FEDMQ_TESTS_BENCH_SUBJECT_H
#define FEDMQ_TESTS_BENCH_SUBJECT_H

#include "fedmq/llm/model.h"
#include "fedmq/llm/workspace.h"
#include "tests/bench/flags.h"

typedef struct {
    const char *shape;   /* a name of shapes.h; its weights are random */
    const char *weights; /* what they are kept as: "f32", "nf4", ...; NULL: the backend's own */
    bool half;           /* activations in bf16 */
    const char *device;  /* NULL: the CPU, in the type that `half` says */
    const char *model;   /* NULL, or a model's directory, which takes the shape's place */
    int threads;
    int layers; /* 0: as many as the shape has; else the first ones, of random weights */
} subject_options_t;

typedef struct {
    llm_backend_t *be;
    llm_model_t *model;
    size_t free_before; /* bytes of the device's memory that were free; SIZE_MAX: not known */
} subject_t;

#define SUBJECT_FLAGS 7 /* how many subject_flags() writes */

/* The arguments "--shape", "--model", "--weights", "--half", "--threads",
 * "--layers" and "--device" over options, which hold the defaults. */
void subject_flags(subject_options_t *options, bench_flag_t flags[SUBJECT_FLAGS]);

/* Sequences of the same length, every token supervised. */
typedef struct {
    uint32_t *starts;
    int32_t *ids, *rows;
    llm_batch_t batch; /* of these */
} subject_batch_t;

void subject_batch_init(subject_batch_t *self, size_t sequences, size_t tokens, uint32_t vocab);
void subject_batch_release(subject_batch_t *self);

/* Opens both, or says what failed and exits. */
void subject_open(subject_t *self, const subject_options_t *options);
void subject_close(subject_t *self);

/* "llama-1.1b, 22 layers, weights nf4, bf16, avx512, 2 threads": what was opened. */
void subject_print(const subject_t *self, const subject_options_t *options);

/* What products can reach at most on these threads, GFLOP/s: of pairs of bf16
 * values, or of fused multiply-adds; 0 where that is not known, as on devices. */
double subject_peak(const subject_t *self, const subject_options_t *options);

/* VmHWM of this process in MiB. */
double subject_peak_memory(void);

/* Says on stderr that a step failed, and exits. */
void subject_die(const char *what, const fmq_error_t *err);

#endif
