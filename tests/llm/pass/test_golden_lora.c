/*
 * test_golden_lora.c - losses, logits and every gradient of tiny GPT-2 and
 * LLaMA models against PyTorch with transformers and PEFT, from the files that
 * scripts/goldens/make_lora_goldens.py writes; adapters are read as PEFT saved
 * them.  With a device as its argument ("cuda-emulated", "cuda") it checks that one
 * instead of the CPU.  Set FEDMQ_SAVE_ADAPTERS to a directory to keep what llm_adapter_save()
 * makes of them, for scripts/goldens/check_saved_adapters.py.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/llm/pass/tiny.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/pass/goldens"
#define IGNORED (-100)

/* By how much we may differ: single values by a share of the largest, and the
 * gradient as a whole by its direction.  In bf16 models as small as these end as
 * far from fp32 on the CPU: 0.9915 is the least of its cosines, 0.07 the most of
 * its logits' shares. */
typedef struct {
    double logits, loss, gradient, cosine;
} tolerance_t;

static const tolerance_t exact = {1e-4, 1e-4, 1e-4, 1 - 1e-7}, rounded = {1e-1, 5e-3, 1, 0.985};

/* One case of the goldens, and what we compute with it. */
typedef struct {
    char directory[512];
    llm_weights_t *golden;
    size_t sequences, tokens;
    uint32_t *starts;
    int32_t *ids, *rows, *targets, *all_rows;
    llm_batch_t batch;
    tiny_t tiny;
    tolerance_t tolerance;
} case_t;

static float *read_golden(const case_t *self, const char *name, uint64_t *count)
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

/* Labels as HF has them: label t is predicted by row t - 1 of its sequence. */
static void supervise(case_t *self, const float *labels)
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

static void read_batch(case_t *self)
{
    uint64_t tokens = 0, sequences = 0;
    float *ids = read_golden(self, "ids", &tokens);
    float *labels = read_golden(self, "labels", NULL);
    float *lengths = read_golden(self, "lengths", &sequences);
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

static void check(bool ok, const fmq_error_t *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

static void case_open(case_t *self, const char *name, bool full, llm_backend_t *be)
{
    fmq_error_t err;
    char path[1024];
    memset(self, 0, sizeof *self);
    (void)snprintf(self->directory, sizeof self->directory, "%s/%s", GOLDENS, name);
    (void)snprintf(path, sizeof path, "%s/golden.safetensors", self->directory);
    self->golden = llm_weights_open(path, &err);
    check(self->golden, &err);
    read_batch(self);

    tiny_t *tiny = &self->tiny;
    tiny->be = be;
    tiny->model = llm_model_open(self->directory, be, &err);
    check(tiny->model, &err);
    llm_adapter_spec_t spec = tiny_full();
    (void)snprintf(path, sizeof path, "%s/adapter", self->directory);
    check(full || llm_adapter_spec_load(path, &spec, &err) == 0, &err);
    tiny->adapter = llm_adapter_new(llm_model_shape(tiny->model), &spec, &err);
    check(tiny->adapter, &err);
    llm_limits_t limits = {.tokens_max = self->tokens, .training = true};
    tiny->ws = llm_workspace_new(tiny->model, tiny->adapter, &limits, be, &err);
    check(tiny->ws, &err);
    tiny->elements = llm_workspace_elements(tiny->ws);
    tiny->vector = malloc(tiny->elements * sizeof *tiny->vector);
    check((full ? llm_adapter_init(tiny->adapter, tiny->model, 0, tiny->vector, &err)
                : llm_adapter_load(tiny->adapter, path, tiny->vector, &err)) == 0,
          &err);
    check(llm_workspace_set_params(tiny->ws, tiny->vector, &err) == 0, &err);
}

static void case_close(case_t *self)
{
    tiny_release(&self->tiny);
    llm_weights_close(&self->golden);
    free(self->starts);
    free(self->ids);
}

static void compare(const char *name, const float *ours, const float *theirs, uint64_t count,
                    double tolerance)
{
    double difference = 0.0, size = 0.0;
    for (uint64_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs((double)ours[i] - (double)theirs[i]));
        size = fmax(size, fabs((double)theirs[i]));
        assert_true(isfinite(ours[i]));
    }
    if (!(difference <= tolerance * size))
        fail_msg("%s: largest difference %.3g, largest value %.3g", name, difference, size);
}

static void check_logits(case_t *self, const char *kind)
{
    fmq_error_t err;
    char name[64];
    uint64_t count = 0;
    (void)snprintf(name, sizeof name, "%s.logits", kind);
    float *theirs = read_golden(self, name, &count);
    float *ours = malloc(count * sizeof *ours);
    check(llm_workspace_logits(self->tiny.ws, &self->batch, self->all_rows, self->tokens, ours,
                               &err) == 0,
          &err);
    compare(name, ours, theirs, count, self->tolerance.logits);
    free(ours);
    free(theirs);
}

static void check_gradients(case_t *self, const char *kind)
{
    tiny_t *tiny = &self->tiny;
    const fmq_schema_t *schema = llm_adapter_schema(tiny->adapter);
    size_t bytes = tiny->elements * sizeof(float);
    float *ours = malloc(bytes);
    double both = 0.0, squares[2] = {0.0, 0.0};
    tiny->be->ops->download(tiny->be, ours, llm_workspace_grads(tiny->ws), bytes);
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        char name[2 * FMQ_SCHEMA_NAME_MAX];
        uint64_t count = 0;
        (void)snprintf(name, sizeof name, "%s.grad.%s", kind, tensor->name);
        float *theirs = read_golden(self, name, &count);
        assert_int_equal(count, tensor->count);
        compare(name, ours + tensor->offset, theirs, count, self->tolerance.gradient);
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

static void check_case(const char *name, bool full, const tolerance_t *tolerance, llm_backend_t *be)
{
    const char *kind = full ? "full" : "lora";
    fmq_error_t err;
    case_t golden;
    char key[64];
    double loss = 0.0, again = 0.0;
    case_open(&golden, name, full, be);
    golden.tolerance = *tolerance;
    check(llm_workspace_train(golden.tiny.ws, &golden.batch, 1.0f, NULL, &loss, &err) == 0, &err);
    (void)snprintf(key, sizeof key, "%s.loss", kind);
    float *theirs = read_golden(&golden, key, NULL);
    assert_true(fabs(loss - (double)*theirs) <= tolerance->loss * (double)*theirs);
    free(theirs);
    check(llm_workspace_loss(golden.tiny.ws, &golden.batch, &again, &err) == 0, &err);
    assert_true(loss == again);
    check_gradients(&golden, kind);
    check_logits(&golden, kind);
    case_close(&golden);
}

static const char *const cases[] = {"gpt2", "llama", "llama_tied", "gpt2_layers", "llama_layers"};

static void lora_losses_and_gradients_are_those_of_peft(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(cases[i], false, &exact, llm_backend_reference_new(&err));
}

static void full_losses_and_gradients_are_those_of_transformers(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(cases[i], true, &exact, llm_backend_reference_new(&err));
}

static void the_cpu_backend_gives_the_same(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(cases[i], false, &exact, llm_backend_cpu_new(2, &err));
        check_case(cases[i], true, &exact, llm_backend_cpu_new(2, &err));
    }
}

static const char *device; /* that is tested; set once, by main() */

static void check_device(const char *type, const tolerance_t *tolerance)
{
    fmq_error_t err;
    char name[128];
    (void)snprintf(name, sizeof name, "%.100s%s", device, type);
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        llm_backend_t *be = llm_backend_open(name, 1, &err);
        check(be, &err);
        check_case(cases[i / 2], i % 2, tolerance, be);
    }
}

static void a_gpu_gives_the_same(void **state)
{
    (void)state;
    check_device(":f32", &exact);
}

static void a_gpu_rounds_to_bf16_and_stays_near(void **state)
{
    (void)state;
    check_device(":bf16", &rounded);
}

static void adapters_of_peft_survive_saving_and_loading(void **state)
{
    (void)state;
    fmq_error_t err;
    const char *keep = getenv("FEDMQ_SAVE_ADAPTERS");
    char base[] = "/tmp/fedmq-adapters-XXXXXX";
    const char *directory = keep ? keep : mkdtemp(base);
    assert_non_null(directory);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        case_t golden;
        char path[1024];
        case_open(&golden, cases[i], false, llm_backend_reference_new(&err));
        tiny_t *tiny = &golden.tiny;
        (void)snprintf(path, sizeof path, "%s/%s", directory, cases[i]);
        check(llm_adapter_save(tiny->adapter, tiny->vector, cases[i], NULL, FMQ_F32, path, &err) ==
                  0,
              &err);
        float *again = calloc(tiny->elements, sizeof *again);
        check(llm_adapter_load(tiny->adapter, path, again, &err) == 0, &err);
        assert_memory_equal(again, tiny->vector, tiny->elements * sizeof *again);
        llm_adapter_spec_t spec;
        check(llm_adapter_spec_load(path, &spec, &err) == 0, &err);
        assert_int_equal(spec.rank, 4);
        assert_true(spec.alpha == 6.0f);
        assert_int_equal(spec.layers.some, strstr(cases[i], "_layers") != NULL);
        free(again);
        case_close(&golden);
        if (keep)
            continue;
        char file[1100];
        (void)snprintf(file, sizeof file, "%s/adapter_config.json", path);
        assert_int_equal(remove(file), 0);
        (void)snprintf(file, sizeof file, "%s/adapter_model.safetensors", path);
        assert_int_equal(remove(file), 0);
        assert_int_equal(remove(path), 0);
    }
    if (!keep)
        assert_int_equal(remove(directory), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest gpu[] = {
        cmocka_unit_test(a_gpu_gives_the_same),
        cmocka_unit_test(a_gpu_rounds_to_bf16_and_stays_near),
    };
    device = argc > 1 ? argv[1] : NULL;
    if (device)
        return cmocka_run_group_tests(gpu, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_losses_and_gradients_are_those_of_peft),
        cmocka_unit_test(full_losses_and_gradients_are_those_of_transformers),
        cmocka_unit_test(the_cpu_backend_gives_the_same),
        cmocka_unit_test(adapters_of_peft_survive_saving_and_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
