/*
 * golden_file.h - golden values that scripts/goldens/ wrote, as JSON.
 * Every failure in here fails the running test.
 */
#ifndef FEDMQ_TESTS_GOLDEN_FILE_H
#define FEDMQ_TESTS_GOLDEN_FILE_H

#include <jansson.h>
#include <stddef.h>

/* tests/llm/train/goldens/<name>, the caller's. */
json_t *golden_open(const char *name);
/* A number, or otherwise where the key is absent. */
double golden_number(const json_t *object, const char *key, double otherwise);
/* Fills out with a list of exactly count numbers. */
void golden_numbers(const json_t *list, double *out, size_t count);

#endif
