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

static void count_release(void *argument)
{
    ++*(int *)argument;
}

/* Segments of these sizes over one block of memory, which is returned. */
static uint8_t *cut(const uint64_t *sizes, size_t count, fmq_segment_t *segments)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += sizes[i];
    uint8_t *bytes = malloc(total + 1);
    for (uint64_t i = 0; i < total; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    total = 0;
    for (size_t i = 0; i < count; i++) {
        segments[i] = (fmq_segment_t){.data = sizes[i] ? bytes + total : NULL, .bytes = sizes[i]};
        total += sizes[i];
    }
    return bytes;
}

static void borrowed_segments_are_the_object_of_their_bytes(void **state)
{
    (void)state;
    const uint64_t sizes[][6] = {{0, 0, 0, 0, 0, 0},
                                 {1, 0, 2, 0, 0, 3},
                                 {FMQ_CHUNK_MAX, FMQ_CHUNK_MAX, 0, 1, 0, 0},
                                 {100, 0, 3 * FMQ_CHUNK_MAX, 5, 5, FMQ_CHUNK_MAX + 1},
                                 {0, FMQ_CHUNK_MAX - 1, 1, 1, FMQ_CHUNK_MAX - 1, 0}};
    for (size_t row = 0; row < sizeof sizes / sizeof *sizes; row++) {
        fmq_segment_t segments[6];
        int released = 0;
        uint64_t total = 0;
        for (size_t i = 0; i < 6; i++)
            total += sizes[row][i];
        uint8_t *bytes = cut(sizes[row], 6, segments);
        fmq_object_t *object = fmq_object_borrow(segments, 6, count_release, &released, NULL);
        fmq_object_t *same = fmq_object_from_bytes(bytes, total, NULL);
        assert_non_null(object);
        assert_true(fmq_object_sealed(object));
        assert_true(fmq_object_bytes(object) == total);
        assert_int_equal(fmq_object_chunks(object), fmq_object_chunks(same));
        assert_true(fmq_digest_equal(fmq_object_digest(object), fmq_object_digest(same)));
        for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
            size_t size;
            const void *chunk = fmq_object_chunk(object, i, &size);
            assert_memory_equal(chunk, bytes + (size_t)i * FMQ_CHUNK_MAX, size);
        }
        fmq_object_drop(&same);
        fmq_object_drop(&object);
        assert_int_equal(released, 1);
        free(bytes);
    }
}

static void only_a_chunk_across_segments_is_copied(void **state)
{
    (void)state;
    const uint64_t sizes[2] = {2 * FMQ_CHUNK_MAX + 10, 2 * FMQ_CHUNK_MAX};
    fmq_segment_t segments[2];
    uint8_t *bytes = cut(sizes, 2, segments);
    fmq_object_t *object = fmq_object_borrow(segments, 2, NULL, NULL, NULL);
    assert_int_equal(fmq_object_chunks(object), 5);
    for (uint32_t i = 0; i < 5; i++) {
        size_t size;
        const uint8_t *chunk = fmq_object_chunk(object, i, &size);
        bool lent = chunk == bytes + (size_t)i * FMQ_CHUNK_MAX;
        assert_int_equal(lent, i != 2);
    }
    fmq_object_drop(&object);
    free(bytes);
}

static void lent_memory_is_given_back_by_the_last_holder_only(void **state)
{
    (void)state;
    int released = 0;
    fmq_segment_t segment = {.data = "abc", .bytes = 3};
    fmq_object_t *object = fmq_object_borrow(&segment, 1, count_release, &released, NULL);
    fmq_object_t *mine = fmq_object_hold(object);
    fmq_object_drop(&object);
    assert_int_equal(released, 0);
    fmq_object_drop(&mine);
    assert_int_equal(released, 1);
}

static void segments_beyond_the_limit_are_refused_unread_and_unreleased(void **state)
{
    (void)state;
    int released = 0;
    fmq_error_t err;
    const fmq_segment_t segments[2] = {{.data = "abc", .bytes = 3},
                                       {.data = "abc", .bytes = UINT64_MAX - 1}};
    assert_null(fmq_object_borrow(segments, 2, count_release, &released, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(released, 0);
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
        cmocka_unit_test(borrowed_segments_are_the_object_of_their_bytes),
        cmocka_unit_test(only_a_chunk_across_segments_is_copied),
        cmocka_unit_test(lent_memory_is_given_back_by_the_last_holder_only),
        cmocka_unit_test(segments_beyond_the_limit_are_refused_unread_and_unreleased),
        cmocka_unit_test(threads_share_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
