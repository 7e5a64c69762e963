/*
 * conformance.h - every case of cases.h as two tests of a backend: it agrees with
 * the reference, and it gives the same bytes in whatever way it computes.
 */
#ifndef TESTS_BACKEND_CONFORMANCE_H
#define TESTS_BACKEND_CONFORMANCE_H

#include <stdbool.h>

#include "fedmq/llm/backend.h"

typedef struct {
    const char *group;       /* "cpu backend" */
    const char *same;        /* of a case's second test: "same bytes at any number of threads" */
    bool in_half;            /* activations in BF16 */
    const char *const *ways; /* to compute: "2 threads"; the others have the first one's bytes */
    size_t count;
    llm_backend_t *(*open)(size_t way);    /* an instance that computes so; fails the test */
    double (*nmse_max)(const char *which); /* of a case's entries, against the reference */
} conformance_t;

/* Runs the tests whose names match the filter; NULL: all.  Returns main()'s status. */
int conformance_run(const conformance_t *subject, const char *filter);

#endif
