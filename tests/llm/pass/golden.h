/*
 * golden.h - a directory of golden values, read and compared with.
 *
 * A directory holds a model in HF's layout, an adapter as PEFT saved it, and
 * golden.safetensors: what scripts/goldens computed with them.
 */
#ifndef FEDMQ_TESTS_LLM_PASS_GOLDEN_H
#define FEDMQ_TESTS_LLM_PASS_GOLDEN_H

#include "tests/llm/pass/tiny.h"

/* By how much we may differ: single values by a share of the largest, and the
 * gradient as a whole by its direction.  In bf16 models as small as these end as
 * far from fp32 on the CPU: 0.9915 is the least of its cosines, 0.07 the most of
 * its logits' shares. */
typedef struct {
    double logits, loss, gradient, cosine;
} golden_tolerance_t;

extern const golden_tolerance_t golden_exact, golden_rounded;

/* One case of the goldens, and what we compute with it. */
typedef struct {
    char directory[512];
    llm_weights_t *golden;
    size_t sequences, tokens;
    uint32_t *starts;
    int32_t *ids, *rows, *targets, *all_rows;
    llm_batch_t batch;
    tiny_t tiny;
    golden_tolerance_t tolerance;
} golden_t;

/* Opens the case below root, with its adapter or (full) with all that it has
 * trained; takes be. */
void golden_open(golden_t *self, const char *root, const char *name, bool full, llm_backend_t *be);
void golden_close(golden_t *self);

/* A tensor of the golden file, which has to be there; the caller's to free. */
float *golden_read(const golden_t *self, const char *name, uint64_t *count);
bool golden_has(const golden_t *self, const char *name);

/* Fails the test with err's text. */
void golden_check(bool ok, const fmq_error_t *err);

/* Fails the test where the two differ by more than tolerance of the largest, or
 * of `least` where all are smaller: the bias of keys that no position turns has
 * a gradient of zero, which nobody computes exactly. */
void golden_compare(const char *name, const float *ours, const float *theirs, uint64_t count,
                    double tolerance, double least);

/* Loss, logits and every gradient of one case. */
void golden_check_case(const char *root, const char *name, bool full,
                       const golden_tolerance_t *tolerance, llm_backend_t *be);

#endif
