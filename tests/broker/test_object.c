/*
 * test_object.c - chunks, limits, digests and references of objects.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/broker/object.h"

static void bytes_are_cut_into_full_chunks(void **state)
{
    (void)state;
    size_t size = 2 * FMQ_CHUNK_MAX + 7;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    fmq_object_t *object = fmq_object_from_bytes(bytes, size, NULL);
    assert_non_null(object);
    assert_int_equal(fmq_object_chunks(object), 3);
    assert_true(fmq_object_bytes(object) == size);
    size_t at = 0;
    for (uint32_t i = 0; i < 3; i++) {
        size_t part;
        const void *chunk = fmq_object_chunk(object, i, &part);
        assert_int_equal(part, i < 2 ? FMQ_CHUNK_MAX : 7);
        assert_memory_equal(chunk, bytes + at, part);
        at += part;
    }
    size_t none;
    assert_null(fmq_object_chunk(object, 3, &none));
    assert_int_equal(none, 0);
    fmq_object_drop(&object);
    assert_null(object);
    free(bytes);
}

static void the_digest_covers_sizes_and_bytes_of_chunks(void **state)
{
    (void)state;
    fmq_object_t *object = fmq_object_new();
    assert_int_equal(fmq_object_add(object, "abc", 3, NULL), 0);
    assert_int_equal(fmq_object_add(object, "d", 1, NULL), 0);
    fmq_object_seal(object);
    fmq_digest_t expected = fmq_digest_of("\3\0\0\0abc\1\0\0\0d", 12);
    assert_true(fmq_digest_equal(fmq_object_digest(object), &expected));

    fmq_digest_state_t running;
    fmq_digest_begin(&running);
    fmq_object_digest_chunk(&running, "abc", 3);
    fmq_object_digest_chunk(&running, "d", 1);
    fmq_digest_t again = fmq_digest_end(&running);
    assert_true(fmq_digest_equal(&again, &expected));

    fmq_object_t *other = fmq_object_from_bytes("abcd", 4, NULL);
    assert_false(fmq_digest_equal(fmq_object_digest(other), &expected));
    fmq_object_drop(&object);
    fmq_object_drop(&other);
}

static void chunks_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_object_t *object = fmq_object_new();
    uint8_t *big = calloc(1, FMQ_CHUNK_MAX + 1);
    assert_int_equal(fmq_object_add(object, big, FMQ_CHUNK_MAX + 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(fmq_object_add(object, big, 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(fmq_object_chunks(object), 0);
    assert_int_equal(fmq_object_add(object, big, FMQ_CHUNK_MAX, &err), 0);
    fmq_object_seal(object);
    assert_int_equal(fmq_object_add(object, big, 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    fmq_object_drop(&object);
    free(big);
}

static void a_place_is_filled_and_trimmed_by_its_writer(void **state)
{
    (void)state;
    fmq_object_t *object = fmq_object_new();
    char *place = fmq_object_place(object, 100, NULL);
    assert_non_null(place);
    strcpy(place, "hello");
    fmq_object_trim(object, 5);
    fmq_object_seal(object);
    fmq_object_t *same = fmq_object_from_bytes("hello", 5, NULL);
    assert_true(fmq_object_bytes(object) == 5);
    assert_true(fmq_digest_equal(fmq_object_digest(object), fmq_object_digest(same)));
    fmq_object_drop(&object);
    fmq_object_drop(&same);
}

static void an_object_of_no_bytes_has_no_chunks(void **state)
{
    (void)state;
    fmq_object_t *object = fmq_object_from_bytes(NULL, 0, NULL);
    assert_non_null(object);
    assert_int_equal(fmq_object_chunks(object), 0);
    fmq_digest_t expected = fmq_digest_of("", 0);
    assert_true(fmq_digest_equal(fmq_object_digest(object), &expected));
    fmq_object_drop(&object);
}

static void *hold_and_drop(void *argument)
{
    fmq_object_t *object = argument;
    for (int i = 0; i < 20000; i++) {
        fmq_object_t *mine = fmq_object_hold(object);
        size_t size;
        if (!fmq_object_chunk(mine, 0, &size) || size != 3)
            return argument;
        fmq_object_drop(&mine);
    }
    fmq_object_drop(&object);
    return NULL;
}

static void threads_share_references(void **state)
{
    (void)state;
    fmq_object_t *object = fmq_object_from_bytes("abc", 3, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, fmq_object_hold(object)),
                         0);
    fmq_object_drop(&object);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_cut_into_full_chunks),
        cmocka_unit_test(the_digest_covers_sizes_and_bytes_of_chunks),
        cmocka_unit_test(chunks_beyond_the_limits_are_refused),
        cmocka_unit_test(a_place_is_filled_and_trimmed_by_its_writer),
        cmocka_unit_test(an_object_of_no_bytes_has_no_chunks),
        cmocka_unit_test(threads_share_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
