/*
 * test_cpu_conformance.c - every op of the CPU backend, with every set of
 * kernels that this machine can run, against the reference; and with 1, 2, 3
 * and 7 threads against itself, to the bit.  With activations in BF16, against
 * the reference that rounds what it stores to BF16 as well.
 *
 * Usage: test_cpu_conformance VARIANT [bf16].  A machine that lacks the variant
 * skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "gradcheck.h"

#define NMSE_MAX 1e-11 /* 3e-6 relative, root mean square */

/* With BF16, where two ways of summing end on either side of a middle they are
 * rounded 2^-8 apart: that is rare.  Attention rounds probabilities as well,
 * and products with codes round code times scale. */
#define HALF_NMSE_MAX      1e-6
#define CODES_NMSE_MAX     2e-4
#define ATTENTION_NMSE_MAX 1e-4

static bool in_half; /* the mode that is tested; set once, by main() */

static llm_backend_t *cpu_with(unsigned threads)
{
    fmq_error_t err;
    llm_backend_t *be =
        in_half ? llm_backend_cpu_new_half(threads, &err) : llm_backend_cpu_new(threads, &err);
    if (!be)
        fail_msg("%s", err.text);
    return be;
}

static double nmse_max(const char *name)
{
    if (!in_half)
        return NMSE_MAX;
    if (strcmp(name, "attention") == 0 || strcmp(name, "decoding") == 0)
        return ATTENTION_NMSE_MAX;
    return strstr(name, "matrices") ? CODES_NMSE_MAX : HALF_NMSE_MAX;
}

static void every_op_agrees_with_the_reference(void **state)
{
    const case_t *which = *state;
    llm_backend_t *reference = llm_backend_reference_act_new(in_half ? FMQ_BF16 : FMQ_F32, NULL);
    llm_backend_t *cpu = cpu_with(2);
    trace_t expected = trace_of(which, reference);
    trace_t actual = trace_of(which, cpu);
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
    llm_backend_destroy(&cpu);
}

static void every_op_gives_the_same_bytes_at_any_number_of_threads(void **state)
{
    static const unsigned threads[] = {2, 3, 7};
    const case_t *which = *state;
    llm_backend_t *one = cpu_with(1);
    trace_t expected = trace_of(which, one);
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        llm_backend_t *many = cpu_with(threads[t]);
        trace_t actual = trace_of(which, many);
        assert_int_equal(actual.size, expected.size);
        for (size_t i = 0; i < actual.size; i++)
            if (memcmp(actual.entries[i].data, expected.entries[i].data,
                       expected.entries[i].count * sizeof(float)) != 0)
                fail_msg("%s, %s: other bytes with %u threads", which->name,
                         expected.entries[i].label, threads[t]);
        trace_release(&actual);
        llm_backend_destroy(&many);
    }
    trace_release(&expected);
    llm_backend_destroy(&one);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        setenv("FEDMQ_CPU", argv[1], 1);
    in_half = argc > 2 && strcmp(argv[2], "bf16") == 0;
    fmq_error_t err;
    llm_backend_t *probe =
        in_half ? llm_backend_cpu_new_half(1, &err) : llm_backend_cpu_new(1, &err);
    if (!probe) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    if (argc > 1 && strcmp(llm_backend_variant(probe), argv[1]) != 0)
        return 1;
    llm_backend_destroy(&probe);
    struct CMUnitTest tests[64];
    char names[64][96];
    size_t count = 0;
    for (size_t i = 0; i < cases_count; i++)
        for (int second = 0; second < 2; second++) {
            snprintf(names[count], sizeof names[count], "%s: %s", cases[i].name,
                     second ? "same bytes at any number of threads" : "agrees with the reference");
            tests[count] = (struct CMUnitTest){
                .name = names[count],
                .test_func = second ? every_op_gives_the_same_bytes_at_any_number_of_threads
                                    : every_op_agrees_with_the_reference,
                .initial_state = (void *)(uintptr_t)&cases[i]};
            count++;
        }
    return _cmocka_run_group_tests("cpu backend", tests, count, NULL, NULL);
}
