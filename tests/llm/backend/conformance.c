/*
 * conformance.c - compares traces of cases: near the reference's, or another
 * way's bytes.
 */
#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "gradcheck.h"

static const conformance_t *subject; /* set once, by conformance_run() */

/* Runs a case in a way; nothing may have failed on it.  End with end_trace(). */
static trace_t trace_in(size_t way, const case_t *which)
{
    fmq_error_t err;
    llm_backend_t *be = subject->open(way);
    trace_t trace = trace_of(which, be);
    if (be->ops->synchronize(be, &err) < 0)
        fail_msg("%s, %s: %s", which->name, subject->ways[way], err.text);
    return trace;
}

static void end_trace(trace_t *trace)
{
    llm_backend_t *be = trace->be;
    trace_release(trace);
    llm_backend_destroy(&be);
}

static void every_op_agrees_with_the_reference(void **state)
{
    const case_t *which = *state;
    trace_t expected =
        trace_of(which, llm_backend_reference_act_new(subject->in_half ? FMQ_BF16 : FMQ_F32, NULL));
    trace_t actual = trace_in(0, which);
    assert_int_equal(actual.size, expected.size);
    for (size_t i = 0; i < actual.size; i++) {
        const trace_entry_t *a = &actual.entries[i];
        const trace_entry_t *e = &expected.entries[i];
        assert_string_equal(a->label, e->label);
        double error = nmse(a->data, e->data, e->count);
        if (!(error <= subject->nmse_max(which->name)))
            fail_msg("%s, %s: NMSE %g against the reference", which->name, a->label, error);
    }
    end_trace(&expected);
    end_trace(&actual);
}

static void every_op_gives_the_same_bytes_in_every_way(void **state)
{
    const case_t *which = *state;
    trace_t expected = trace_in(0, which);
    for (size_t way = 1; way < subject->count; way++) {
        trace_t actual = trace_in(way, which);
        assert_int_equal(actual.size, expected.size);
        for (size_t i = 0; i < actual.size; i++)
            if (memcmp(actual.entries[i].data, expected.entries[i].data,
                       expected.entries[i].count * sizeof(float)) != 0)
                fail_msg("%s, %s: other bytes with %s", which->name, expected.entries[i].label,
                         subject->ways[way]);
        end_trace(&actual);
    }
    end_trace(&expected);
}

int conformance_run(const conformance_t *what, const char *filter)
{
    struct CMUnitTest tests[64];
    char names[64][96];
    size_t count = 0;
    subject = what;
    for (size_t i = 0; i < cases_count; i++)
        for (int second = 0; second < 2; second++) {
            snprintf(names[count], sizeof names[count], "%s: %s", cases[i].name,
                     second ? what->same : "agrees with the reference");
            tests[count] =
                (struct CMUnitTest){.name = names[count],
                                    .test_func = second ? every_op_gives_the_same_bytes_in_every_way
                                                        : every_op_agrees_with_the_reference,
                                    .initial_state = (void *)(uintptr_t)&cases[i]};
            count++;
        }
    if (filter)
        cmocka_set_test_filter(filter);
    return _cmocka_run_group_tests(what->group, tests, count, NULL, NULL);
}
