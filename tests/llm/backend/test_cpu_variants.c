/*
 * test_cpu_variants.c - every op of the CPU backend gives the same bytes with
 * every set of kernels that this machine can run, on the shapes of cases.h and
 * on values that are no ordinary numbers.
 *
 * A NaN is a NaN: its sign and payload are not compared, since they depend on
 * the order in which a compiler names two operands.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "cases_awkward.h"

#define VARIANTS_MAX 3

static llm_backend_t *variants[VARIANTS_MAX];
static size_t variants_count;

static void assert_same(const char *name, const trace_t *expected, const trace_t *actual)
{
    assert_int_equal(actual->size, expected->size);
    for (size_t i = 0; i < actual->size; i++) {
        const trace_entry_t *a = &actual->entries[i];
        const trace_entry_t *e = &expected->entries[i];
        assert_string_equal(a->label, e->label);
        for (size_t j = 0; j < a->count; j++)
            if (memcmp(&a->data[j], &e->data[j], sizeof(float)) != 0 &&
                !(isnan(a->data[j]) && isnan(e->data[j])))
                fail_msg("%s, %s [%zu]: %a with %s, %a with %s", name, a->label, j,
                         (double)a->data[j], llm_backend_variant(actual->be), (double)e->data[j],
                         llm_backend_variant(expected->be));
    }
}

static void every_variant_gives_the_same_bytes(void **state)
{
    const case_t *which = *state;
    trace_t expected = trace_of(which, variants[0]);
    for (size_t v = 1; v < variants_count; v++) {
        trace_t actual = trace_of(which, variants[v]);
        assert_same(which->name, &expected, &actual);
        trace_release(&actual);
    }
    trace_release(&expected);
}

static void open_variants(void)
{
    static const char *const names[VARIANTS_MAX] = {"avx512", "avx2", "portable"};
    fmq_error_t err;
    for (size_t i = 0; i < VARIANTS_MAX; i++) {
        setenv("FEDMQ_CPU", names[i], 1);
        llm_backend_t *be = llm_backend_cpu_new(2, &err);
        if (be)
            variants[variants_count++] = be;
        else
            printf("%s is not compared: %s\n", names[i], err.text);
    }
}

int main(void)
{
    open_variants();
    if (variants_count < 2) {
        printf("skipped: this machine runs one set of kernels only\n");
        return 77;
    }
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t i = 0; i < cases_count; i++)
        tests[count++] = (struct CMUnitTest){cases[i].name, every_variant_gives_the_same_bytes,
                                             NULL, NULL, (void *)(uintptr_t)&cases[i]};
    for (size_t i = 0; i < awkward_cases_count; i++)
        tests[count++] =
            (struct CMUnitTest){awkward_cases[i].name, every_variant_gives_the_same_bytes, NULL,
                                NULL, (void *)(uintptr_t)&awkward_cases[i]};
    int failed = _cmocka_run_group_tests("cpu variants", tests, count, NULL, NULL);
    for (size_t i = 0; i < variants_count; i++)
        llm_backend_destroy(&variants[i]);
    return failed;
}
