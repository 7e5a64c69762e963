/*
 * test_golden_virtual.c - prompt tuning, p-tuning and prefix tuning of tiny
 * GPT-2 and LLaMA models against PyTorch with transformers and PEFT, from the
 * files that scripts/goldens/make_virtual_goldens.py writes: logits, losses and
 * every gradient, fifty steps of AdamW, greedy answers, PEFT's own files.  With
 * a device as its argument ("cuda-emulated", "cuda") it checks that one instead
 * of the CPU.  Set FEDMQ_SAVE_ADAPTERS to a directory to keep what is saved, for
 * scripts/goldens/check_saved_virtual.py.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/llm/train/golden_steps.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/train/goldens/virtual"

static const char *const bases[] = {"gpt2", "llama"};
static const char *const kinds[] = {"prompt", "p-tuning-mlp", "p-tuning-lstm", "prefix",
                                    "prefix-projection"};
#define KINDS (sizeof kinds / sizeof *kinds)
#define CASES (2 * KINDS)

/* What PEFT's directory says of the encoder that it did not save. */
static llm_adapter_spec_t spec_of(const char *kind)
{
    if (strcmp(kind, "prompt") == 0)
        return (llm_adapter_spec_t){.kind = LLM_ADAPTER_PROMPT, .virtual_tokens = {.count = 4}};
    if (strcmp(kind, "p-tuning-mlp") == 0)
        return (llm_adapter_spec_t){
            .kind = LLM_ADAPTER_P_TUNING,
            .virtual_tokens = {
                .count = 3, .encoder = LLM_ENCODER_MLP, .hidden = 7, .dropout = 0.1f}};
    if (strcmp(kind, "p-tuning-lstm") == 0)
        return (llm_adapter_spec_t){
            .kind = LLM_ADAPTER_P_TUNING,
            .virtual_tokens = {.count = 5, .encoder = LLM_ENCODER_LSTM, .hidden = 6, .layers = 3}};
    if (strcmp(kind, "prefix") == 0)
        return (llm_adapter_spec_t){.kind = LLM_ADAPTER_PREFIX, .virtual_tokens = {.count = 3}};
    return (llm_adapter_spec_t){
        .kind = LLM_ADAPTER_PREFIX,
        .virtual_tokens = {.count = 4, .encoder = LLM_ENCODER_MLP, .hidden = 9}};
}

/* trained: with the encoder, whose tensors are in the golden file; else as PEFT's
 * directory has it. */
static void case_open(golden_t *self, size_t number, bool trained, llm_backend_t *be)
{
    fmq_error_t err;
    char name[128], path[1024];
    const char *base = bases[number / KINDS], *kind = kinds[number % KINDS];
    tiny_t *tiny = &self->tiny;
    llm_adapter_spec_t spec = spec_of(kind);
    (void)snprintf(name, sizeof name, "%s/%s", base, kind);
    (void)snprintf(path, sizeof path, "%s/%s", GOLDENS, name);
    golden_check(trained || llm_adapter_spec_load(path, &spec, &err) == 0, &err);
    golden_open_over(self, GOLDENS, name, base, &spec, be);
    const fmq_schema_t *schema = llm_adapter_schema(tiny->adapter);
    for (size_t i = 0; trained && i < fmq_schema_size(schema); i++) {
        const fmq_tensor_t *tensor = fmq_schema_at(schema, i);
        (void)snprintf(path, sizeof path, "start.%s", tensor->name);
        float *start = golden_read(self, path, NULL);
        memcpy(tiny->vector + tensor->offset, start, tensor->count * sizeof *start);
        free(start);
    }
    if (!trained)
        golden_check(llm_adapter_load(tiny->adapter, path, tiny->vector, &err) == 0, &err);
    golden_check(llm_workspace_set_params(tiny->ws, tiny->vector, &err) == 0, &err);
}

static void check_case(size_t number, const golden_tolerance_t *tolerance, llm_backend_t *be)
{
    golden_t golden;
    case_open(&golden, number, true, be);
    golden.tolerance = *tolerance;
    golden_check_values(&golden, "");
    golden_close(&golden);
}

static void check_steps(size_t number, llm_backend_t *be)
{
    golden_t golden;
    case_open(&golden, number, true, be);
    golden_check_steps(&golden, 0.01, 0.0);
    golden_close(&golden);
}

static void losses_and_gradients_are_those_of_peft(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++) {
        check_case(i, &golden_exact, llm_backend_reference_new(&err));
        check_case(i, &golden_exact, llm_backend_cpu_new(2, &err));
    }
}

static void fifty_steps_of_adamw_go_the_way_of_pytorch(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++)
        check_steps(i, llm_backend_cpu_new(1, &err));
}

static void what_peft_saved_gives_the_same_logits(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++) {
        golden_t golden;
        case_open(&golden, i, false, llm_backend_cpu_new(1, &err));
        assert_int_equal(fmq_schema_size(llm_adapter_schema(golden.tiny.adapter)), 1);
        golden.tolerance = golden_exact;
        golden_check_logits(&golden, "");
        golden_close(&golden);
    }
}

static void bf16_stays_near(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++)
        check_case(i, &golden_rounded, llm_backend_cpu_new_half(1, &err));
}

static void check_greedy(size_t number, bool trained, size_t spare)
{
    fmq_error_t err;
    golden_t golden;
    case_open(&golden, number, trained, llm_backend_cpu_new(1, &err));
    golden_check_greedy(&golden, spare);
    golden_close(&golden);
}

static void greedy_answers_are_those_of_peft(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        check_greedy(i, true, 0);
        check_greedy(i, false, 3);
    }
}

static void check_recompute(size_t number, llm_recompute_t recompute)
{
    fmq_error_t err;
    golden_t golden;
    case_open(&golden, number, true, llm_backend_cpu_new(1, &err));
    golden_check_recompute(&golden, recompute);
    golden_close(&golden);
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

static void a_gpu_gives_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        check_case(i, &golden_exact, golden_device(device, ":f32"));
        if (i == CASES - 1 || i == 2) /* a projected prefix, an LSTM */
            check_steps(i, golden_device(device, ":f32"));
    }
}

static void a_gpu_rounds_to_bf16_and_stays_near(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++)
        check_case(i, &golden_rounded, golden_device(device, ":bf16"));
}

/* The rows that an adapter without the encoder finds in path are those that PEFT saved. */
static void check_rows(const golden_t *golden, const char *path)
{
    fmq_error_t err;
    llm_adapter_spec_t spec;
    golden_check(llm_adapter_spec_load(path, &spec, &err) == 0, &err);
    llm_adapter_t *rows = llm_adapter_new(llm_model_shape(golden->tiny.model), &spec, &err);
    golden_check(rows, &err);
    uint64_t size = fmq_schema_elements(llm_adapter_schema(rows));
    float *ours = calloc(size, sizeof *ours), *peft = calloc(size, sizeof *ours);
    golden_check(llm_adapter_load(rows, path, ours, &err) == 0, &err);
    golden_check(llm_adapter_load(rows, golden->directory, peft, &err) == 0, &err);
    for (uint64_t k = 0; k < size; k++)
        assert_true(fabsf(ours[k] - peft[k]) <= 1e-5f * (1.0f + fabsf(peft[k])));
    free(ours);
    free(peft);
    llm_adapter_destroy(&rows);
}

/* Whatever is saved PEFT can load; and we, the encoder with it. */
static void directories_survive_saving_and_loading(void **state)
{
    (void)state;
    fmq_error_t err;
    golden_shelf_t shelf;
    golden_shelf_open(&shelf);
    for (size_t i = 0; i < CASES; i++) {
        golden_t golden;
        char name[128];
        case_open(&golden, i, true, llm_backend_cpu_new(1, &err));
        tiny_t *tiny = &golden.tiny;
        (void)snprintf(name, sizeof name, "%s-%s", bases[i / KINDS], kinds[i % KINDS]);
        golden_shelf_save(&shelf, &golden, name, bases[i / KINDS]);
        float *again = calloc(tiny->elements, sizeof *again);
        golden_check(llm_adapter_load(tiny->adapter, shelf.path, again, &err) == 0, &err);
        assert_memory_equal(again, tiny->vector, tiny->elements * sizeof *again);
        free(again);
        check_rows(&golden, shelf.path);
        golden_close(&golden);
        golden_shelf_clear(&shelf);
    }
    golden_shelf_close(&shelf);
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
        cmocka_unit_test(what_peft_saved_gives_the_same_logits),
        cmocka_unit_test(bf16_stays_near),
        cmocka_unit_test(greedy_answers_are_those_of_peft),
        cmocka_unit_test(gradients_are_the_same_when_activations_are_made_again),
        cmocka_unit_test(directories_survive_saving_and_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
