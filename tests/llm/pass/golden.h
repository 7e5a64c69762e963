/*
 * golden.h - a directory of golden values, read and compared with.
 *
 * A directory holds golden.safetensors, what scripts/goldens computed: with a model
 * in HF's layout and an adapter as PEFT saved it, which lie there too or elsewhere.
 */
#ifndef FEDMQ_TESTS_LLM_PASS_GOLDEN_H
#define FEDMQ_TESTS_LLM_PASS_GOLDEN_H

#include "tests/llm/pass/tiny.h"

/* By how much we may differ: single values by a share of the largest, and the
 * gradient as a whole by its direction.  In bf16 models as small as these end as
 * far from fp32 on the CPU: 0.9915 is the least of its cosines, 0.07 the most of
 * its logits' shares.  least: gradients of a tensor below that share of the model's
 * largest count as it (golden_compare()). */
typedef struct {
    double logits, loss, gradient, cosine, least;
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
/* The same in two steps, for who has a model elsewhere or makes a vector of its own:
 * the directory with its batch; the model of another one (takes be), an adapter over
 * it, and a workspace.  The vector is zeros, which the workspace does not have yet. */
void golden_begin(golden_t *self, const char *root, const char *name);
void golden_open_model(golden_t *self, const char *directory, const llm_adapter_spec_t *spec,
                       llm_backend_t *be);
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

/* Loss, logits and every gradient of an open case, whose values are called
 * "<prefix>loss" and so on, within self->tolerance. */
void golden_check_values(golden_t *self, const char *prefix);
void golden_check_logits(golden_t *self, const char *prefix); /* these alone */
/* The same of one case, opened and closed. */
void golden_check_case(const char *root, const char *name, bool full,
                       const golden_tolerance_t *tolerance, llm_backend_t *be);

/* "cuda" with ":bf16", opened. */
llm_backend_t *golden_device(const char *device, const char *type);

/* Where adapters are saved to: FEDMQ_SAVE_ADAPTERS, to be kept, or a new directory. */
typedef struct {
    char directory[512], path[1024]; /* path: of the adapter saved last */
    bool kept;
} golden_shelf_t;
void golden_shelf_open(golden_shelf_t *self);
/* Saves the case's vector under name in self->path, as an adapter of base. */
void golden_shelf_save(golden_shelf_t *self, const golden_t *golden, const char *name,
                       const char *base);
/* Removes the adapter saved last, unless it is to be kept: nothing else may lie there. */
void golden_shelf_clear(const golden_shelf_t *self);
void golden_shelf_close(const golden_shelf_t *self);

#endif
