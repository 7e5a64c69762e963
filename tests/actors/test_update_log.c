/*
 * test_update_log.c - updates on disk: whole or not there, read in client order.
 */
#include "actors_test.h"

#include <math.h>
#include <unistd.h>

#include "actors/storage/update_log.h"
#include "fedmq/broker/state.h"
#include "tests/base/counted_digest.h"

static const char run_id[] = "00112233445566778899aabbccddeeff";

typedef struct {
    char folder[64];
    char journal[256];
    fmq_schema_t *schema;
} fixture_t;

static int setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof *fixture);
    test_folder_make(fixture->folder);
    test_path(fixture->journal, fixture->folder, "journal");
    fixture->schema = test_schema();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;
    test_folder_remove(fixture->folder);
    fmq_schema_destroy(&fixture->schema);
    free(fixture);
    return 0;
}

static fmq_update_log_t *open_journal(const fixture_t *fixture, uint32_t round)
{
    fmq_update_log_options_t options = {fixture->journal, run_id, round, fixture->schema, NULL};
    fmq_error_t err;
    fmq_update_log_t *journal = fmq_update_log_open(&options, &err);
    if (!journal)
        fail_msg("%s", err.text);
    return journal;
}

static fmq_object_t *update_of(const fixture_t *fixture, uint32_t seed, fmq_codec_t codec)
{
    float *vector = test_vector(fixture->schema, seed);
    fmq_object_t *object = fmq_state_encode(fixture->schema, vector, codec, NULL);
    assert_non_null(object);
    free(vector);
    return object;
}

/* Writes the update of a client up to `chunks` chunks and finishes it when
 * that is all of them. */
static fmq_update_log_writer_t *write_chunks(fmq_update_log_t *journal, uint32_t client,
                                             const fmq_object_t *object, uint32_t chunks)
{
    fmq_update_log_entry_t entry = {client, 10 * client, *fmq_object_digest(object)};
    fmq_update_log_writer_t *writer = fmq_update_log_begin(journal, &entry, NULL);
    assert_non_null(writer);
    for (uint32_t i = 0; i < chunks; i++) {
        size_t size;
        const void *data = fmq_object_chunk(object, i, &size);
        assert_int_equal(fmq_update_log_writer_add(writer, data, size, NULL), 0);
    }
    return writer;
}

static void put(const fixture_t *fixture, fmq_update_log_t *journal, uint32_t client, uint32_t seed)
{
    fmq_object_t *object = update_of(fixture, seed, FMQ_CODEC_F32);
    fmq_update_log_writer_t *writer =
        write_chunks(journal, client, object, fmq_object_chunks(object));
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), NULL), 0);
    assert_null(writer);
    fmq_object_drop(&object);
}

static void check(const fixture_t *fixture, fmq_update_log_t *journal, size_t index, uint32_t seed)
{
    float *expected = test_vector(fixture->schema, seed);
    float *values = calloc(FMQ_STATE_RANGE_MAX, sizeof *values);
    uint32_t chunks = fmq_state_chunks(fixture->schema);
    for (uint32_t i = 0; i < 2 * chunks; i++) { /* forwards, then backwards */
        uint32_t chunk = i < chunks ? i : 2 * chunks - 1 - i;
        uint64_t first, count;
        fmq_state_range(fixture->schema, chunk, &first, &count);
        assert_int_equal(fmq_update_log_read(journal, index, chunk, values, NULL), 0);
        assert_memory_equal(values, expected + first, count * sizeof *values);
    }
    free(values);
    free(expected);
}

static void count_commit(void *argument, uint32_t client)
{
    *(uint32_t *)argument += client;
}

static void updates_are_read_in_client_order_whatever_the_order_of_arrival(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 4);
    put(fixture, journal, 3, 33);
    put(fixture, journal, 1, 11);
    assert_int_equal(fmq_update_log_size(journal), 0);
    assert_int_equal(fmq_update_log_pending(journal), 2);
    uint32_t clients = 0;
    assert_int_equal(fmq_update_log_commit(journal, count_commit, &clients, NULL), 0);
    assert_int_equal(clients, 4);
    put(fixture, journal, 2, 22);
    assert_int_equal(fmq_update_log_commit(journal, count_commit, &clients, NULL), 0);
    assert_int_equal(fmq_update_log_size(journal), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fmq_update_log_at(journal, i)->client, i + 1);
        assert_int_equal(fmq_update_log_at(journal, i)->samples, 10 * (i + 1));
        check(fixture, journal, i, 11 * (i + 1));
    }
    fmq_update_log_close(&journal);
}

static void an_earlier_process_leaves_what_it_committed_and_nothing_else(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 0);
    put(fixture, journal, 2, 22);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    put(fixture, journal, 1, 11); /* finished, never committed */
    fmq_object_t *object = update_of(fixture, 33, FMQ_CODEC_F16);
    fmq_update_log_writer_t *half = write_chunks(journal, 3, object, 1);
    fmq_update_log_t *other = open_journal(fixture, 0); /* as after a crash */
    assert_int_equal(fmq_update_log_size(other), 1);
    assert_int_equal(fmq_update_log_at(other, 0)->client, 2);
    assert_non_null(fmq_update_log_find(other, 2));
    assert_null(fmq_update_log_find(other, 1));
    check(fixture, other, 0, 22);
    fmq_update_log_close(&other);
    fmq_update_log_writer_abandon(&half);
    fmq_object_drop(&object);
    fmq_update_log_close(&journal);
}

static void flip(const char *path, long offset)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, offset < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void a_damaged_cut_or_foreign_file_is_dropped(void **state)
{
    const fixture_t *fixture = *state;
    const long places[] = {0, 9, 13, 20, 40, 70, 100, 130, 161, 5000, -1};
    char path[256];
    test_path(path, fixture->journal, "round-000000/client-000001.update");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        fmq_update_log_t *journal = open_journal(fixture, 0);
        put(fixture, journal, 1, 11);
        assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
        fmq_update_log_close(&journal);
        flip(path, places[i]);
        journal = open_journal(fixture, 0);
        assert_int_equal(fmq_update_log_size(journal), 0);
        assert_int_not_equal(access(path, F_OK), 0);
        if (i == 0) {
            put(fixture, journal, 1, 11);
            assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
            assert_int_equal(truncate(path, 1000), 0);
            fmq_update_log_t *cut = open_journal(fixture, 0);
            assert_int_equal(fmq_update_log_size(cut), 0);
            fmq_update_log_close(&cut);
        }
        fmq_update_log_close(&journal);
    }
    fmq_update_log_t *journal = open_journal(fixture, 1); /* a file of another round */
    put(fixture, journal, 1, 11);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    fmq_update_log_close(&journal);
    char from[256];
    assert_int_equal(
        rename(test_path(from, fixture->journal, "round-000001/client-000001.update"), path), 0);
    journal = open_journal(fixture, 0);
    assert_int_equal(fmq_update_log_size(journal), 0);
    fmq_update_log_close(&journal);
}

static void what_is_not_the_announced_update_is_never_finished(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 0);
    fmq_object_t *object = update_of(fixture, 1, FMQ_CODEC_F32);
    fmq_object_t *other = update_of(fixture, 2, FMQ_CODEC_F32);
    fmq_error_t err;
    fmq_update_log_writer_t *writer = write_chunks(journal, 1, object, 1);
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), &err),
                     -1); /* too short */
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    size_t size;
    const void *data = fmq_object_chunk(other, 1, &size);
    assert_int_equal(fmq_update_log_writer_add(writer, data, size, &err), 0);
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(other), &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_equal(fmq_update_log_writer_add(writer, data, size, &err), -1); /* too long */
    fmq_update_log_writer_abandon(&writer);
    assert_null(writer);
    assert_int_equal(fmq_update_log_pending(journal), 0);
    fmq_object_drop(&object);
    fmq_object_drop(&other);
    fmq_update_log_close(&journal);
}

static void an_update_that_was_verified_on_its_way_is_not_digested_again(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 0);
    fmq_object_t *object = update_of(fixture, 1, FMQ_CODEC_F32);
    fmq_update_log_writer_t *writer = write_chunks(journal, 1, object, fmq_object_chunks(object));
    uint64_t before = counted_digest();
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), NULL), 0);
    writer = write_chunks(journal, 2, object, fmq_object_chunks(object));
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), NULL), 0);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    assert_true(fmq_object_bytes(object) > 100000 &&
                counted_digest() - before < 10000); /* schema and head */
    fmq_object_drop(&object);
    fmq_update_log_close(&journal);
    journal = open_journal(fixture, 0); /* what the disk has kept meanwhile is verified */
    assert_int_equal(fmq_update_log_size(journal), 2);
    assert_true(counted_digest() - before > 100000);
    fmq_update_log_close(&journal);
}

static void rubbish_and_numbers_that_are_not_finite_are_refused_at_once(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 0);
    fmq_update_log_entry_t entry = {1, 1, {{0}}};
    fmq_error_t err;
    fmq_update_log_writer_t *writer = fmq_update_log_begin(journal, &entry, NULL);
    assert_int_equal(fmq_update_log_writer_add(writer, "rubbish", 7, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_FORMAT);
    char *large = calloc(1, FMQ_CHUNK_MAX + 1);
    assert_int_equal(fmq_update_log_writer_add(writer, large, FMQ_CHUNK_MAX + 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    free(large);
    fmq_update_log_writer_abandon(&writer);
    fmq_update_log_close(&journal);
}

static void the_lists_come_back_and_damage_is_noticed(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 7);
    uint32_t *list = NULL;
    size_t size = 0;
    assert_int_equal(fmq_update_log_load_list(journal, FMQ_UPDATE_LOG_PLAN, &list, &size, NULL), 0);
    const uint32_t plan[] = {1, 4, 65535};
    assert_int_equal(fmq_update_log_save_list(journal, FMQ_UPDATE_LOG_PLAN, plan, 3, NULL), 0);
    assert_int_equal(fmq_update_log_save_list(journal, FMQ_UPDATE_LOG_CLOSED, NULL, 0, NULL), 0);
    assert_int_equal(fmq_update_log_load_list(journal, FMQ_UPDATE_LOG_PLAN, &list, &size, NULL), 1);
    assert_int_equal(size, 3);
    assert_memory_equal(list, plan, sizeof plan);
    free(list);
    assert_int_equal(fmq_update_log_load_list(journal, FMQ_UPDATE_LOG_CLOSED, &list, &size, NULL),
                     1);
    assert_int_equal(size, 0);
    free(list);
    char path[256];
    flip(test_path(path, fixture->journal, "round-000007/plan"), 38);
    assert_int_equal(fmq_update_log_load_list(journal, FMQ_UPDATE_LOG_PLAN, &list, &size, NULL), 0);
    fmq_update_log_close(&journal);
}

static void keeping_a_list_leaves_the_others_out(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 0);
    for (uint32_t k = 1; k <= 4; k++)
        put(fixture, journal, k, k);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    fmq_update_log_keep(journal, (const uint32_t[]){4, 2, 9}, 3);
    assert_int_equal(fmq_update_log_size(journal), 2);
    assert_int_equal(fmq_update_log_at(journal, 0)->client, 2);
    check(fixture, journal, 0, 2);
    check(fixture, journal, 1, 4);
    fmq_update_log_close(&journal);
    fmq_update_log_remove(fixture->journal, 0);
    char path[256];
    assert_int_not_equal(access(test_path(path, fixture->journal, "round-000000"), F_OK), 0);
}

static void more_clients_than_files_may_be_open_are_read_all_the_same(void **state)
{
    const fixture_t *fixture = *state;
    fmq_update_log_t *journal = open_journal(fixture, 0);
    for (uint32_t k = 1; k <= 140; k++)
        put(fixture, journal, k, k);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    for (size_t i = 0; i < 140; i++)
        check(fixture, journal, i, (uint32_t)i + 1);
    fmq_update_log_close(&journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(updates_are_read_in_client_order_whatever_the_order_of_arrival),
        TEST(an_earlier_process_leaves_what_it_committed_and_nothing_else),
        TEST(a_damaged_cut_or_foreign_file_is_dropped),
        TEST(what_is_not_the_announced_update_is_never_finished),
        TEST(an_update_that_was_verified_on_its_way_is_not_digested_again),
        TEST(rubbish_and_numbers_that_are_not_finite_are_refused_at_once),
        TEST(the_lists_come_back_and_damage_is_noticed),
        TEST(keeping_a_list_leaves_the_others_out),
        TEST(more_clients_than_files_may_be_open_are_read_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
