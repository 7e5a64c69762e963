/*
 * tensors.c - see tensors.h.
 */
#include "tests/llm/offsite/tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

llm_weights_t *tensors_open(const char *name)
{
    fmq_error_t err;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", GOLDENS, name);
    llm_weights_t *file = llm_weights_open(path, &err);
    if (!file)
        fail_msg("%s", err.text);
    return file;
}

float *tensors_read(const llm_weights_t *file, const char *name, size_t *count)
{
    fmq_error_t err;
    const llm_tensor_view_t *view = llm_weights_find(file, name);
    if (!view)
        fail_msg("the golden file has no '%s'", name);
    uint64_t size = 1;
    for (uint32_t i = 0; i < view->rank; i++)
        size *= view->shape[i];
    float *out = malloc(size * sizeof *out + 1);
    assert_non_null(out);
    assert_int_equal(llm_weights_read(file, name, view->rank, view->shape, out, &err), 0);
    if (count)
        *count = size;
    return out;
}

double tensors_number(const llm_weights_t *file, const char *name)
{
    size_t count = 0;
    float *value = tensors_read(file, name, &count);
    assert_int_equal(count, 1);
    double number = (double)*value;
    free(value);
    return number;
}

void tensors_compare(const char *name, const float *ours, const float *theirs, size_t count,
                     double tolerance)
{
    double difference = 0.0, size = 0.0;
    for (size_t i = 0; i < count; i++) {
        assert_true(isfinite(ours[i]));
        difference = fmax(difference, fabs((double)ours[i] - (double)theirs[i]));
        size = fmax(size, fabs((double)theirs[i]));
    }
    if (!(difference <= tolerance * size))
        fail_msg("%s: largest difference %.3g, largest value %.3g", name, difference, size);
}
