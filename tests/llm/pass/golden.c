/*
 * golden.c - see golden.h.
 */
#include "tests/llm/pass/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED (-100)

const golden_tolerance_t golden_exact = {1e-4, 1e-4, 1e-4, 1 - 1e-7, 0},
                         golden_rounded = {1e-1, 5e-3, 1, 0.985, 0};

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

void golden_begin(golden_t *self, const char *root, const char *name)
{
    fmq_error_t err;
    char path[1024];
    memset(self, 0, sizeof *self);
    (void)snprintf(self->directory, sizeof self->directory, "%s/%s", root, name);
    (void)snprintf(path, sizeof path, "%s/golden.safetensors", self->directory);
    self->golden = llm_weights_open(path, &err);
    golden_check(self->golden, &err);
    read_batch(self);
}

void golden_open_model(golden_t *self, const char *directory, const llm_adapter_spec_t *spec,
                       llm_backend_t *be)
{
    fmq_error_t err;
    tiny_t *tiny = &self->tiny;
    tiny->be = be;
    tiny->model = llm_model_open(directory, be, &err);
    golden_check(tiny->model, &err);
    tiny->adapter = llm_adapter_new(llm_model_shape(tiny->model), spec, &err);
    golden_check(tiny->adapter, &err);
    llm_limits_t limits = {
        .tokens_max = self->tokens, .sequences_max = self->sequences, .training = true};
    tiny->ws = llm_workspace_new(tiny->model, tiny->adapter, &limits, be, &err);
    golden_check(tiny->ws, &err);
    tiny->elements = llm_workspace_elements(tiny->ws);
    tiny->vector = calloc(tiny->elements, sizeof *tiny->vector);
}

void golden_open(golden_t *self, const char *root, const char *name, bool full, llm_backend_t *be)
{
    fmq_error_t err;
    char path[1024];
    tiny_t *tiny = &self->tiny;
    llm_adapter_spec_t spec = tiny_full();
    golden_begin(self, root, name);
    (void)snprintf(path, sizeof path, "%s/adapter", self->directory);
    golden_check(full || llm_adapter_spec_load(path, &spec, &err) == 0, &err);
    golden_open_model(self, self->directory, &spec, be);
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

/* With the golden value of that name. */
static void compare(const golden_t *self, const char *name, const float *ours, uint64_t size,
                    double tolerance, double least)
{
    char label[sizeof self->directory + 2 * FMQ_SCHEMA_NAME_MAX + 2];
    uint64_t count = 0;
    float *theirs = golden_read(self, name, &count);
    assert_int_equal(count, size);
    (void)snprintf(label, sizeof label, "%s, %s", self->directory, name);
    golden_compare(label, ours, theirs, count, tolerance, least);
    free(theirs);
}

void golden_check_logits(golden_t *self, const char *prefix)
{
    fmq_error_t err;
    char name[64];
    size_t count = self->tokens * llm_model_shape(self->tiny.model)->vocab;
    float *ours = malloc(count * sizeof *ours);
    golden_check(llm_workspace_logits(self->tiny.ws, &self->batch, self->all_rows, self->tokens,
                                      ours, &err) == 0,
                 &err);
    (void)snprintf(name, sizeof name, "%slogits", prefix);
    compare(self, name, ours, count, self->tolerance.logits, 0.0);
    free(ours);
}

static void check_gradients(golden_t *self, const char *prefix)
{
    tiny_t *tiny = &self->tiny;
    const fmq_schema_t *schema = llm_adapter_schema(tiny->adapter);
    size_t bytes = tiny->elements * sizeof(float);
    float *ours = malloc(bytes);
    double both = 0.0, squares[2] = {0.0, 0.0}, largest = 0.0;
    tiny->be->ops->download(tiny->be, ours, llm_workspace_grads(tiny->ws), bytes);
    for (size_t i = 0; i < tiny->elements; i++)
        largest = fmax(largest, fabs((double)ours[i]));
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        char name[2 * FMQ_SCHEMA_NAME_MAX];
        (void)snprintf(name, sizeof name, "%sgrad.%s", prefix, tensor->name);
        compare(self, name, ours + tensor->offset, tensor->count, self->tolerance.gradient,
                self->tolerance.least * largest);
        float *theirs = golden_read(self, name, NULL);
        for (uint64_t k = 0; k < tensor->count; k++) {
            double a = (double)ours[tensor->offset + k], b = (double)theirs[k];
            both += a * b;
            squares[0] += a * a;
            squares[1] += b * b;
        }
        free(theirs);
    }
    double cosine = both / sqrt(squares[0] * squares[1]);
    if (!(cosine >= self->tolerance.cosine))
        fail_msg("%s, %s: the gradient's cosine is %.6f", self->directory, prefix, cosine);
    free(ours);
}

void golden_check_values(golden_t *self, const char *prefix)
{
    fmq_error_t err;
    llm_workspace_t *ws = self->tiny.ws;
    char key[64];
    double loss = 0.0, again = 0.0;
    golden_check(llm_workspace_train(ws, &self->batch, 1.0f, NULL, &loss, &err) == 0, &err);
    (void)snprintf(key, sizeof key, "%sloss", prefix);
    float *theirs = golden_read(self, key, NULL);
    assert_true(fabs(loss - (double)*theirs) <= self->tolerance.loss * (double)*theirs);
    free(theirs);
    golden_check(llm_workspace_loss(ws, &self->batch, &again, &err) == 0, &err);
    assert_true(loss == again);
    check_gradients(self, prefix);
    golden_check_logits(self, prefix);
}

void golden_check_case(const char *root, const char *name, bool full,
                       const golden_tolerance_t *tolerance, llm_backend_t *be)
{
    golden_t golden;
    golden_open(&golden, root, name, full, be);
    golden.tolerance = *tolerance;
    golden_check_values(&golden, full ? "full." : "lora.");
    golden_close(&golden);
}

llm_backend_t *golden_device(const char *device, const char *type)
{
    fmq_error_t err;
    char name[128];
    (void)snprintf(name, sizeof name, "%.100s%s", device, type);
    llm_backend_t *be = llm_backend_open(name, 1, &err);
    golden_check(be, &err);
    return be;
}

void golden_shelf_open(golden_shelf_t *self)
{
    const char *keep = getenv("FEDMQ_SAVE_ADAPTERS");
    self->kept = keep != NULL;
    (void)snprintf(self->directory, sizeof self->directory, "%s",
                   keep ? keep : "/tmp/fedmq-adapters-XXXXXX");
    assert_true(keep || mkdtemp(self->directory));
}

void golden_shelf_save(golden_shelf_t *self, const golden_t *golden, const char *name,
                       const char *base)
{
    fmq_error_t err;
    const tiny_t *tiny = &golden->tiny;
    (void)snprintf(self->path, sizeof self->path, "%s/%s", self->directory, name);
    golden_check(
        llm_adapter_save(tiny->adapter, tiny->vector, base, NULL, FMQ_F32, self->path, &err) == 0,
        &err);
}

void golden_shelf_clear(const golden_shelf_t *self)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    char file[1100];
    if (self->kept)
        return;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(file, sizeof file, "%s/%s", self->path, files[i]);
        assert_int_equal(remove(file), 0);
    }
    (void)snprintf(file, sizeof file, "%s/prompt_encoder.safetensors", self->path);
    (void)remove(file); /* which only virtual tokens have, and not all */
    assert_int_equal(remove(self->path), 0);
}

void golden_shelf_close(const golden_shelf_t *self)
{
    assert_true(self->kept || remove(self->directory) == 0);
}
