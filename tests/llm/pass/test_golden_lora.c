/*
 * test_golden_lora.c - losses, logits and every gradient of tiny GPT-2 and
 * LLaMA models against PyTorch with transformers and PEFT, from the files that
 * scripts/goldens/make_lora_goldens.py writes; adapters are read as PEFT saved
 * them.  With a device as its argument ("cuda-emulated", "cuda") it checks that one
 * instead of the CPU.  Set FEDMQ_SAVE_ADAPTERS to a directory to keep what llm_adapter_save()
 * makes of them, for scripts/goldens/check_saved_adapters.py.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/llm/pass/golden.h"

#define GOLDENS FEDMQ_SOURCE_DIR "/tests/llm/pass/goldens"

static const char *const cases[] = {"gpt2", "llama", "llama_tied", "gpt2_layers", "llama_layers"};

static void lora_losses_and_gradients_are_those_of_peft(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        golden_check_case(GOLDENS, cases[i], false, &golden_exact, llm_backend_reference_new(&err));
}

static void full_losses_and_gradients_are_those_of_transformers(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        golden_check_case(GOLDENS, cases[i], true, &golden_exact, llm_backend_reference_new(&err));
}

static void the_cpu_backend_gives_the_same(void **state)
{
    (void)state;
    fmq_error_t err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        golden_check_case(GOLDENS, cases[i], false, &golden_exact, llm_backend_cpu_new(2, &err));
        golden_check_case(GOLDENS, cases[i], true, &golden_exact, llm_backend_cpu_new(2, &err));
    }
}

static const char *device; /* that is tested; set once, by main() */

static void check_device(const char *type, const golden_tolerance_t *tolerance)
{
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++)
        golden_check_case(GOLDENS, cases[i / 2], i % 2, tolerance, golden_device(device, type));
}

static void a_gpu_gives_the_same(void **state)
{
    (void)state;
    check_device(":f32", &golden_exact);
}

static void a_gpu_rounds_to_bf16_and_stays_near(void **state)
{
    (void)state;
    check_device(":bf16", &golden_rounded);
}

static void adapters_of_peft_survive_saving_and_loading(void **state)
{
    (void)state;
    fmq_error_t err;
    golden_shelf_t shelf;
    golden_shelf_open(&shelf);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        golden_t golden;
        golden_open(&golden, GOLDENS, cases[i], false, llm_backend_reference_new(&err));
        tiny_t *tiny = &golden.tiny;
        golden_shelf_save(&shelf, &golden, cases[i], cases[i]);
        float *again = calloc(tiny->elements, sizeof *again);
        golden_check(llm_adapter_load(tiny->adapter, shelf.path, again, &err) == 0, &err);
        assert_memory_equal(again, tiny->vector, tiny->elements * sizeof *again);
        llm_adapter_spec_t spec;
        golden_check(llm_adapter_spec_load(shelf.path, &spec, &err) == 0, &err);
        assert_int_equal(spec.rank, 4);
        assert_true(spec.alpha == 6.0f);
        assert_int_equal(spec.layers.some, strstr(cases[i], "_layers") != NULL);
        free(again);
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
        cmocka_unit_test(lora_losses_and_gradients_are_those_of_peft),
        cmocka_unit_test(full_losses_and_gradients_are_those_of_transformers),
        cmocka_unit_test(the_cpu_backend_gives_the_same),
        cmocka_unit_test(adapters_of_peft_survive_saving_and_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
