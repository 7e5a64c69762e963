/*
 * test_update_log.c - updates on disk: whole or not there, read in client order.
 */
#include "actors_test.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "actors/storage/update_log.h"
#include "actors/storage/update_record.h"
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
    fmq_update_log_entry_t entry = {
        .client = client, .samples = 10 * client, .update = *fmq_object_digest(object), .base = 3};
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
        assert_int_equal(fmq_update_log_read_range(journal, index, first, count, values, NULL), 0);
        assert_memory_equal(values, expected + first, count * sizeof *values);
        uint64_t from = first + count / 3, part = count / 3 + 1;
        assert_int_equal(fmq_update_log_read_range(journal, index, from, part, values, NULL), 0);
        assert_memory_equal(values, expected + from, part * sizeof *values);
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

/* What the log said meanwhile. */
typedef struct {
    char lines[4096];
} heard_t;

static void hear(void *argument, fmq_log_level_t level, const char *line)
{
    heard_t *heard = argument;
    size_t used = strlen(heard->lines);
    (void)level;
    (void)snprintf(heard->lines + used, sizeof heard->lines - used, "%s\n", line);
}

/* Five elements, so that a test may go through every byte. */
typedef struct {
    fmq_schema_t *schema;
    char journal[256], path[512];
    heard_t heard;
    fmq_log_t *log;
    long ends[6]; /* of the head, clients 1 and 2, their commit, client 3, its commit */
    char bytes[4096];
    long size;
} small_t;

/* Returns the bytes that it takes in the file. */
static long small_put(small_t *self, fmq_update_log_t *journal, uint32_t client)
{
    float *vector = test_vector(self->schema, client);
    fmq_object_t *object = fmq_state_encode(self->schema, vector, FMQ_CODEC_F32, NULL);
    fmq_update_log_writer_t *writer = write_chunks(journal, client, object, 1);
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), NULL), 0);
    long size = FMQ_RECORD_HEAD_SIZE + (long)fmq_object_bytes(object);
    fmq_object_drop(&object);
    free(vector);
    return size;
}

static fmq_update_log_t *small_open(small_t *self)
{
    const fmq_update_log_options_t options = {self->journal, run_id, 0, self->schema, self->log};
    self->heard.lines[0] = '\0';
    fmq_error_t err;
    fmq_update_log_t *journal = fmq_update_log_open(&options, &err);
    if (!journal)
        fail_msg("%s", err.text);
    return journal;
}

static long size_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return (long)status.st_size;
}

static void small_begin(small_t *self, const char *folder)
{
    const uint64_t elements = 5;
    *self = (small_t){.schema = fmq_schema_new(FMQ_F32)};
    assert_int_equal(fmq_schema_add(self->schema, "w", 1, &elements, NULL), 0);
    self->log = fmq_log_new(hear, &self->heard, FMQ_LOG_INFO);
    test_path(self->journal, folder, "small");
    (void)snprintf(self->path, sizeof self->path, "%s/round-000000/updates", self->journal);
    fmq_update_log_t *journal = small_open(self);
    self->ends[0] = 152;
    for (uint32_t client = 1; client <= 2; client++)
        self->ends[client] = self->ends[client - 1] + small_put(self, journal, client);
    assert_int_equal(size_of(self->path), self->ends[0]); /* they wait for others */
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    self->ends[3] = size_of(self->path);
    self->ends[4] = self->ends[3] + small_put(self, journal, 3);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    self->size = self->ends[5] = size_of(self->path);
    fmq_update_log_close(&journal);
    FILE *file = fopen(self->path, "rb");
    assert_int_equal(fread(self->bytes, 1, sizeof self->bytes, file), self->size);
    (void)fclose(file);
}

static void small_write(const small_t *self, long size)
{
    FILE *file = fopen(self->path, "wb");
    assert_int_equal(fwrite(self->bytes, 1, (size_t)size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void small_end(small_t *self)
{
    fmq_schema_destroy(&self->schema);
    fmq_log_destroy(&self->log);
}

static void small_check(const small_t *self, fmq_update_log_t *journal, uint32_t client)
{
    float values[5], *expected = test_vector(self->schema, client);
    const fmq_update_log_entry_t *entry = fmq_update_log_find(journal, client);
    assert_non_null(entry);
    assert_int_equal(entry->samples, 10 * client);
    assert_int_equal(entry->base, 3);
    size_t index = 0;
    while (fmq_update_log_at(journal, index) != entry)
        index++;
    assert_int_equal(fmq_update_log_read_range(journal, index, 0, 5, values, NULL), 0);
    assert_memory_equal(values, expected, sizeof values);
    free(expected);
}

/* One update more, which the next life finds beside those that were left. */
static void small_go_on(small_t *self, fmq_update_log_t **journal, uint32_t left)
{
    small_put(self, *journal, 4);
    assert_int_equal(fmq_update_log_commit(*journal, NULL, NULL, NULL), 0);
    fmq_update_log_close(journal);
    *journal = small_open(self);
    assert_string_equal(self->heard.lines, "");
    assert_int_equal(fmq_update_log_size(*journal), left + 1);
    small_check(self, *journal, 4);
}

static void a_log_that_is_cut_at_any_byte_goes_on_from_its_last_commit(void **state)
{
    const fixture_t *fixture = *state;
    small_t small;
    small_begin(&small, fixture->folder);
    for (long size = 0; size <= small.size; size++) {
        const long *ends = small.ends;
        uint32_t left = size < ends[3] ? 0 : size < ends[5] ? 2 : 3;
        bool whole = size == ends[0] || size == ends[3] || size == ends[5];
        small_write(&small, size);
        fmq_update_log_t *journal = small_open(&small);
        assert_int_equal(fmq_update_log_size(journal), left);
        for (uint32_t client = 1; client <= left; client++)
            small_check(&small, journal, client);
        if (size < ends[0])
            assert_non_null(strstr(small.heard.lines, "journal-file-dropped"));
        else if (whole)
            assert_string_equal(small.heard.lines, "");
        else
            assert_non_null(strstr(small.heard.lines, "journal-cut"));
        if (whole || size % 23 == 0)
            small_go_on(&small, &journal, left);
        fmq_update_log_close(&journal);
    }
    small_end(&small);
}

static void a_flipped_bit_anywhere_is_found_and_costs_no_other_update(void **state)
{
    const fixture_t *fixture = *state;
    small_t small;
    small_begin(&small, fixture->folder);
    const long *ends = small.ends;
    for (long at = 0; at < small.size; at++) {
        uint32_t lost = at < ends[0]   ? 0xe /* the head */
                        : at < ends[1] ? 0x2
                        : at < ends[2] ? 0x4
                        : at < ends[3] ? 0x6
                                       : 0x8;
        small.bytes[at] = (char)(small.bytes[at] ^ 0x10);
        small_write(&small, small.size);
        small.bytes[at] = (char)(small.bytes[at] ^ 0x10);
        fmq_update_log_t *journal = small_open(&small);
        assert_string_not_equal(small.heard.lines, "");
        for (uint32_t client = 1; client <= 3; client++)
            if (lost >> client & 1)
                assert_null(fmq_update_log_find(journal, client));
            else
                small_check(&small, journal, client);
        fmq_update_log_close(&journal);
    }
    small_end(&small);
}

static void a_log_of_another_round_is_dropped(void **state)
{
    const fixture_t *fixture = *state;
    char from[256], to[256];
    fmq_update_log_t *journal = open_journal(fixture, 1);
    put(fixture, journal, 1, 11);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    fmq_update_log_close(&journal);
    journal = open_journal(fixture, 0);
    fmq_update_log_close(&journal);
    assert_int_equal(rename(test_path(from, fixture->journal, "round-000001/updates"),
                            test_path(to, fixture->journal, "round-000000/updates")),
                     0);
    journal = open_journal(fixture, 0);
    assert_int_equal(fmq_update_log_size(journal), 0);
    fmq_update_log_close(&journal);
}

static long long blocks_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return (long long)status.st_blocks * 512;
}

/* What a client sends that is refused must not fill the disk. */
static void what_a_writer_gives_up_is_given_back_to_the_disk(void **state)
{
    const fixture_t *fixture = *state;
    char path[256];
    fmq_update_log_t *journal = open_journal(fixture, 0);
    test_path(path, fixture->journal, "round-000000/updates");
    put(fixture, journal, 1, 11);
    long before = size_of(path);
    fmq_object_t *object = update_of(fixture, 33, FMQ_CODEC_F32);
    fmq_update_log_writer_t *last = write_chunks(journal, 3, object, 2);
    fmq_update_log_writer_abandon(&last);
    assert_int_equal(size_of(path), before); /* it lay at the end */
    fmq_update_log_writer_t *early = write_chunks(journal, 3, object, 2);
    put(fixture, journal, 2, 22);
    fmq_update_log_writer_abandon(&early);
    assert_true(size_of(path) > before + 500000);
    assert_true(blocks_of(path) < size_of(path) - 200000); /* it lay between */
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    fmq_update_log_close(&journal);
    journal = open_journal(fixture, 0);
    assert_int_equal(fmq_update_log_size(journal), 2);
    check(fixture, journal, 0, 11);
    check(fixture, journal, 1, 22);
    fmq_object_drop(&object);
    fmq_update_log_close(&journal);
}

/* As an earlier program has written it: client 2's update of round 4, 41 samples. */
static void updates_in_files_of_their_own_are_taken_over(void **state)
{
    const fixture_t *fixture = *state;
    static const float expected[] = {1.5F, -2.25F, 3.0F};
    const uint64_t elements = 3;
    const char *golden = FEDMQ_SOURCE_DIR "/tests/actors/goldens/client-000002.update";
    char folder[256], path[512], other[512], bytes[256];
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(schema, "w", 1, &elements, NULL), 0);
    const fmq_update_log_options_t options = {fixture->journal, run_id, 4, schema, NULL};
    assert_int_equal(fmq_directory_make(test_path(folder, fixture->journal, "round-000004"), NULL),
                     0);
    (void)snprintf(path, sizeof path, "%s/client-000002.update", folder);
    (void)snprintf(other, sizeof other, "%s/client-000003.update", folder);
    FILE *file = fopen(golden, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    assert_int_equal(fmq_file_save(path, bytes, size, NULL), 0);
    assert_int_equal(fmq_file_save(other, bytes, size - 1, NULL), 0); /* another's, and cut */
    for (int life = 0; life < 2; life++) {
        float values[3];
        fmq_update_log_t *journal = fmq_update_log_open(&options, NULL);
        assert_non_null(journal);
        assert_int_equal(fmq_update_log_size(journal), 1);
        assert_int_equal(fmq_update_log_at(journal, 0)->client, 2);
        assert_int_equal(fmq_update_log_at(journal, 0)->samples, 41);
        assert_int_equal(fmq_update_log_at(journal, 0)->base, 4);
        assert_int_equal(fmq_update_log_read_range(journal, 0, 0, 3, values, NULL), 0);
        assert_memory_equal(values, expected, sizeof values);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_not_equal(access(other, F_OK), 0);
        fmq_update_log_close(&journal);
    }
    fmq_schema_destroy(&schema);
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
    fmq_update_log_entry_t entry = {.client = 1, .samples = 1};
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

static void many_clients_are_read_from_one_file(void **state)
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

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* 400 updates of some 12 KB, so that several writes are due; then no more room. */
static void what_waits_is_written_when_there_is_room_again(void **state)
{
    const fixture_t *fixture = *state;
    const uint64_t elements = 3000;
    small_t small = {.schema = fmq_schema_new(FMQ_F32)};
    assert_int_equal(fmq_schema_add(small.schema, "w", 1, &elements, NULL), 0);
    small.log = fmq_log_new(hear, &small.heard, FMQ_LOG_INFO);
    test_path(small.journal, fixture->folder, "waiting");
    (void)snprintf(small.path, sizeof small.path, "%s/round-000000/updates", small.journal);
    (void)signal(SIGXFSZ, SIG_IGN);
    fmq_update_log_t *journal = small_open(&small);
    long all = 152;
    for (uint32_t k = 1; k <= 400; k++)
        all += small_put(&small, journal, k);
    long before = size_of(small.path);
    assert_true(before > all - 300000 && before < all); /* most are there, the last ones wait */
    limit_files((rlim_t)before + 1000);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), -1);
    assert_int_equal(fmq_update_log_size(journal), 0);
    assert_int_equal(size_of(small.path), before);
    limit_files(RLIM_INFINITY);
    assert_int_equal(fmq_update_log_commit(journal, NULL, NULL, NULL), 0);
    fmq_update_log_close(&journal);
    journal = small_open(&small);
    assert_string_equal(small.heard.lines, "");
    assert_int_equal(fmq_update_log_size(journal), 400);
    float *values = calloc(elements, sizeof *values);
    for (uint32_t k = 1; k <= 400; k++) {
        float *expected = test_vector(small.schema, k);
        assert_int_equal(fmq_update_log_read_range(journal, k - 1, 0, elements, values, NULL), 0);
        assert_memory_equal(values, expected, elements * sizeof *values);
        free(expected);
    }
    free(values);
    fmq_update_log_close(&journal);
    small_end(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(updates_are_read_in_client_order_whatever_the_order_of_arrival),
        TEST(an_earlier_process_leaves_what_it_committed_and_nothing_else),
        TEST(a_log_that_is_cut_at_any_byte_goes_on_from_its_last_commit),
        TEST(a_flipped_bit_anywhere_is_found_and_costs_no_other_update),
        TEST(a_log_of_another_round_is_dropped),
        TEST(what_a_writer_gives_up_is_given_back_to_the_disk),
        TEST(updates_in_files_of_their_own_are_taken_over),
        TEST(what_is_not_the_announced_update_is_never_finished),
        TEST(an_update_that_was_verified_on_its_way_is_not_digested_again),
        TEST(rubbish_and_numbers_that_are_not_finite_are_refused_at_once),
        TEST(the_lists_come_back_and_damage_is_noticed),
        TEST(keeping_a_list_leaves_the_others_out),
        TEST(many_clients_are_read_from_one_file),
        TEST(what_waits_is_written_when_there_is_room_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
