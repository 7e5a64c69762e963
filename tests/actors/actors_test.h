/*
 * actors_test.h - what the tests of the server's parts share: cmocka with its
 * headers, a scratch folder, and a small schema.
 */
#ifndef FEDMQ_TESTS_ACTORS_TEST_H
#define FEDMQ_TESTS_ACTORS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/schema.h"

/* A new folder in /tmp; removed by test_folder_remove(). */
void test_folder_make(char out[64]);
void test_folder_remove(const char *path);

/* "<folder>/<name>" in a buffer of the caller's. */
const char *test_path(char out[256], const char *folder, const char *name);

/* Tensors of 40 x 50, 1000 x 70 and 3 elements: two chunks. */
fmq_schema_t *test_schema(void);
/* A vector of the schema's elements, values depend on seed. */
float *test_vector(const fmq_schema_t *schema, uint32_t seed);

/* Orders memory between threads in a way that ThreadSanitizer can see (it does
 * not see ZeroMQ's): called at both ends of an actor, before it is made and
 * after it is destroyed. */
void test_fence(void);

#endif
