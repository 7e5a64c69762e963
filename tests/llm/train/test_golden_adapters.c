/*
 * test_golden_adapters.c - LoRA's variants, DoRA and IA3 on tiny GPT-2 and LLaMA
 * models against PyTorch with transformers and PEFT, from the files that
 * scripts/goldens/make_adapter_goldens.py writes: logits, losses and every
 * gradient, fifty steps of AdamW, greedy answers, both ways of PEFT's files.
 * With a device as its argument ("cuda-emulated", "cuda") it checks that one
 * instead of the CPU.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/llm/generate.h"
#include "llm/train/optimizer.h"
#include "tests/llm/pass/tiny.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/train/goldens/adapters"
#define MODELS  FEDMQ_SOURCE_DIR "/tests/llm/pass/goldens"
#define IGNORED (-100)
#define STEPS   50
#define NEW     6

static const struct {
    const char *name, *base;
} cases[] = {
    {"gpt2-rslora", "gpt2"},       {"gpt2-bias-all", "gpt2"},    {"gpt2-bias-lora", "gpt2"},
    {"gpt2-dora", "gpt2"},         {"gpt2-ia3", "gpt2"},         {"gpt2-saved", "gpt2"},
    {"gpt2-head", "gpt2"},         {"gpt2-lookup", "gpt2"},      {"llama-patterns", "llama"},
    {"llama-expression", "llama"}, {"llama-embedding", "llama"}, {"llama-dora", "llama"},
    {"llama-ia3", "llama"},        {"llama-ia3-saved", "llama"}, {"llama-saved", "llama"},
    {"tied-saved", "llama_tied"},  {"tied-head", "llama_tied"},
};
#define CASES (sizeof cases / sizeof *cases)

/* As in test_golden_lora.c. */
typedef struct {
    double logits, loss, gradient, cosine, steps;
} tolerance_t;

static const tolerance_t exact = {1e-4, 1e-4, 1e-4, 1 - 1e-7, 1e-4},
                         rounded = {1e-1, 5e-3, 1, 0.985, 0.1};

typedef struct {
    char directory[512];
    llm_weights_t *golden;
    size_t sequences, tokens;
    uint32_t starts[8];
    int32_t ids[64], rows[64], targets[64], all_rows[64];
    llm_batch_t batch;
    tiny_t tiny;
} case_t;

static void check(bool ok, const fmq_error_t *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

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
    check(llm_weights_read(self->golden, name, view->rank, view->shape, out, &err) == 0, &err);
    if (count)
        *count = size;
    return out;
}

static void read_batch(case_t *self)
{
    uint64_t tokens = 0, sequences = 0;
    float *ids = read_golden(self, "ids", &tokens), *labels = read_golden(self, "labels", NULL);
    float *lengths = read_golden(self, "lengths", &sequences);
    self->tokens = tokens;
    self->sequences = sequences;
    for (size_t t = 0; t < tokens; t++) {
        self->ids[t] = (int32_t)ids[t];
        self->all_rows[t] = (int32_t)t;
    }
    self->batch = (llm_batch_t){.sequences = sequences,
                                .starts = self->starts,
                                .ids = self->ids,
                                .rows = self->rows,
                                .targets = self->targets};
    for (size_t s = 0; s < sequences; s++) {
        self->starts[s + 1] = self->starts[s] + (uint32_t)lengths[s];
        for (uint32_t t = self->starts[s] + 1; t < self->starts[s + 1]; t++) {
            if (labels[t] == (float)IGNORED)
                continue;
            self->rows[self->batch.supervised] = (int32_t)t - 1;
            self->targets[self->batch.supervised++] = (int32_t)labels[t];
        }
    }
    free(ids);
    free(labels);
    free(lengths);
}

static void open_workspace(case_t *self, const llm_adapter_spec_t *spec)
{
    fmq_error_t err;
    tiny_t *tiny = &self->tiny;
    tiny->adapter = llm_adapter_new(llm_model_shape(tiny->model), spec, &err);
    check(tiny->adapter, &err);
    llm_limits_t limits = {
        .tokens_max = self->tokens, .sequences_max = self->sequences, .training = true};
    tiny->ws = llm_workspace_new(tiny->model, tiny->adapter, &limits, tiny->be, &err);
    check(tiny->ws, &err);
    tiny->elements = llm_workspace_elements(tiny->ws);
    tiny->vector = calloc(tiny->elements, sizeof *tiny->vector);
}

static void case_open(case_t *self, size_t number, llm_backend_t *be)
{
    fmq_error_t err;
    char path[1024];
    memset(self, 0, sizeof *self);
    (void)snprintf(self->directory, sizeof self->directory, "%s/%s", GOLDENS, cases[number].name);
    (void)snprintf(path, sizeof path, "%s/golden.safetensors", self->directory);
    self->golden = llm_weights_open(path, &err);
    check(self->golden, &err);
    read_batch(self);
    self->tiny.be = be;
    (void)snprintf(path, sizeof path, "%s/%s", MODELS, cases[number].base);
    self->tiny.model = llm_model_open(path, be, &err);
    check(self->tiny.model, &err);
    llm_adapter_spec_t spec;
    check(llm_adapter_spec_load(self->directory, &spec, &err) == 0, &err);
    open_workspace(self, &spec);
    tiny_t *tiny = &self->tiny;
    check(llm_adapter_load(tiny->adapter, self->directory, tiny->vector, &err) == 0, &err);
    check(llm_workspace_set_params(tiny->ws, tiny->vector, &err) == 0, &err);
}

static void case_close(case_t *self)
{
    tiny_release(&self->tiny);
    llm_weights_close(&self->golden);
}

static void compare(const case_t *self, const char *name, const float *ours, uint64_t size,
                    double tolerance)
{
    uint64_t count = 0;
    float *theirs = read_golden(self, name, &count);
    double difference = 0.0, largest = 0.0;
    assert_int_equal(count, size);
    for (uint64_t i = 0; i < count; i++) {
        assert_true(isfinite(ours[i]));
        difference = fmax(difference, fabs((double)ours[i] - (double)theirs[i]));
        largest = fmax(largest, fabs((double)theirs[i]));
    }
    if (!(difference <= tolerance * largest))
        fail_msg("%s, %s: largest difference %.3g, largest value %.3g", self->directory, name,
                 difference, largest);
    free(theirs);
}

static void check_logits(case_t *self, const tolerance_t *tolerance)
{
    fmq_error_t err;
    size_t count = self->tokens * llm_model_shape(self->tiny.model)->vocab;
    float *ours = malloc(count * sizeof *ours);
    check(llm_workspace_logits(self->tiny.ws, &self->batch, self->all_rows, self->tokens, ours,
                               &err) == 0,
          &err);
    compare(self, "logits", ours, count, tolerance->logits);
    free(ours);
}

static void check_gradients(case_t *self, const tolerance_t *tolerance)
{
    tiny_t *tiny = &self->tiny;
    const fmq_schema_t *schema = llm_adapter_schema(tiny->adapter);
    float *ours = malloc(tiny->elements * sizeof *ours);
    double both = 0.0, squares[2] = {0.0, 0.0};
    tiny->be->ops->download(tiny->be, ours, llm_workspace_grads(tiny->ws),
                            tiny->elements * sizeof *ours);
    for (size_t i = 0; i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        char name[2 * FMQ_SCHEMA_NAME_MAX];
        (void)snprintf(name, sizeof name, "grad.%s", tensor->name);
        compare(self, name, ours + tensor->offset, tensor->count, tolerance->gradient);
        float *theirs = read_golden(self, name, NULL);
        for (uint64_t k = 0; k < tensor->count; k++) {
            double a = (double)ours[tensor->offset + k], b = (double)theirs[k];
            both += a * b;
            squares[0] += a * a;
            squares[1] += b * b;
        }
        free(theirs);
    }
    if (!(both / sqrt(squares[0] * squares[1]) >= tolerance->cosine))
        fail_msg("%s: the gradient's cosine is %.6f", self->directory,
                 both / sqrt(squares[0] * squares[1]));
    free(ours);
}

static void check_case(size_t number, const tolerance_t *tolerance, llm_backend_t *be)
{
    fmq_error_t err;
    case_t golden;
    double loss = 0.0, again = 0.0;
    case_open(&golden, number, be);
    check(llm_workspace_train(golden.tiny.ws, &golden.batch, 1.0f, NULL, &loss, &err) == 0, &err);
    float *theirs = read_golden(&golden, "loss", NULL);
    assert_true(fabs(loss - (double)*theirs) <= tolerance->loss * (double)*theirs);
    free(theirs);
    check(llm_workspace_loss(golden.tiny.ws, &golden.batch, &again, &err) == 0, &err);
    assert_true(loss == again);
    check_gradients(&golden, tolerance);
    check_logits(&golden, tolerance);
    case_close(&golden);
}

/* The first and the third sequence of the batch. */
typedef struct {
    uint32_t starts[3];
    int32_t ids[64], rows[64], targets[64];
    llm_batch_t batch;
} half_t;

static void take_half(half_t *self, const case_t *golden)
{
    self->batch = (llm_batch_t){.sequences = 2,
                                .starts = self->starts,
                                .ids = self->ids,
                                .rows = self->rows,
                                .targets = self->targets};
    self->starts[0] = 0;
    for (size_t i = 0; i < 2; i++) {
        uint32_t from = golden->starts[2 * i], to = golden->starts[2 * i + 1];
        uint32_t at = self->starts[i];
        memcpy(self->ids + at, golden->ids + from, (to - from) * sizeof *self->ids);
        for (size_t k = 0; k < golden->batch.supervised; k++) {
            uint32_t row = (uint32_t)golden->rows[k];
            if (row < from || row >= to)
                continue;
            self->rows[self->batch.supervised] = (int32_t)(row - from + at);
            self->targets[self->batch.supervised++] = golden->targets[k];
        }
        self->starts[i + 1] = at + to - from;
    }
}

static void check_steps(size_t number, const tolerance_t *tolerance, llm_backend_t *be)
{
    fmq_error_t err;
    case_t golden;
    half_t half = {0};
    case_open(&golden, number, be);
    take_half(&half, &golden);
    tiny_t *tiny = &golden.tiny;
    const llm_optimizer_t how = {
        .kind = LLM_ADAMW, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    const llm_rates_t rates = {.lr = 0.002, .momentum = 0.9};
    llm_optimizer_state_t optimizer;
    const size_t range[2] = {0, tiny->elements};
    check(llm_optimizer_init(&optimizer, &how, be, NULL, range, &err) == 0, &err);
    float *losses = read_golden(&golden, "losses", NULL), *grads = llm_workspace_grads(tiny->ws);
    for (int step = 0; step < STEPS; step++) {
        const llm_batch_t *batch = step % 2 ? &half.batch : &golden.batch;
        double loss = 0.0, count = (double)batch->supervised;
        be->ops->zero(be, grads, tiny->elements * sizeof *grads);
        check(llm_workspace_train(tiny->ws, batch, (float)(1.0 / count), NULL, &loss, &err) == 0,
              &err);
        double apart = fabs(loss / count - (double)losses[step]);
        if (!(apart <= tolerance->steps * fmax((double)losses[step], 0.05)))
            fail_msg("%s: loss %.7g in step %d, PyTorch's is %.7g", golden.directory, loss / count,
                     step, (double)losses[step]);
        llm_optimizer_step(&optimizer, llm_workspace_params(tiny->ws), grads, &rates);
    }
    llm_optimizer_release(&optimizer);
    free(losses);
    case_close(&golden);
}

static void losses_and_gradients_are_those_of_peft(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++) {
        check_case(i, &exact, llm_backend_reference_new(&err));
        check_case(i, &exact, llm_backend_cpu_new(2, &err));
    }
}

static void fifty_steps_of_adamw_go_the_way_of_pytorch(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++)
        check_steps(i, &exact, llm_backend_cpu_new(1, &err));
}

static void bf16_stays_near(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++)
        check_case(i, &rounded, llm_backend_cpu_new_half(1, &err));
}

/* With every room for tokens taken, or with more than is needed. */
static void check_greedy(size_t number, size_t spare)
{
    fmq_error_t err;
    case_t golden;
    llm_ids_t answer = {0};
    case_open(&golden, number, llm_backend_cpu_new(1, &err));
    size_t prompt = golden.starts[1];
    llm_generator_t *generator = llm_generator_new(golden.tiny.model, golden.tiny.adapter,
                                                   prompt + NEW + spare, golden.tiny.be, &err);
    check(generator, &err);
    check(llm_generator_set_params(generator, golden.tiny.vector, &err) == 0, &err);
    const llm_sampling_t how = {.new_tokens_max = NEW, .top_p = 1};
    float *theirs = read_golden(&golden, "greedy", NULL);
    for (int turn = 0; turn < 2; turn++) { /* the second finds the first's cache */
        answer.size = 0;
        check(llm_generator_run(generator, golden.ids, prompt, &how, &answer, &err) == 0, &err);
        assert_int_equal(answer.size, NEW);
        for (size_t i = 0; i < NEW; i++)
            assert_int_equal(answer.ids[i], (int32_t)theirs[i]);
    }
    free(theirs);
    llm_ids_release(&answer);
    llm_generator_destroy(&generator);
    case_close(&golden);
}

static void greedy_answers_are_those_of_peft(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        check_greedy(i, 0);
    }
}

static void check_recompute(size_t number, llm_recompute_t recompute)
{
    fmq_error_t err;
    case_t golden;
    double loss[2] = {0.0, 0.0};
    case_open(&golden, number, llm_backend_cpu_new(1, &err));
    tiny_t *tiny = &golden.tiny;
    llm_limits_t limits = {.tokens_max = golden.tokens, .training = true, .recompute = recompute};
    llm_workspace_t *again = llm_workspace_new(tiny->model, tiny->adapter, &limits, tiny->be, &err);
    check(again, &err);
    check(llm_workspace_set_params(again, tiny->vector, &err) == 0, &err);
    check(llm_workspace_train(tiny->ws, &golden.batch, 1, NULL, &loss[0], &err) == 0, &err);
    check(llm_workspace_train(again, &golden.batch, 1, NULL, &loss[1], &err) == 0, &err);
    assert_true(loss[0] == loss[1]);
    assert_memory_equal(llm_workspace_grads(tiny->ws), llm_workspace_grads(again),
                        tiny->elements * sizeof(float));
    llm_workspace_destroy(&again);
    case_close(&golden);
}

static void gradients_are_the_same_when_activations_are_made_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        check_recompute(i, LLM_RECOMPUTE_NORMS);
        check_recompute(i, LLM_RECOMPUTE_LAYERS);
    }
}

static const char *device; /* that is tested; set once, by main() */

static llm_backend_t *open_device(const char *type)
{
    fmq_error_t err;
    char name[128];
    (void)snprintf(name, sizeof name, "%.100s%s", device, type);
    llm_backend_t *be = llm_backend_open(name, 1, &err);
    check(be, &err);
    return be;
}

static void a_gpu_gives_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        check_case(i, &exact, open_device(":f32"));
        if (i == 3 || i == 11) /* DoRA */
            check_steps(i, &exact, open_device(":f32"));
    }
}

static void a_gpu_rounds_to_bf16_and_stays_near(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++)
        check_case(i, &rounded, open_device(":bf16"));
}

/* What we save we load, with the settings that it says. */
static void directories_survive_saving_and_loading(void **state)
{
    (void)state;
    fmq_error_t err;
    const char *keep = getenv("FEDMQ_SAVE_ADAPTERS");
    char base[] = "/tmp/fedmq-adapters-XXXXXX";
    const char *directory = keep ? keep : mkdtemp(base);
    assert_non_null(directory);
    for (size_t i = 0; i < CASES; i++) {
        case_t golden;
        char path[1024], file[1100];
        llm_adapter_spec_t spec;
        case_open(&golden, i, llm_backend_cpu_new(1, &err));
        tiny_t *tiny = &golden.tiny;
        (void)snprintf(path, sizeof path, "%s/%s", directory, cases[i].name);
        check(llm_adapter_save(tiny->adapter, tiny->vector, cases[i].base, NULL, FMQ_F32, path,
                               &err) == 0,
              &err);
        check(llm_adapter_spec_load(path, &spec, &err) == 0, &err);
        llm_adapter_t *other = llm_adapter_new(llm_model_shape(tiny->model), &spec, &err);
        check(other, &err);
        float *again = calloc(tiny->elements, sizeof *again);
        check(llm_adapter_load(other, path, again, &err) == 0, &err);
        assert_memory_equal(again, tiny->vector, tiny->elements * sizeof *again);
        free(again);
        llm_adapter_destroy(&other);
        case_close(&golden);
        static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
        for (size_t k = 0; k < 2 && !keep; k++) {
            (void)snprintf(file, sizeof file, "%s/%s", path, files[k]);
            (void)remove(file);
        }
        if (!keep)
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
        cmocka_unit_test(losses_and_gradients_are_those_of_peft),
        cmocka_unit_test(fifty_steps_of_adamw_go_the_way_of_pytorch),
        cmocka_unit_test(bf16_stays_near),
        cmocka_unit_test(greedy_answers_are_those_of_peft),
        cmocka_unit_test(gradients_are_the_same_when_activations_are_made_again),
        cmocka_unit_test(directories_survive_saving_and_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
