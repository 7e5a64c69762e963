/*
 * test_config_memory.c - whichever allocation fails, a configuration is
 * refused with an error, nothing crashes and (under ASan) nothing leaks.
 *
 * The linker sends our allocations to the functions here (--wrap), which fail
 * once, at a chosen one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/config.h"

static long countdown; /* the allocation that fails; 0: none does */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);

static int fails(void)
{
    return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

static const char text[] = "llm: {adapter: {use: True, args: [{r: 8, 'x': 3}]}}\n"
                           "data: {batch_size: 3, splits: '(0.8, 0.1)'}\n"
                           "train: {optimizer: {betas: '(0.9, 0.95)'}}\n"
                           "client_1: {seed: 3}\nnonsense: 1\nseed: 2\nseed: 3\n";

/* Everything that a config can go through; mistakes are as welcome as not. */
static int use_config(void)
{
    int rc = -1;
    fmq_error_t err;
    fmq_config_t *clone = NULL, *view = NULL;
    char *dump = NULL;
    fmq_config_t *config = fmq_config_new();
    if (!config)
        return -1;
    (void)fmq_config_parse(config, "t", text, sizeof text - 1, &err);
    (void)fmq_config_set(config, "eval.split", "[val]", &err);
    (void)fmq_config_set(config, "llm.adapter.args.0.r", "4", &err);
    (void)fmq_config_set(config, "client_2.seed", "4", &err);
    (void)fmq_config_check(config, NULL, NULL, &err);
    clone = fmq_config_clone(config);
    view = clone ? fmq_config_for_client(clone, 2, &err) : NULL;
    dump = view ? fmq_config_dump(clone, true, &err) : NULL;
    rc = dump ? 0 : -1;
    free(dump);
    fmq_config_destroy(&view);
    fmq_config_destroy(&clone);
    fmq_config_destroy(&config);
    return rc;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    long failed = 0, at = 1;
    for (;; at++) {
        countdown = at;
        int rc = use_config();
        bool reached = countdown == 0;
        countdown = 0;
        if (!reached)
            break; /* there are no more */
        failed += rc < 0;
    }
    assert_true(at > 1000);
    assert_true(failed > 500);
}

static void a_pair_is_set_or_refused_for_want_of_memory(void **state)
{
    (void)state;
    long refused = 0;
    bool reached = true;
    for (long at = 1; reached; at++) {
        fmq_error_t err;
        fmq_config_t *config = fmq_config_new();
        countdown = at;
        int rc = fmq_config_set(config, "seed", "5", &err);
        reached = countdown == 0;
        countdown = 0;
        assert_int_equal(fmq_config_int(config, "seed"), rc < 0 ? 0 : 5);
        if (rc < 0)
            assert_int_equal(err.code, FMQ_ERR_NOMEM);
        refused += rc < 0;
        fmq_config_destroy(&config);
    }
    assert_true(refused > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(a_pair_is_set_or_refused_for_want_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
