/*
 * test_store.c - publishing, readers, withdrawal and limits of the store.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/broker/store.h"

static fmq_object_t *object_of(const char *text)
{
    fmq_object_t *object = fmq_object_from_bytes(text, strlen(text), NULL);
    assert_non_null(object);
    return object;
}

static bool readable(fmq_store_t *store, const fmq_digest_t *digest, const char *name,
                     const char *role)
{
    fmq_object_t *object = fmq_store_get(store, digest, name, role);
    bool found = object != NULL;
    fmq_object_drop(&object);
    return found;
}

static void only_named_readers_and_the_owner_get_an_object(void **state)
{
    (void)state;
    fmq_store_t *store = fmq_store_new(1000);
    fmq_object_t *object = object_of("x");
    const fmq_digest_t *digest = fmq_object_digest(object);
    assert_int_equal(fmq_store_put(store, object, "client-1", "server", NULL), 0);
    assert_true(readable(store, digest, "server", "server"));
    assert_true(readable(store, digest, "client-1", "client"));
    assert_false(readable(store, digest, "client-2", "client"));
    assert_int_equal(fmq_store_put(store, object, "client-1", "@evaluator", NULL), 0);
    assert_true(readable(store, digest, "anyone", "evaluator"));
    assert_false(readable(store, digest, "evaluator", "client"));
    assert_int_equal(fmq_store_put(store, object, "server", "*", NULL), 0);
    assert_true(readable(store, digest, "client-2", "client"));
    assert_int_equal(fmq_store_size(store), 1);
    assert_true(fmq_store_bytes(store) == 1);
    fmq_object_drop(&object);
    fmq_store_destroy(&store);
}

static void an_object_stays_until_its_last_owner_withdraws(void **state)
{
    (void)state;
    fmq_store_t *store = fmq_store_new(1000);
    fmq_object_t *object = object_of("shared");
    fmq_digest_t digest = *fmq_object_digest(object);
    assert_int_equal(fmq_store_put(store, object, "a", "*", NULL), 0);
    assert_int_equal(fmq_store_put(store, object, "b", "*", NULL), 0);
    assert_true(fmq_store_has(store, &digest, "a"));
    fmq_store_withdraw(store, &digest, "a");
    assert_false(fmq_store_has(store, &digest, "a"));
    assert_true(readable(store, &digest, "c", "client"));
    fmq_object_t *reader = fmq_store_get(store, &digest, "c", "client");
    fmq_store_withdraw(store, &digest, "b");
    fmq_store_withdraw(store, &digest, "b");
    assert_false(readable(store, &digest, "c", "client"));
    assert_int_equal(fmq_store_size(store), 0);
    assert_true(fmq_store_bytes(store) == 0);
    size_t size;
    fmq_object_drop(&object);
    assert_memory_equal(fmq_object_chunk(reader, 0, &size), "shared", 6);
    fmq_object_drop(&reader);
    fmq_store_destroy(&store);
}

static void an_owner_withdraws_everything_at_once(void **state)
{
    (void)state;
    fmq_store_t *store = fmq_store_new(1000);
    for (char text[2] = "a"; text[0] < 'k'; text[0]++) {
        fmq_object_t *object = object_of(text);
        assert_int_equal(fmq_store_put(store, object, "mine", "*", NULL), 0);
        if (text[0] == 'c')
            assert_int_equal(fmq_store_put(store, object, "yours", "*", NULL), 0);
        fmq_object_drop(&object);
    }
    assert_int_equal(fmq_store_size(store), 10);
    fmq_store_withdraw(store, NULL, "mine");
    assert_int_equal(fmq_store_size(store), 1);
    assert_true(fmq_store_bytes(store) == 1);
    fmq_store_destroy(&store);
}

static void a_full_store_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_store_t *store = fmq_store_new(5);
    fmq_object_t *first = object_of("1234"), *second = object_of("567");
    assert_int_equal(fmq_store_put(store, first, "a", "*", &err), 0);
    assert_int_equal(fmq_store_put(store, second, "a", "*", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(fmq_store_put(store, first, "a", "@client", &err), 0);
    fmq_store_withdraw(store, fmq_object_digest(first), "a");
    assert_int_equal(fmq_store_put(store, second, "a", "*", &err), 0);
    fmq_object_drop(&first);
    fmq_object_drop(&second);
    fmq_store_destroy(&store);
}

static void bad_names_and_unsealed_objects_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_store_t *store = fmq_store_new(100);
    fmq_object_t *object = fmq_object_new();
    assert_int_equal(fmq_object_add(object, "x", 1, NULL), 0);
    assert_int_equal(fmq_store_put(store, object, "a", "*", &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    fmq_object_seal(object);
    static const char *const wrong[] = {"", "Server", "@nobody", "**", "a b", "@"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(fmq_store_put(store, object, "a", wrong[i], &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        assert_int_equal(fmq_store_put(store, object, wrong[i], "*", &err), -1);
    }
    assert_int_equal(fmq_store_size(store), 0);
    fmq_object_drop(&object);
    fmq_store_destroy(&store);
}

static void *put_get_withdraw(void *argument)
{
    fmq_store_t *store = argument;
    fmq_object_t *object = fmq_object_from_bytes("common", 6, NULL);
    for (int i = 0; i < 2000; i++) {
        char owner[32];
        (void)snprintf(owner, sizeof owner, "owner-%d", i % 7);
        if (fmq_store_put(store, object, owner, "*", NULL) < 0)
            return argument;
        fmq_object_t *read = fmq_store_get(store, fmq_object_digest(object), "reader", "client");
        fmq_object_drop(&read);
        fmq_store_withdraw(store, i % 2 ? NULL : fmq_object_digest(object), owner);
    }
    fmq_object_drop(&object);
    return NULL;
}

static void threads_use_one_store(void **state)
{
    (void)state;
    fmq_store_t *store = fmq_store_new(1000);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_get_withdraw, store), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(fmq_store_size(store), 0);
    assert_true(fmq_store_bytes(store) == 0);
    fmq_store_destroy(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_named_readers_and_the_owner_get_an_object),
        cmocka_unit_test(an_object_stays_until_its_last_owner_withdraws),
        cmocka_unit_test(an_owner_withdraws_everything_at_once),
        cmocka_unit_test(a_full_store_refuses_and_keeps_what_it_has),
        cmocka_unit_test(bad_names_and_unsealed_objects_are_refused),
        cmocka_unit_test(threads_use_one_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
