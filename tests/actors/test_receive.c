/*
 * test_receive.c - the readers of fetched objects, fed by hand.
 */
#include "actors_test.h"

#include <math.h>

#include "fedmq/actors/receive.h"

static fmq_event_t event_of(fmq_event_type_t type, const fmq_object_t *object, uint32_t index)
{
    fmq_event_t event = {.type = type,
                         .digest = *fmq_object_digest(object),
                         .index = index,
                         .chunks = fmq_object_chunks(object)};
    if (type == FMQ_EVENT_CHUNK)
        event.data = fmq_object_chunk(object, index, &event.size);
    if (type == FMQ_EVENT_FAILED)
        (void)fmq_error_set(&event.error, FMQ_ERR_NOTFOUND, "nobody has it");
    return event;
}

typedef struct {
    fmq_schema_t *schema;
    float *vector, *back;
    fmq_object_t *object;
    fmq_state_reader_t reader;
} fixture_t;

static int setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof *fixture);
    fixture->schema = test_schema();
    fixture->vector = test_vector(fixture->schema, 1);
    fixture->back = test_vector(fixture->schema, 2);
    fixture->object = fmq_state_encode(fixture->schema, fixture->vector, FMQ_CODEC_F32, NULL);
    fmq_state_reader_begin(&fixture->reader, fixture->schema, fmq_object_digest(fixture->object),
                           fixture->back);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;
    fmq_object_drop(&fixture->object);
    free(fixture->vector);
    free(fixture->back);
    fmq_schema_destroy(&fixture->schema);
    free(fixture);
    return 0;
}

static fmq_receive_t feed(fixture_t *fixture, fmq_event_type_t type, uint32_t index,
                          fmq_error_t *err)
{
    fmq_event_t event = event_of(type, fixture->object, index);
    return fmq_state_reader_take(&fixture->reader, &event, err);
}

static void a_state_arrives_chunk_by_chunk(void **state)
{
    fixture_t *fixture = *state;
    assert_true(fmq_object_bytes(fixture->object) <= fmq_state_bytes_max(fixture->schema));
    assert_int_equal(feed(fixture, FMQ_EVENT_CHUNK, 0, NULL), FMQ_RECEIVE_MORE);
    assert_int_equal(fixture->reader.next, 1);
    assert_int_equal(feed(fixture, FMQ_EVENT_CHUNK, 1, NULL), FMQ_RECEIVE_MORE);
    assert_int_equal(feed(fixture, FMQ_EVENT_FETCHED, 0, NULL), FMQ_RECEIVE_DONE);
    assert_false(fixture->reader.active);
    assert_memory_equal(fixture->back, fixture->vector,
                        fmq_schema_elements(fixture->schema) * sizeof(float));
    assert_int_equal(feed(fixture, FMQ_EVENT_CHUNK, 0, NULL), FMQ_RECEIVE_OTHER);
}

static void events_of_others_are_not_taken(void **state)
{
    fixture_t *fixture = *state;
    fmq_object_t *other = fmq_object_from_bytes("other", 5, NULL);
    fmq_event_t event = event_of(FMQ_EVENT_CHUNK, other, 0);
    assert_int_equal(fmq_state_reader_take(&fixture->reader, &event, NULL), FMQ_RECEIVE_OTHER);
    event = event_of(FMQ_EVENT_NOTE, fixture->object, 0);
    assert_int_equal(fmq_state_reader_take(&fixture->reader, &event, NULL), FMQ_RECEIVE_OTHER);
    assert_true(fixture->reader.active);
    fmq_object_drop(&other);
}

static void a_chunk_out_of_turn_or_a_wrong_count_ends_the_reading(void **state)
{
    fixture_t *fixture = *state;
    fmq_error_t err;
    assert_int_equal(feed(fixture, FMQ_EVENT_CHUNK, 1, &err), FMQ_RECEIVE_FAILED);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    fmq_state_reader_begin(&fixture->reader, fixture->schema, fmq_object_digest(fixture->object),
                           fixture->back);
    fmq_event_t event = event_of(FMQ_EVENT_CHUNK, fixture->object, 0);
    event.chunks = 9;
    assert_int_equal(fmq_state_reader_take(&fixture->reader, &event, &err), FMQ_RECEIVE_FAILED);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
}

static void an_end_before_the_last_chunk_and_the_links_failure_are_failures(void **state)
{
    fixture_t *fixture = *state;
    fmq_error_t err;
    assert_int_equal(feed(fixture, FMQ_EVENT_CHUNK, 0, &err), FMQ_RECEIVE_MORE);
    assert_int_equal(feed(fixture, FMQ_EVENT_FETCHED, 0, &err), FMQ_RECEIVE_FAILED);
    fmq_state_reader_begin(&fixture->reader, fixture->schema, fmq_object_digest(fixture->object),
                           fixture->back);
    assert_int_equal(feed(fixture, FMQ_EVENT_FAILED, 0, &err), FMQ_RECEIVE_FAILED);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_string_equal(err.text, "nobody has it");
}

static void bytes_grow_up_to_their_limit(void **state)
{
    (void)state;
    size_t size = 3 * FMQ_CHUNK_MAX + 17;
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7);
    fmq_object_t *object = fmq_object_from_bytes(data, size, NULL);
    for (int round = 0; round < 2; round++) {
        fmq_bytes_reader_t reader;
        fmq_error_t err;
        fmq_bytes_reader_begin(&reader, fmq_object_digest(object), round == 0 ? size : size - 1);
        fmq_receive_t got = FMQ_RECEIVE_MORE;
        for (uint32_t i = 0; i < fmq_object_chunks(object) && got == FMQ_RECEIVE_MORE; i++) {
            fmq_event_t event = event_of(FMQ_EVENT_CHUNK, object, i);
            got = fmq_bytes_reader_take(&reader, &event, &err);
        }
        if (round == 0) {
            fmq_event_t event = event_of(FMQ_EVENT_FETCHED, object, 0);
            assert_int_equal(fmq_bytes_reader_take(&reader, &event, &err), FMQ_RECEIVE_DONE);
            assert_int_equal(reader.size, size);
            assert_memory_equal(reader.data, data, size);
            assert_int_equal(reader.data[size], 0);
        } else {
            assert_int_equal(got, FMQ_RECEIVE_FAILED);
            assert_int_equal(err.code, FMQ_ERR_LIMIT);
        }
        fmq_bytes_reader_release(&reader);
        assert_null(reader.data);
    }
    fmq_object_drop(&object);
    free(data);
}

static void an_empty_object_gives_an_empty_text(void **state)
{
    (void)state;
    fmq_object_t *object = fmq_object_from_bytes("", 0, NULL);
    assert_non_null(object);
    fmq_bytes_reader_t reader;
    fmq_bytes_reader_begin(&reader, fmq_object_digest(object), 10);
    fmq_receive_t got = FMQ_RECEIVE_MORE;
    for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
        fmq_event_t event = event_of(FMQ_EVENT_CHUNK, object, i);
        got = fmq_bytes_reader_take(&reader, &event, NULL);
    }
    assert_int_equal(got, FMQ_RECEIVE_MORE);
    fmq_event_t event = event_of(FMQ_EVENT_FETCHED, object, 0);
    assert_int_equal(fmq_bytes_reader_take(&reader, &event, NULL), FMQ_RECEIVE_DONE);
    assert_string_equal(reader.data, "");
    fmq_bytes_reader_release(&reader);
    fmq_object_drop(&object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_state_arrives_chunk_by_chunk),
        TEST(events_of_others_are_not_taken),
        TEST(a_chunk_out_of_turn_or_a_wrong_count_ends_the_reading),
        TEST(an_end_before_the_last_chunk_and_the_links_failure_are_failures),
        cmocka_unit_test(bytes_grow_up_to_their_limit),
        cmocka_unit_test(an_empty_object_gives_an_empty_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
