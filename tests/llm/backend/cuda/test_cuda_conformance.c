/*
 * test_cuda_conformance.c - every op of the GPU backend, whole, against the
 * reference; and against itself, to the bit: emulated in other orders of blocks,
 * warps and lanes, and on other devices where there are several.
 *
 * Usage: test_cuda_conformance bf16|f32 [FILTER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../cases.h"
#include "../gradcheck.h"
#include "llm/backend/cuda/cuda.h"

/* Products and norms round what they store; LoRA and dense weights factors as
 * well, and attention its probabilities; products with codes round code times
 * scale. */
#define FLOAT_NMSE_MAX     1e-10
#define HALF_NMSE_MAX      1e-5
#define FACTORS_NMSE_MAX   5e-5
#define ATTENTION_NMSE_MAX 1e-4

static bool in_half; /* the mode that is tested; set once, by main() */

static llm_backend_t *on(int number)
{
    fmq_error_t err;
    int count = 1;
    const char *wrong = llm_cuda_count(&count);
    if (wrong)
        fail_msg("%s", wrong);
    llm_backend_t *be = llm_cuda_new(number % count, in_half, &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

static double nmse_max(const char *name)
{
    bool softmax = strcmp(name, "attention") == 0 || strcmp(name, "decoding") == 0;
    if (!in_half)
        return FLOAT_NMSE_MAX;
    if (strcmp(name, "lora") == 0 || strcmp(name, "dense weights") == 0)
        return FACTORS_NMSE_MAX;
    return softmax || strstr(name, "matrices") ? ATTENTION_NMSE_MAX : HALF_NMSE_MAX;
}

/* Runs a case; nothing may have failed on the way. */
static trace_t checked_trace(const case_t *which, llm_backend_t *be)
{
    fmq_error_t err;
    trace_t trace = trace_of(which, be);
    if (be->ops->synchronize(be, &err) < 0)
        fail_msg("%s: %s", which->name, err.text);
    return trace;
}

static void every_op_agrees_with_the_reference(void **state)
{
    const case_t *which = *state;
    llm_backend_t *reference = llm_backend_reference_act_new(in_half ? FMQ_BF16 : FMQ_F32, NULL);
    llm_backend_t *cuda = on(0);
    llm_cuda_emulated_order(0);
    trace_t expected = trace_of(which, reference);
    trace_t actual = checked_trace(which, cuda);
    assert_int_equal(actual.size, expected.size);
    for (size_t i = 0; i < actual.size; i++) {
        const trace_entry_t *a = &actual.entries[i];
        const trace_entry_t *e = &expected.entries[i];
        assert_string_equal(a->label, e->label);
        double error = nmse(a->data, e->data, e->count);
        if (!(error <= nmse_max(which->name)))
            fail_msg("%s, %s: NMSE %g against the reference", which->name, a->label, error);
    }
    trace_release(&expected);
    trace_release(&actual);
    llm_backend_destroy(&reference);
    llm_backend_destroy(&cuda);
}

static void every_op_gives_the_same_bytes_in_any_order_and_on_any_device(void **state)
{
    static const uint64_t orders[] = {3, 1, 2};
    const case_t *which = *state;
    const size_t count = in_half ? 3 : 1; /* in floats its attention and adapters are slow here */
    llm_backend_t *first = on(0);
    llm_cuda_emulated_order(0);
    trace_t expected = checked_trace(which, first);
    for (size_t k = 0; k < count; k++) {
        llm_backend_t *other = on((int)k + 1);
        llm_cuda_emulated_order(orders[k]);
        trace_t actual = checked_trace(which, other);
        assert_int_equal(actual.size, expected.size);
        for (size_t i = 0; i < actual.size; i++)
            if (memcmp(actual.entries[i].data, expected.entries[i].data,
                       expected.entries[i].count * sizeof(float)) != 0)
                fail_msg("%s, %s: other bytes in order %zu", which->name, expected.entries[i].label,
                         k);
        trace_release(&actual);
        llm_backend_destroy(&other);
    }
    trace_release(&expected);
    llm_backend_destroy(&first);
}

int main(int argc, char **argv)
{
    in_half = argc > 1 && strcmp(argv[1], "bf16") == 0;
    struct CMUnitTest tests[64];
    char names[64][96];
    size_t count = 0;
    for (size_t i = 0; i < cases_count; i++)
        for (int second = 0; second < 2; second++) {
            snprintf(names[count], sizeof names[count], "%s: %s", cases[i].name,
                     second ? "same bytes in any order and on any device"
                            : "agrees with the reference");
            tests[count] = (struct CMUnitTest){
                .name = names[count],
                .test_func = second ? every_op_gives_the_same_bytes_in_any_order_and_on_any_device
                                    : every_op_agrees_with_the_reference,
                .initial_state = (void *)(uintptr_t)&cases[i]};
            count++;
        }
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return _cmocka_run_group_tests("cuda backend", tests, count, NULL, NULL);
}
