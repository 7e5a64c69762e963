/*
 * test_fence.c - the fence notices what it is there to notice.  Each mistake is
 * made by a process of its own, which must not survive it.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fence.h"

enum { N = 16 };

static llm_backend_t *fenced(void)
{
    llm_backend_t *inner = llm_backend_open("cpu", 1, NULL);
    assert_non_null(inner);
    llm_backend_t *be = fence_new(&inner, NULL);
    assert_non_null(be);
    assert_null(inner);
    return be;
}

/* What a process that does this says on standard error before it ends; its wait
 * status is in *status. */
static void outcome(void (*mistake)(llm_backend_t *), int *status, char said[256])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 2);
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's would tell at length */
        (void)signal(SIGABRT, SIG_DFL);
        mistake(fenced());
        _exit(0);
    }
    (void)close(ends[1]);
    ssize_t size = read(ends[0], said, 255);
    said[size > 0 ? size : 0] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, status, 0), child);
}

static void expect(void (*mistake)(llm_backend_t *), int signal_number, const char *words)
{
    int status = 0;
    char said[256];
    outcome(mistake, &status, said);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal_number);
    if (!strstr(said, words))
        fail_msg("it says '%s'", said);
}

static float *floats(llm_backend_t *be)
{
    float *at = be->ops->alloc(be, N * sizeof *at);
    be->ops->zero(be, at, N * sizeof *at);
    return at;
}

static llm_matrix_t *matrix(llm_backend_t *be)
{
    float weight[4] = {1, 2, 3, 4};
    return be->ops->matrix_new(be, weight, FMQ_F32, 2, 2, false);
}

static void no_mistake(llm_backend_t *be)
{
    float host[4] = {1, 1, 0, 0};
    float *x = floats(be), *y = floats(be);
    llm_matrix_t *w = matrix(be);
    be->ops->upload(be, x, host, sizeof host);
    be->ops->linear_forward(be, (llm_act_t *)y, 2, (llm_act_t *)x, 2, w, NULL, 1);
    be->ops->add(be, y, y, 2);
    be->ops->download(be, host, y, sizeof host);
    llm_backend_t *other = be->ops->another(be, 1, NULL);
    other->ops->matrix_destroy(other, &w);
    other->ops->release(other, x);
    be->ops->release(be, y);
    be->ops->release(be, NULL);
    llm_backend_destroy(&other);
    llm_backend_destroy(&be);
    _exit(host[0] == 6 && host[1] == 14 ? 0 : 1);
}

static void read_by_the_host(llm_backend_t *be)
{
    volatile float *at = floats(be);
    float value = at[3];
    _exit(value == 0);
}

static void written_by_the_host(llm_backend_t *be)
{
    volatile float *at = floats(be);
    at[0] = 1;
}

static void looked_into_by_the_host(llm_backend_t *be)
{
    const volatile char *at = (const volatile char *)matrix(be);
    _exit(at[0] == 0);
}

static void host_memory_for_an_op(llm_backend_t *be)
{
    float host[N] = {0};
    be->ops->add(be, floats(be), host, N);
}

static void device_memory_as_host_memory(llm_backend_t *be)
{
    be->ops->upload(be, floats(be), floats(be), N * sizeof(float));
}

static void a_vector_for_a_matrix(llm_backend_t *be)
{
    float *x = floats(be);
    be->ops->linear_forward(be, (llm_act_t *)x, 2, (llm_act_t *)x, 2,
                            (const llm_matrix_t *)floats(be), NULL, 1);
}

static void a_weight_on_the_host(llm_backend_t *be)
{
    float host[4] = {0}, *x = floats(be);
    llm_dense_t w = {.at = host, .out = 2, .in = 2, .stride = 2};
    be->ops->dense_forward(be, (llm_act_t *)x, 2, (llm_act_t *)x, 2, &w, NULL, 1);
}

static void starts_that_were_not_uploaded(llm_backend_t *be)
{
    static const uint32_t starts[] = {0, 1};
    llm_attention_t shape = {.T = 1,
                             .S = 1,
                             .starts = starts,
                             .longest = 1,
                             .H = 1,
                             .KV = 1,
                             .D = 2,
                             .scale = 1,
                             .q_stride = 2,
                             .k_stride = 2,
                             .v_stride = 2,
                             .out_stride = 2};
    float *x = floats(be);
    be->ops->attention_forward(be, (llm_act_t *)x, floats(be), (llm_act_t *)x, (llm_act_t *)x,
                               (llm_act_t *)x, &shape, floats(be));
}

static void more_than_was_given(llm_backend_t *be)
{
    float *x = floats(be);
    be->ops->zero(be, x, (N + 1) * sizeof *x);
    be->ops->release(be, x);
}

static void what_is_right_stays_right(void **state)
{
    (void)state;
    int status = 0;
    char said[256];
    outcome(no_mistake, &status, said);
    assert_string_equal(said, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_host_that_touches_backend_memory_dies(void **state)
{
    (void)state;
    expect(read_by_the_host, SIGSEGV, "");
    expect(written_by_the_host, SIGSEGV, "");
    expect(looked_into_by_the_host, SIGSEGV, "");
}

static void an_op_that_is_given_the_wrong_memory_names_itself(void **state)
{
    (void)state;
    expect(host_memory_for_an_op, SIGABRT, "add is given host memory as x");
    expect(device_memory_as_host_memory, SIGABRT, "upload is given the backend's memory as host");
    expect(a_vector_for_a_matrix, SIGABRT, "linear_forward is given what is no matrix as w");
    expect(a_weight_on_the_host, SIGABRT, "dense_forward is given host memory as w->at");
    expect(starts_that_were_not_uploaded, SIGABRT, "attention_forward is given other starts");
    expect(more_than_was_given, SIGABRT, "behind the end of 64 bytes");
}

static void memory_that_nobody_has_written_is_no_number(void **state)
{
    (void)state;
    llm_backend_t *be = fenced();
    float host[N] = {0}, *x = be->ops->alloc(be, sizeof host);
    be->ops->download(be, host, x, sizeof host);
    for (size_t i = 0; i < N; i++)
        assert_true(isnan(host[i]));
    be->ops->zero(be, x, sizeof host);
    be->ops->release(be, x);
    float *again = be->ops->alloc(be, sizeof host);
    be->ops->download(be, host, again, sizeof host);
    assert_true(isnan(host[0]) && isnan(host[N - 1]));
    be->ops->release(be, again);
    assert_null(be->ops->alloc(be, SIZE_MAX));
    assert_null(be->ops->alloc(be, SIZE_MAX / 2));
    llm_backend_destroy(&be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_stays_right),
        cmocka_unit_test(a_host_that_touches_backend_memory_dies),
        cmocka_unit_test(an_op_that_is_given_the_wrong_memory_names_itself),
        cmocka_unit_test(memory_that_nobody_has_written_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
