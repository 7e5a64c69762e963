/*
 * check.h - one kernel against the reference: what it is given, what it must
 * answer, and what it must not touch.
 *
 * A check makes its arrays, runs the kernel as often as runs() says so, and
 * compares:
 *
 *     for (runs(check); next_run(check);)
 *         llm_cuda_add(&check->queue, y->device, x->device, n);
 *     expect(check, y, want, tolerance, "add");
 *
 * Before each run every array is uploaded again, answers hold NaN, and guard
 * bands lie before and behind; after it the guards and what is only read must
 * be as they were, and all runs must agree to the byte (emulated: in several
 * orders of blocks, warps and lanes).  The same program runs on a device and
 * on the emulation.  Floats for the reference are void *, whatever type its
 * table has for activations.
 */
#ifndef TESTS_BACKEND_CUDA_CHECK_H
#define TESTS_BACKEND_CUDA_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fedmq/llm/backend.h"
#include "llm/backend/cuda/kernels.h"

/* Normalised mean square errors that a kernel may have (a rounded bf16 alone
 * has 1e-6). */
#define EXACTLY              0.0
#define CLOSE(check)         ((check)->queue.bf16 ? 1e-5 : 1e-10)
#define CLOSE_SOFTMAX(check) ((check)->queue.bf16 ? 1e-4 : 1e-10)

/* How many of the cases to try. */
#define FEW(check, array) ((check)->small ? 3 : sizeof(array) / sizeof(array)[0])

typedef enum { ACT, F32, F64, I32, BYTES, BF16 } kind_t;

typedef struct {
    kind_t kind;
    size_t count, element, bytes;
    bool written;
    void *device; /* where element 0 lies */
    void *floats; /* owned: the first values as floats, rounded as the device has them */
    void *answer; /* owned: the values after the last run, as floats or integers */
    uint8_t *block, *before, *after; /* owned: host images of memory with guards */
    void *memory;                    /* owned, device */
} array_t;

#define ARRAYS_MAX 32

typedef struct {
    llm_cuda_queue_t queue;
    llm_backend_t *reference;    /* borrowed */
    size_t shift;                /* elements that arrays lie off an aligned address */
    bool small;                  /* a few cases of each kernel only */
    unsigned run, orders;        /* emulated: in how many orders */
    array_t *arrays[ARRAYS_MAX]; /* owned */
    size_t size;
    const char *family;
    size_t compared, failed;
    double worst; /* the largest error over its tolerance */
} check_t;

void check_init(check_t *self, llm_backend_t *reference, bool bf16, unsigned orders);
/* Releases the arrays: at the end of every case. */
void check_clear(check_t *self);

/* Arrays that a kernel reads: from a normal stream, or given. */
array_t *reads(check_t *self, kind_t kind, size_t count, uint64_t seed);
array_t *reads_values(check_t *self, kind_t kind, size_t count, const void *values);
/* That it changes, and that it writes (poisoned). */
array_t *changes(check_t *self, kind_t kind, size_t count, uint64_t seed);
array_t *writes(check_t *self, kind_t kind, size_t count);
array_t *zeroed(check_t *self, kind_t kind, size_t count);

void runs(check_t *self);
bool next_run(check_t *self);

/* Floats for the reference: a copy of an array's first values, or room. */
void *copy_of(const array_t *array);
void *room(size_t count);

/* The answer's normalised mean square error against want is at most tolerance;
 * EXACTLY: it is want, rounded to the array's kind, to the bit.  Frees want. */
void expect(check_t *self, array_t *array, void *want, double tolerance, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Integers. */
void expect_integers(check_t *self, array_t *array, const int32_t *want, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A mistake that no comparison found. */
void mistake(check_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* value as an activation holds it. */
float rounded(const check_t *self, float value);

/* A stream of dropout, for kernels, and its mask as the CPU draws it (owned by the caller). */
llm_cuda_dropout_t dropout_stream(float p, uint64_t seed);
uint8_t *dropout_bits(size_t M, size_t in, float p, uint64_t seed);

/* A weight of codes and scales that a stream draws: its memory goes into weight,
 * whose rows, columns, group and form are given.  What it stands for,
 * [rows][columns] (owned by the caller). */
float *reads_codes(check_t *check, llm_cuda_quantized_t *weight, uint64_t seed);

typedef struct {
    const char *name;
    void (*run)(check_t *check);
} family_t;

void check_elements(check_t *check);
void check_dropout(check_t *check);
void check_rows(check_t *check);
void check_norms(check_t *check);
void check_columns(check_t *check);
void check_losses(check_t *check);
void check_vectors(check_t *check);
void check_attention(check_t *check);
void check_lora(check_t *check);
void check_decode(check_t *check);
void check_quantized(check_t *check);
void check_few(check_t *check);
void check_products(check_t *check);

#endif
