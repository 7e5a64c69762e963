/*
 * test_golden_adapters.c - LoRA's variants, DoRA and IA3 on tiny GPT-2 and LLaMA
 * models against PyTorch with transformers and PEFT, from the files that
 * scripts/goldens/make_adapter_goldens.py writes: logits, losses and every
 * gradient, fifty steps of AdamW, greedy answers, both ways of PEFT's files.
 * With a device as its argument ("cuda-emulated", "cuda") it checks that one
 * instead of the CPU.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/llm/train/golden_steps.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/train/goldens/adapters"

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

static void case_open(golden_t *self, size_t number, llm_backend_t *be)
{
    fmq_error_t err;
    char path[1024];
    llm_adapter_spec_t spec;
    tiny_t *tiny = &self->tiny;
    (void)snprintf(path, sizeof path, "%s/%s", GOLDENS, cases[number].name);
    golden_check(llm_adapter_spec_load(path, &spec, &err) == 0, &err);
    golden_open_over(self, GOLDENS, cases[number].name, cases[number].base, &spec, be);
    golden_check(llm_adapter_load(tiny->adapter, path, tiny->vector, &err) == 0, &err);
    golden_check(llm_workspace_set_params(tiny->ws, tiny->vector, &err) == 0, &err);
}

static void check_case(size_t number, const golden_tolerance_t *tolerance, llm_backend_t *be)
{
    golden_t golden;
    case_open(&golden, number, be);
    golden.tolerance = *tolerance;
    golden_check_values(&golden, "");
    golden_close(&golden);
}

static void check_steps(size_t number, llm_backend_t *be)
{
    golden_t golden;
    case_open(&golden, number, be);
    golden_check_steps(&golden, 0.002, 0.05);
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

static void bf16_stays_near(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++)
        check_case(i, &golden_rounded, llm_backend_cpu_new_half(1, &err));
}

static void greedy_answers_are_those_of_peft(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < CASES; i++) {
        golden_t golden;
        case_open(&golden, i, llm_backend_cpu_new(1, &err));
        golden_check_greedy(&golden, 0);
        golden_close(&golden);
    }
}

static void check_recompute(size_t number, llm_recompute_t recompute)
{
    fmq_error_t err;
    golden_t golden;
    case_open(&golden, number, llm_backend_cpu_new(1, &err));
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
        if (i == 3 || i == 11) /* DoRA */
            check_steps(i, golden_device(device, ":f32"));
    }
}

static void a_gpu_rounds_to_bf16_and_stays_near(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++)
        check_case(i, &golden_rounded, golden_device(device, ":bf16"));
}

/* What we save we load, with the settings that it says. */
static void directories_survive_saving_and_loading(void **state)
{
    (void)state;
    fmq_error_t err;
    golden_shelf_t shelf;
    golden_shelf_open(&shelf);
    for (size_t i = 0; i < CASES; i++) {
        golden_t golden;
        llm_adapter_spec_t spec;
        case_open(&golden, i, llm_backend_cpu_new(1, &err));
        tiny_t *tiny = &golden.tiny;
        golden_shelf_save(&shelf, &golden, cases[i].name, cases[i].base);
        golden_check(llm_adapter_spec_load(shelf.path, &spec, &err) == 0, &err);
        llm_adapter_t *other = llm_adapter_new(llm_model_shape(tiny->model), &spec, &err);
        golden_check(other, &err);
        float *again = calloc(tiny->elements, sizeof *again);
        golden_check(llm_adapter_load(other, shelf.path, again, &err) == 0, &err);
        assert_memory_equal(again, tiny->vector, tiny->elements * sizeof *again);
        free(again);
        llm_adapter_destroy(&other);
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
        cmocka_unit_test(bf16_stays_near),
        cmocka_unit_test(greedy_answers_are_those_of_peft),
        cmocka_unit_test(gradients_are_the_same_when_activations_are_made_again),
        cmocka_unit_test(directories_survive_saving_and_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
