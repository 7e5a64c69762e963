/*
 * test_blob_cache.c - files of a cache: whole or not there, taken up where
 * they ended, never by two processes at once.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "actors/storage/blob_cache.h"
#include "actors_test.h"
#include "transfer_stage.h"

typedef struct {
    char folder[64];
    fmq_object_t *object; /* of three chunks */
    fmq_blob_t part;
    char path[256], partial[256];
} stage_t;

static int set_up(void **state)
{
    stage_t *self = calloc(1, sizeof *self);
    test_folder_make(self->folder);
    self->object = stage_part(2, 9);
    self->part = (fmq_blob_t){*fmq_object_digest(self->object), fmq_object_bytes(self->object)};
    char hex[FMQ_DIGEST_HEX_SIZE];
    fmq_digest_hex(&self->part.digest, hex);
    test_path(self->path, self->folder, hex);
    snprintf(self->partial, sizeof self->partial, "%s.part", self->path);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    stage_t *self = *state;
    fmq_object_drop(&self->object);
    test_folder_remove(self->folder);
    free(self);
    return 0;
}

/* Adds chunks first .. behind - 1 of the object. */
static void add(fmq_blob_cache_entry_t *entry, const fmq_object_t *object, uint32_t first,
                uint32_t behind)
{
    for (uint32_t i = first; i < behind; i++) {
        size_t size;
        const void *chunk = fmq_object_chunk(object, i, &size);
        assert_int_equal(fmq_blob_cache_add(entry, chunk, size, NULL), 0);
    }
}

static void a_part_gets_its_name_when_it_is_whole(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    assert_int_equal(fmq_blob_cache_has(self->folder, &self->part, NULL), 0);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    add(&entry, self->object, 0, 2);
    assert_int_equal(fmq_blob_cache_has(self->folder, &self->part, NULL), 0);
    add(&entry, self->object, 2, 3);
    assert_int_equal(fmq_blob_cache_commit(&entry, NULL), 0);
    assert_int_equal(fmq_blob_cache_has(self->folder, &self->part, NULL), 1);
    assert_true(stage_holds(self->path, self->object));
    assert_int_not_equal(access(self->partial, F_OK), 0);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_HERE);
    assert_int_not_equal(access(self->partial, F_OK), 0);
}

static void a_part_is_taken_up_at_its_last_whole_chunk(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    size_t size;
    const void *chunk = fmq_object_chunk(self->object, 1, &size);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    add(&entry, self->object, 0, 1);
    assert_int_equal(fmq_blob_cache_add(&entry, chunk, 77, NULL), 0);
    fmq_blob_cache_leave(&entry);
    assert_true(fmq_blob_cache_partial(self->folder, &self->part) == FMQ_CHUNK_MAX + 77);

    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    assert_true(entry.bytes == FMQ_CHUNK_MAX);
    add(&entry, self->object, 1, 3);
    assert_int_equal(fmq_blob_cache_commit(&entry, NULL), 0);
    assert_true(stage_holds(self->path, self->object));
}

static void wrong_bytes_never_get_the_name(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    fmq_error_t err;
    uint8_t *zeros = calloc(1, FMQ_CHUNK_MAX);
    stage_write(self->partial, zeros, FMQ_CHUNK_MAX);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    assert_true(entry.bytes == FMQ_CHUNK_MAX);
    add(&entry, self->object, 1, 3);
    assert_int_equal(fmq_blob_cache_add(&entry, zeros, 1, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_equal(fmq_blob_cache_commit(&entry, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_int_not_equal(access(self->path, F_OK), 0);

    assert_int_equal(fmq_blob_cache_restart(&entry, NULL), 0);
    add(&entry, self->object, 0, 3);
    assert_int_equal(fmq_blob_cache_commit(&entry, NULL), 0);
    assert_true(stage_holds(self->path, self->object));
    free(zeros);
}

static void a_corrupted_file_counts_as_missing_and_is_replaced(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    size_t size;
    stage_write(self->path, "short", 5);
    assert_int_equal(fmq_blob_cache_has(self->folder, &self->part, NULL), 0);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    add(&entry, self->object, 0, 3);
    assert_int_equal(fmq_blob_cache_commit(&entry, NULL), 0);
    uint8_t *bytes = stage_read(self->path, &size);
    bytes[size - 3] ^= 1;
    stage_write(self->path, bytes, size);
    assert_int_equal(fmq_blob_cache_has(self->folder, &self->part, NULL), 0);
    free(bytes);
}

static void a_longer_partial_file_is_begun_anew(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    uint8_t *zeros = calloc(1, self->part.bytes + 1);
    stage_write(self->partial, zeros, self->part.bytes + 1);
    assert_true(fmq_blob_cache_partial(self->folder, &self->part) == self->part.bytes);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    assert_true(entry.bytes == 0);
    fmq_blob_cache_leave(&entry);
    free(zeros);
}

/* The child holds the part until it hears a byte, then finishes it. */
static void hold_in_child(const stage_t *self, int in, int out)
{
    fmq_blob_cache_entry_t entry;
    char byte = 'x';
    bool good =
        fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL) == FMQ_BLOB_CACHE_BEGUN &&
        write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1;
    for (uint32_t i = 0; good && i < 3; i++) {
        size_t size;
        const void *chunk = fmq_object_chunk(self->object, i, &size);
        good = fmq_blob_cache_add(&entry, chunk, size, NULL) == 0;
    }
    good = good && fmq_blob_cache_commit(&entry, NULL) == 0;
    _exit(good ? 0 : 1);
}

static void a_process_waits_for_another_and_finds_the_part(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    int down[2], up[2], status;
    char byte;
    assert_int_equal(pipe(down) | pipe(up), 0);
    pid_t child = fork();
    if (child == 0)
        hold_in_child(self, down[0], up[1]);
    assert_int_equal(read(up[0], &byte, 1), 1);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BUSY);
    assert_int_equal(write(down[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_HERE);
    for (int i = 0; i < 2; i++) {
        close(down[i]);
        close(up[i]);
    }
}

static void a_killed_process_leaves_its_part_to_the_next(void **state)
{
    stage_t *self = *state;
    fmq_blob_cache_entry_t entry;
    int status;
    pid_t child = fork();
    if (child == 0) {
        size_t size;
        const void *chunk = fmq_object_chunk(self->object, 0, &size);
        bool good =
            fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL) == FMQ_BLOB_CACHE_BEGUN &&
            fmq_blob_cache_add(&entry, chunk, size, NULL) == 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fmq_blob_cache_begin(&entry, self->folder, &self->part, NULL),
                     FMQ_BLOB_CACHE_BEGUN);
    assert_true(entry.bytes == FMQ_CHUNK_MAX);
    fmq_blob_cache_leave(&entry);
}

static void more_than_the_disk_holds_is_refused_with_advice(void **state)
{
    stage_t *self = *state;
    fmq_error_t err;
    assert_int_equal(fmq_blob_cache_room(self->folder, 1000, NULL), 0);
    assert_int_equal(fmq_blob_cache_room(self->folder, UINT64_MAX, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_non_null(strstr(err.text, "fedmq.layer_cache"));
}

static void the_directory_is_chosen_and_made(void **state)
{
    stage_t *self = *state;
    char cwd[512], root[1024], expected[1200];
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(root, sizeof root, "%s/%s", cwd, self->folder);
    setenv("HOME", root, 1);
    unsetenv("XDG_CACHE_HOME");
    char *path = fmq_blob_cache_directory("", NULL);
    snprintf(expected, sizeof expected, "%s/.cache/fedmq/layers", root);
    assert_string_equal(path, expected);
    assert_int_equal(access(path, W_OK), 0);
    free(path);
    setenv("XDG_CACHE_HOME", root, 1);
    path = fmq_blob_cache_directory("", NULL);
    snprintf(expected, sizeof expected, "%s/fedmq/layers", root);
    assert_string_equal(path, expected);
    free(path);
    snprintf(expected, sizeof expected, "%s/a/b/c", self->folder);
    path = fmq_blob_cache_directory(expected, NULL);
    assert_int_equal(access(expected, W_OK), 0);
    free(path);
    fmq_error_t err;
    snprintf(expected, sizeof expected, "%s/file", self->folder);
    stage_write(expected, "x", 1);
    snprintf(expected, sizeof expected, "%s/file/inside", self->folder);
    assert_null(fmq_blob_cache_directory(expected, &err));
    assert_int_equal(err.code, FMQ_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_part_gets_its_name_when_it_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_part_is_taken_up_at_its_last_whole_chunk, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(wrong_bytes_never_get_the_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_corrupted_file_counts_as_missing_and_is_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_longer_partial_file_is_begun_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_waits_for_another_and_finds_the_part, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_its_part_to_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_than_the_disk_holds_is_refused_with_advice, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_directory_is_chosen_and_made, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
