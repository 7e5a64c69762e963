/*
 * golden.c - see golden.h.
 */
#include "tests/llm/pass/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED (-100)

const golden_tolerance_t golden_exact = {1e-4, 1e-4, 1e-4, 1 - 1e-7},
                         golden_rounded = {1e-1, 5e-3, 1, 0.985};

float *golden_read(const golden_t *self, const char *name, uint64_t *count)
{
    fmq_error_t err;
    const llm_tensor_view_t *view = llm_weights_find(self->golden, name);
    if (!view)
        fail_msg("the golden file has no '%s'", name);
    uint64_t size = 1;
    for (uint32_t i = 0; i < view->rank; i++)
        size *= view->shape[i];
    float *out = malloc(size * sizeof *out);
    assert_int_equal(llm_weights_read(self->golden, name, view->rank, view->shape, out, &err), 0);
    if (count)
        *count = size;
    return out;
}

bool golden_has(const golden_t *self, const char *name)
{
    return llm_weights_find(self->golden, name) != NULL;
}

/* Labels as HF has them: label t is predicted by row t - 1 of its sequence. */
static void supervise(golden_t *self, const float *labels)
{
    for (size_t s = 0; s < self->sequences; s++) {
        for (uint32_t t = self->starts[s] + 1; t < self->starts[s + 1]; t++) {
            if (labels[t] == (float)IGNORED)
                continue;
            self->rows[self->batch.supervised] = (int32_t)t - 1;
            self->targets[self->batch.supervised++] = (int32_t)labels[t];
        }
    }
}

static void read_batch(golden_t *self)
{
    uint64_t tokens = 0, sequences = 0;
    float *ids = golden_read(self, "ids", &tokens);
    float *labels = golden_read(self, "labels", NULL);
    float *lengths = golden_read(self, "lengths", &sequences);
    self->tokens = tokens;
    self->sequences = sequences;
    self->starts = calloc(sequences + 1, sizeof *self->starts);
    self->ids = calloc(4 * tokens, sizeof *self->ids);
    self->rows = self->ids + tokens;
    self->targets = self->rows + tokens;
    self->all_rows = self->targets + tokens;
    for (size_t s = 0; s < sequences; s++)
        self->starts[s + 1] = self->starts[s] + (uint32_t)lengths[s];
    for (size_t t = 0; t < tokens; t++) {
        self->ids[t] = (int32_t)ids[t];
        self->all_rows[t] = (int32_t)t;
    }
    self->batch = (llm_batch_t){.sequences = sequences,
                                .starts = self->starts,
                                .ids = self->ids,
                                .rows = self->rows,
                                .targets = self->targets};
    supervise(self, labels);
    free(ids);
    free(labels);
    free(lengths);
}

void golden_check(bool ok, const fmq_error_t *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

void golden_open(golden_t *self, const char *root, const char *name, bool full, llm_backend_t *be)
{
    fmq_error_t err;
    char path[1024];
    memset(self, 0, sizeof *self);
    (void)snprintf(self->directory, sizeof self->directory, "%s/%s", root, name);
    (void)snprintf(path, sizeof path, "%s/golden.safetensors", self->directory);
    self->golden = llm_weights_open(path, &err);
    golden_check(self->golden, &err);
    read_batch(self);

    tiny_t *tiny = &self->tiny;
    tiny->be = be;
    tiny->model = llm_model_open(self->directory, be, &err);
    golden_check(tiny->model, &err);
    llm_adapter_spec_t spec = tiny_full();
    (void)snprintf(path, sizeof path, "%s/adapter", self->directory);
    golden_check(full || llm_adapter_spec_load(path, &spec, &err) == 0, &err);
    tiny->adapter = llm_adapter_new(llm_model_shape(tiny->model), &spec, &err);
    golden_check(tiny->adapter, &err);
    llm_limits_t limits = {.tokens_max = self->tokens, .training = true};
    tiny->ws = llm_workspace_new(tiny->model, tiny->adapter, &limits, be, &err);
    golden_check(tiny->ws, &err);
    tiny->elements = llm_workspace_elements(tiny->ws);
    tiny->vector = malloc(tiny->elements * sizeof *tiny->vector);
    golden_check((full ? llm_adapter_init(tiny->adapter, tiny->model, 0, tiny->vector, &err)
                       : llm_adapter_load(tiny->adapter, path, tiny->vector, &err)) == 0,
                 &err);
    golden_check(llm_workspace_set_params(tiny->ws, tiny->vector, &err) == 0, &err);
}

void golden_close(golden_t *self)
{
    tiny_release(&self->tiny);
    llm_weights_close(&self->golden);
    free(self->starts);
    free(self->ids);
}

void golden_compare(const char *name, const float *ours, const float *theirs, uint64_t count,
                    double tolerance, double least)
{
    double difference = 0.0, size = least;
    for (uint64_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs((double)ours[i] - (double)theirs[i]));
        size = fmax(size, fabs((double)theirs[i]));
        assert_true(isfinite(ours[i]));
    }
    if (!(difference <= tolerance * size))
        fail_msg("%s: largest difference %.3g, largest value %.3g", name, difference, size);
}

static void check_logits(golden_t *self, const char *kind)
{
    fmq_error_t err;
    char name[64];
    uint64_t count = 0;
    (void)snprintf(name, sizeof name, "%s.logits", kind);
    float *theirs = golden_read(self, name, &count);
    float *ours = malloc(count * sizeof *ours);
    golden_check(llm_workspace_logits(self->tiny.ws, &self->batch, self->all_rows, self->tokens,
                                      ours, &err) == 0,
                 &err);
    golden_compare(name, ours, theirs, count, self->tolerance.logits, 0.0);
    free(ours);
    free(theirs);
}

static void check_gradients(golden_t *self, const char *kind)
{
    tiny_t *tiny = &self->tiny;
    const fmq_schema_t *schema = llm_adapter_schema(tiny->adapter);
    size_t bytes = tiny->elements * sizeof(float);
    float *ours = malloc(bytes);
    double both = 0.0, squares[2] = {0.0, 0.0};
    tiny->be->ops->download(tiny->be, ours, llm_workspace_grads(tiny->ws), bytes);
    double largest = 0.0;
    for (size_t i = 0; i < tiny->elements; i++)
        largest = fmax(largest, fabs((double)ours[i]));
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        char name[2 * FMQ_SCHEMA_NAME_MAX];
        uint64_t count = 0;
        (void)snprintf(name, sizeof name, "%s.grad.%s", kind, tensor->name);
        float *theirs = golden_read(self, name, &count);
        assert_int_equal(count, tensor->count);
        golden_compare(name, ours + tensor->offset, theirs, count, self->tolerance.gradient,
                       0.01 * largest);
        for (uint64_t k = 0; k < count; k++) {
            double a = (double)ours[tensor->offset + k], b = (double)theirs[k];
            both += a * b;
            squares[0] += a * a;
            squares[1] += b * b;
        }
        free(theirs);
    }
    double cosine = both / sqrt(squares[0] * squares[1]);
    if (!(cosine >= self->tolerance.cosine))
        fail_msg("%s, %s: the gradient's cosine is %.6f", self->directory, kind, cosine);
    free(ours);
}

void golden_check_case(const char *root, const char *name, bool full,
                       const golden_tolerance_t *tolerance, llm_backend_t *be)
{
    const char *kind = full ? "full" : "lora";
    fmq_error_t err;
    golden_t golden;
    char key[64];
    double loss = 0.0, again = 0.0;
    golden_open(&golden, root, name, full, be);
    golden.tolerance = *tolerance;
    golden_check(llm_workspace_train(golden.tiny.ws, &golden.batch, 1.0f, NULL, &loss, &err) == 0,
                 &err);
    (void)snprintf(key, sizeof key, "%s.loss", kind);
    float *theirs = golden_read(&golden, key, NULL);
    assert_true(fabs(loss - (double)*theirs) <= tolerance->loss * (double)*theirs);
    free(theirs);
    golden_check(llm_workspace_loss(golden.tiny.ws, &golden.batch, &again, &err) == 0, &err);
    assert_true(loss == again);
    check_gradients(&golden, kind);
    check_logits(&golden, kind);
    golden_close(&golden);
}
