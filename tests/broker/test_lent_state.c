/*
 * test_lent_state.c - objects over a vector that lies with its owner, and what
 * their readers meet when it is moved or taken away.
 */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/fetch.h"
#include "broker/lent_state.h"
#include "broker/stream.h"
#include "tests/base/counted_digest.h"
#include "tests/broker/recorder.h"

#define OFFSET 24 /* of the values in a file */

typedef struct {
    fmq_schema_t *schema;
    uint64_t elements;
    float *vector, *copy; /* what is lent, and the same for comparison */
    float *taken;
    fmq_lent_state_t *lent;
    char path[64];
} bench_t;

static int setup(void **state)
{
    const uint64_t counts[] = {1, 100000, 3, FMQ_STATE_RANGE_MAX, 7, 30000};
    bench_t *self = calloc(1, sizeof *self);
    self->schema = fmq_schema_new(FMQ_F32);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "layer.%zu", i);
        assert_int_equal(fmq_schema_add(self->schema, name, 1, &counts[i], NULL), 0);
    }
    self->elements = fmq_schema_elements(self->schema);
    size_t bytes = (size_t)self->elements * sizeof *self->vector;
    self->vector = malloc(bytes);
    self->copy = malloc(bytes);
    self->taken = calloc(1, bytes);
    for (uint64_t i = 0; i < self->elements; i++)
        self->copy[i] = (float)sin((double)i);
    memcpy(self->vector, self->copy, bytes);
    (void)snprintf(self->path, sizeof self->path, "/tmp/fedmq-lent-%d", (int)getpid());
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    bench_t *self = *state;
    fmq_lent_state_end(&self->lent);
    fmq_schema_destroy(&self->schema);
    free(self->vector);
    free(self->copy);
    free(self->taken);
    (void)unlink(self->path);
    free(self);
    return 0;
}

static fmq_object_t *lend(bench_t *self, fmq_codec_t codec)
{
    self->lent = fmq_lent_state_new(self->schema, self->vector, codec, NULL);
    assert_non_null(self->lent);
    return fmq_lent_state_object(self->lent);
}

/* Moves the lent state to a file, and writes to the vector as its owner may. */
static void move(bench_t *self)
{
    static const char front[OFFSET] = "something before it";
    FILE *file = fopen(self->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(front, 1, OFFSET, file), OFFSET);
    assert_int_equal(fwrite(self->copy, sizeof *self->copy, self->elements, file), self->elements);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(fmq_lent_state_move(self->lent, self->path, OFFSET, NULL), 0);
    memset(self->vector, 0x5a, (size_t)self->elements * sizeof *self->vector);
}

static void damage(const bench_t *self)
{
    FILE *file = fopen(self->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, OFFSET + 300000, SEEK_SET), 0);
    assert_int_equal(fwrite("dent", 1, 4, file), 4);
    assert_int_equal(fclose(file), 0);
}

static int take(void *argument, uint64_t first, uint64_t count, const float *values,
                fmq_error_t *err)
{
    bench_t *self = argument;
    (void)err;
    memcpy(self->taken + first, values, (size_t)count * sizeof *values);
    return 0;
}

static int read_state(bench_t *self, const fmq_object_t *object, fmq_error_t *err)
{
    return fmq_state_read(object, self->schema, take, self, err);
}

static void check_taken(const bench_t *self)
{
    assert_memory_equal(self->taken, self->copy, (size_t)self->elements * sizeof *self->copy);
}

static void its_chunks_are_those_of_an_encoded_state(void **state)
{
    bench_t *self = *state;
    uint8_t *chunk = malloc(FMQ_CHUNK_MAX);
    for (int codec = FMQ_CODEC_F32; codec <= FMQ_CODEC_BF16; codec++) {
        fmq_object_t *object = lend(self, (fmq_codec_t)codec);
        fmq_object_t *whole =
            fmq_state_encode(self->schema, self->vector, (fmq_codec_t)codec, NULL);
        assert_true(fmq_digest_equal(fmq_object_digest(object), fmq_object_digest(whole)));
        assert_int_equal(fmq_object_chunks(object), fmq_object_chunks(whole));
        assert_true(fmq_object_bytes(object) == fmq_object_bytes(whole));
        for (uint32_t i = 0; i < fmq_object_chunks(whole); i++) {
            size_t size, same;
            const void *bytes = fmq_object_chunk(whole, i, &size);
            assert_null(fmq_object_chunk(object, i, &same));
            assert_int_equal(same, size);
            assert_int_equal(fmq_object_copy(object, i, chunk, NULL), 0);
            assert_memory_equal(chunk, bytes, size);
        }
        fmq_object_drop(&whole);
        fmq_lent_state_end(&self->lent);
    }
    free(chunk);
}

static void what_no_codec_holds_is_not_lent(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    self->vector[100002] = NAN;
    assert_null(fmq_lent_state_new(self->schema, self->vector, FMQ_CODEC_F32, &err));
    assert_int_equal(err.code, FMQ_ERR_NUMERIC);
    assert_non_null(strstr(err.text, "'layer.2': element 1 is nan"));
    float *vector = self->vector;
    assert_null(fmq_state_give(self->schema, &vector, FMQ_CODEC_F32, &err));
    assert_ptr_equal(vector, self->vector);
}

static void it_is_digested_once_however_often_it_is_read(void **state)
{
    bench_t *self = *state;
    uint64_t before = counted_digest();
    fmq_object_t *object = lend(self, FMQ_CODEC_F32);
    uint64_t once = fmq_object_bytes(object) + 4u * fmq_object_chunks(object);
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_state(self, object, NULL), 0);
    check_taken(self);
    assert_true(counted_digest() - before == once);
    move(self);
    memset(self->taken, 0, (size_t)self->elements * sizeof *self->taken);
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_state(self, object, NULL), 0);
    check_taken(self);
    assert_true(counted_digest() - before == once);
}

static void readers_go_on_in_the_file_it_was_moved_to(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    fmq_object_t *object = fmq_object_hold(lend(self, FMQ_CODEC_F32));
    move(self);
    fmq_lent_state_end(&self->lent);
    (void)unlink(self->path);
    assert_int_equal(read_state(self, object, NULL), 0);
    check_taken(self);
    fmq_object_drop(&object);
    object = fmq_object_hold(lend(self, FMQ_CODEC_F32)); /* of what is there now */
    assert_int_equal(fmq_lent_state_move(self->lent, "/nowhere/at-all", 0, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
    assert_int_equal(read_state(self, object, NULL), 0);
    fmq_object_drop(&object);
}

static void what_the_disk_has_changed_is_noticed(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    fmq_object_t *object = lend(self, FMQ_CODEC_F32);
    move(self);
    damage(self);
    assert_int_equal(read_state(self, object, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_equal(fmq_lent_state_restore(self->lent, self->taken, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_equal(truncate(self->path, OFFSET + 1000), 0);
    assert_int_equal(read_state(self, object, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
}

static void its_owner_gets_it_back_from_the_file(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    size_t bytes = (size_t)self->elements * sizeof *self->vector;
    fmq_object_t *object = lend(self, FMQ_CODEC_BF16); /* not what is restored */
    assert_int_equal(fmq_lent_state_restore(self->lent, self->vector, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_INTERNAL);
    move(self);
    assert_int_equal(fmq_lent_state_restore(self->lent, self->vector, NULL), 0);
    assert_memory_equal(self->vector, self->copy, bytes);
    self->vector[7] = 1e9f; /* it is the owner's to write to: nobody reads it there */
    assert_int_equal(fmq_lent_state_move(self->lent, self->path, 0, NULL), 0);
    assert_int_equal(read_state(self, object, NULL), 0);
    assert_true(fabsf(self->taken[7] - self->copy[7]) < 0.01f);
}

/* The state is moved, to a disk that changes it, while it is being read. */
static int take_and_move(void *argument, uint64_t first, uint64_t count, const float *values,
                         fmq_error_t *err)
{
    bench_t *self = argument;
    if (first == 0) {
        move(self);
        damage(self);
    }
    return take(argument, first, count, values, err);
}

static void what_moves_while_it_is_read_is_verified_too(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    fmq_object_t *object = lend(self, FMQ_CODEC_F32);
    assert_int_equal(fmq_state_read(object, self->schema, take_and_move, self, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
}

static void what_was_taken_back_is_gone(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    recorder_t sink = {0};
    fmq_stream_t stream;
    fmq_object_t *object = fmq_object_hold(lend(self, FMQ_CODEC_F32));
    assert_int_equal(fmq_stream_open(&stream, object, 5, 1, 8, NULL), 0);
    fmq_lent_state_end(&self->lent);
    assert_int_equal(read_state(self, object, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_true(fmq_stream_pump(&stream, record, &sink)); /* whoever was being served hears it */
    assert_int_equal(sink.count, 1);
    assert_int_equal(sink.records[0].message.type, FMQ_MESSAGE_GONE);
    assert_int_equal(sink.records[0].message.ticket, 5);
    assert_int_equal(sink.records[0].message.code, FMQ_ERR_NOTFOUND);
    fmq_stream_close(&stream);
    fmq_object_drop(&object);
}

static void a_vector_that_is_given_goes_with_its_last_reader(void **state)
{
    bench_t *self = *state;
    float *vector = malloc((size_t)self->elements * sizeof *vector);
    memcpy(vector, self->copy, (size_t)self->elements * sizeof *vector);
    fmq_object_t *object = fmq_state_give(self->schema, &vector, FMQ_CODEC_F32, NULL);
    assert_non_null(object);
    assert_null(vector);
    fmq_object_t *reader = fmq_object_hold(object);
    fmq_object_drop(&object);
    assert_int_equal(read_state(self, reader, NULL), 0);
    check_taken(self);
    fmq_object_drop(&reader); /* leak checkers see the rest */
}

/* Nothing is sent: what is fetched lies here. */
static int no_router(void *argument, const fmq_message_t *message)
{
    (void)argument, (void)message;
    return -1;
}

/* The last event's type of a fetch of the object, whose chunks are all taken. */
static fmq_event_type_t fetch(const bench_t *self, fmq_object_t *object, fmq_error_t *err,
                              bool moves)
{
    fmq_fetches_options_t options = {.window = 8, .quiet_ms = 1000, .send = no_router};
    fmq_fetches_t *fetches = fmq_fetches_new(&options);
    fmq_fetch_options_t want = {.id = 1,
                                .owner = "server",
                                .digest = *fmq_object_digest(object),
                                .bytes_max = UINT64_MAX,
                                .object = object};
    fmq_event_t event = {.type = FMQ_EVENT_UP};
    fmq_frame_t *frame;
    uint32_t id;
    assert_int_equal(fmq_fetches_begin(fetches, &want, 0), 0);
    while (fmq_fetches_next(fetches, &event, &frame, &id)) {
        fmq_frame_destroy(&frame);
        fmq_fetches_consumed(fetches, id);
        if (moves && event.type == FMQ_EVENT_CHUNK && event.index == 1)
            move((bench_t *)(uintptr_t)self);
    }
    *err = event.error;
    fmq_fetches_destroy(&fetches);
    return event.type;
}

static void a_fetch_notices_what_a_disk_has_changed(void **state)
{
    bench_t *self = *state;
    fmq_error_t err;
    fmq_object_t *object = lend(self, FMQ_CODEC_F32);
    uint64_t before = counted_digest();
    assert_int_equal(fetch(self, object, &err, false), FMQ_EVENT_FETCHED);
    assert_int_equal(fetch(self, object, &err, true), FMQ_EVENT_FETCHED); /* moved meanwhile */
    assert_int_equal(fetch(self, object, &err, false), FMQ_EVENT_FETCHED);
    assert_true(counted_digest() == before);
    damage(self);
    assert_int_equal(fetch(self, object, &err, false), FMQ_EVENT_FAILED);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
}

typedef struct {
    bench_t *bench;
    fmq_object_t *object;
    float *taken;
    atomic_int reads;
    atomic_bool enough;
    int failures;
} reader_t;

static int take_apart(void *argument, uint64_t first, uint64_t count, const float *values,
                      fmq_error_t *err)
{
    reader_t *self = argument;
    (void)err;
    memcpy(self->taken + first, values, (size_t)count * sizeof *values);
    return 0;
}

static void *read_on(void *argument)
{
    reader_t *self = argument;
    size_t bytes = (size_t)self->bench->elements * sizeof *self->taken;
    while (!atomic_load(&self->enough)) {
        bool right =
            fmq_state_read(self->object, self->bench->schema, take_apart, self, NULL) == 0 &&
            memcmp(self->taken, self->bench->copy, bytes) == 0;
        self->failures += !right;
        atomic_fetch_add(&self->reads, 1);
    }
    return NULL;
}

static void wait_for_reads(reader_t *self)
{
    int until = atomic_load(&self->reads) + 2;
    while (atomic_load(&self->reads) < until)
        (void)sched_yield();
}

static void the_owner_may_write_while_others_read(void **state)
{
    bench_t *self = *state;
    pthread_t threads[2];
    reader_t readers[2] = {{.bench = self}, {.bench = self}};
    fmq_object_t *object = lend(self, FMQ_CODEC_F32);
    for (int i = 0; i < 2; i++) {
        readers[i].object = object;
        readers[i].taken = malloc((size_t)self->elements * sizeof *readers[i].taken);
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        wait_for_reads(&readers[i]);
    move(self);
    for (int i = 0; i < 2; i++) {
        wait_for_reads(&readers[i]);
        atomic_store(&readers[i].enough, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].failures, 0);
        free(readers[i].taken);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(its_chunks_are_those_of_an_encoded_state),
        TEST(what_no_codec_holds_is_not_lent),
        TEST(it_is_digested_once_however_often_it_is_read),
        TEST(readers_go_on_in_the_file_it_was_moved_to),
        TEST(what_the_disk_has_changed_is_noticed),
        TEST(its_owner_gets_it_back_from_the_file),
        TEST(what_moves_while_it_is_read_is_verified_too),
        TEST(what_was_taken_back_is_gone),
        TEST(a_vector_that_is_given_goes_with_its_last_reader),
        TEST(a_fetch_notices_what_a_disk_has_changed),
        TEST(the_owner_may_write_while_others_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
