/*
 * test_durable_order.c - in which order what must survive a loss of power goes
 * to the disk: file synced, renamed, directory synced, and only then counted.
 *
 * fsync() and rename() of the program under test come here first (the linker's
 * --wrap), are noted down, and go on to the real ones.
 */
#include "actors_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/client/personal_state.h"
#include "actors/storage/checkpoint.h"
#include "actors/storage/directory.h"
#include "actors/storage/file.h"
#include "actors/storage/metrics_log.h"
#include "actors/storage/update_log.h"
#include "fedmq/broker/state.h"
#include "llm/adapter/directory.h"
#include "llm/hub/file.h"

static char noted[8192];   /* one line an event */
static const char *folder; /* events outside do not count, names inside are without it */
static const char *broken; /* a name whose sync fails */

int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static void note(const char *what, const char *path)
{
    size_t size = strlen(noted);
    if (folder && strncmp(path, folder, strlen(folder)) == 0)
        (void)snprintf(noted + size, sizeof noted - size, "%s .%s\n", what, path + strlen(folder));
}

int __wrap_fsync(int fd)
{
    char link[64], path[512];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = '\0';
    note("sync", path);
    if (broken && strstr(path, broken)) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    note("name", to);
    return __real_rename(from, to);
}

static int setup(void **state)
{
    char *path = malloc(64);
    test_folder_make(path);
    *state = path;
    folder = path;
    broken = NULL;
    noted[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    folder = NULL;
    test_folder_remove(*state);
    free(*state);
    return 0;
}

static void expect(const char *events)
{
    assert_string_equal(noted, events);
    noted[0] = '\0';
}

static void a_file_is_synced_renamed_and_its_folder_synced(void **state)
{
    char path[256];
    assert_int_equal(fmq_file_save(test_path(path, *state, "file"), "x", 1, NULL), 0);
    expect("sync ./file.tmp\nname ./file\nsync .\n");
}

static void a_new_folder_is_durable_in_the_one_that_holds_it(void **state)
{
    char path[256];
    assert_int_equal(fmq_directory_make(test_path(path, *state, "a/b"), NULL), 0);
    expect("sync .\nsync ./a\n");
    assert_int_equal(fmq_directory_make(path, NULL), 0);
    expect("");
}

static void a_checkpoint_is_durable_when_it_is_saved(void **state)
{
    fmq_schema_t *schema = test_schema();
    float *vector = test_vector(schema, 1);
    fmq_sections_t sections = {.size = 0};
    (void)fmq_sections_add(&sections, FMQ_SECTION_STATE, schema, vector);
    fmq_checkpoint_t mark = {.run = "00112233445566778899aabbccddeeff", .round = 7};
    assert_int_equal(fmq_checkpoint_put(*state, &mark, &sections, NULL), 0);
    expect("sync ./round-000007.state.tmp\nname ./round-000007.state\nsync .\n");
    free(vector);
    fmq_schema_destroy(&schema);
}

static void what_a_client_trains_by_itself_is_durable_when_it_is_saved(void **state)
{
    fmq_schema_t *schema = test_schema();
    float *vector = test_vector(schema, 1);
    fmq_personal_place_t place = {.directory = *state, .schema = schema, .client = 1};
    fmq_personal_mark_t mark = {.run = "00112233445566778899aabbccddeeff", .round = 7};
    memcpy(mark.outcome.run, mark.run, sizeof mark.run);
    assert_int_equal(fmq_personal_save(&place, &mark, vector, NULL, NULL), 0);
    expect("sync ./round-000007.state.tmp\nname ./round-000007.state\nsync .\n");
    free(vector);
    fmq_schema_destroy(&schema);
}

static void committed(void *argument, uint32_t client)
{
    char line[32];
    (void)argument;
    (void)snprintf(line, sizeof line, "%s/%u", folder, client);
    note("told", line);
}

static void put(const fmq_schema_t *schema, fmq_update_log_t *journal, uint32_t client)
{
    float *vector = test_vector(schema, client);
    fmq_object_t *object = fmq_state_encode(schema, vector, FMQ_CODEC_F32, NULL);
    fmq_update_log_entry_t entry = {
        .client = client, .samples = 10, .update = *fmq_object_digest(object)};
    fmq_update_log_writer_t *writer = fmq_update_log_begin(journal, &entry, NULL);
    assert_non_null(writer);
    for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
        size_t size;
        const void *data = fmq_object_chunk(object, i, &size);
        assert_int_equal(fmq_update_log_writer_add(writer, data, size, NULL), 0);
    }
    assert_int_equal(fmq_update_log_writer_finish(&writer, fmq_object_digest(object), NULL), 0);
    fmq_object_drop(&object);
    free(vector);
}

static fmq_update_log_t *open_journal(const char *place, const fmq_schema_t *schema)
{
    fmq_update_log_options_t options = {place, "00112233445566778899aabbccddeeff", 3, schema, NULL};
    fmq_update_log_t *journal = fmq_update_log_open(&options, NULL);
    assert_non_null(journal);
    return journal;
}

static void updates_are_told_to_be_there_when_all_of_them_are_durable(void **state)
{
    fmq_schema_t *schema = test_schema();
    fmq_update_log_t *journal = open_journal(*state, schema);
    assert_non_null(strstr(noted, "sync .\n")); /* the round's folder has a name */
    noted[0] = '\0';
    put(schema, journal, 1);
    put(schema, journal, 2);
    expect("");
    assert_int_equal(fmq_update_log_commit(journal, committed, NULL, NULL), 0);
    expect("sync ./round-000003/updates\n"
           "sync ./round-000003\n" /* the file has a name */
           "told ./2\n"
           "told ./1\n");
    put(schema, journal, 3);
    put(schema, journal, 4);
    assert_int_equal(fmq_update_log_commit(journal, committed, NULL, NULL), 0);
    expect("sync ./round-000003/updates\n" /* one for all of a commit */
           "told ./4\n"
           "told ./3\n");
    fmq_update_log_close(&journal);
    fmq_schema_destroy(&schema);
}

static void an_update_whose_sync_fails_is_told_to_nobody(void **state)
{
    static const char *const places[] = {"round-000003/updates", "/round-000003"};
    fmq_schema_t *schema = test_schema();
    for (size_t i = 0; i < 2; i++) {
        fmq_error_t err;
        fmq_update_log_t *journal = open_journal(*state, schema);
        put(schema, journal, 1);
        noted[0] = '\0';
        broken = places[i];
        assert_int_equal(fmq_update_log_commit(journal, committed, NULL, &err), -1);
        broken = NULL;
        assert_int_equal(err.code, FMQ_ERR_IO);
        assert_null(strstr(noted, "told"));
        assert_int_equal(fmq_update_log_size(journal), 0);
        fmq_update_log_close(&journal);
    }
    fmq_schema_destroy(&schema);
}

static void the_lists_of_a_round_are_durable_when_they_are_saved(void **state)
{
    fmq_schema_t *schema = test_schema();
    fmq_update_log_t *journal = open_journal(*state, schema);
    const uint32_t list[] = {1, 2};
    noted[0] = '\0';
    assert_int_equal(fmq_update_log_save_list(journal, FMQ_UPDATE_LOG_PLAN, list, 2, NULL), 0);
    expect("sync ./round-000003/plan.tmp\nname ./round-000003/plan\nsync ./round-000003\n");
    assert_int_equal(fmq_update_log_save_list(journal, FMQ_UPDATE_LOG_CLOSED, list, 1, NULL), 0);
    expect("sync ./round-000003/closed.tmp\nname ./round-000003/closed\nsync ./round-000003\n");
    fmq_update_log_close(&journal);
    fmq_schema_destroy(&schema);
}

static void measurements_are_durable_when_they_are_synced(void **state)
{
    char path[256];
    fmq_metrics_log_t *history =
        fmq_metrics_log_open(test_path(path, *state, "metrics.jsonl"), NULL);
    fmq_metrics_log_key_t key = {1, "clients", "raw"};
    fmq_metrics_t metrics = {0};
    assert_int_equal(fmq_metrics_log_add_raw(history, &key, &metrics, NULL), 0);
    assert_int_equal(fmq_metrics_log_sync(history, NULL), 0);
    expect("sync ./metrics.jsonl\n");
    fmq_metrics_log_close(&history);
}

/* As llm_adapter_save() writes its files: each durable in a folder beside, and
 * the folder, or its files, named last. */
static void save_directory(const char *directory)
{
    char path[512];
    llm_file_out_t out;
    char *beside = llm_directory_begin(directory, NULL);
    assert_non_null(beside);
    (void)snprintf(path, sizeof path, "%s/adapter_config.json", beside);
    assert_int_equal(llm_file_create(&out, path, NULL), 0);
    assert_int_equal(fputc('{', out.stream), '{');
    noted[0] = '\0';
    assert_int_equal(llm_file_commit(&out, NULL), 0);
    const char *sync = strstr(noted, "sync "),
               *named = strstr(noted, "/adapter_config.json\nsync ");
    assert_true(sync == noted && named);
    noted[0] = '\0';
    assert_int_equal(llm_directory_end(&beside, directory, 0, NULL), 0);
}

static void an_adapters_folder_is_durable_when_it_is_saved(void **state)
{
    char path[256];
    save_directory(test_path(path, *state, "adapter"));
    expect("name ./adapter\nsync .\n");
    save_directory(test_path(path, *state, "adapter/"));
    assert_non_null(strstr(noted, "name ./adapter/adapter_config.json\n"));
    assert_non_null(strstr(noted, "\nsync ./adapter\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_file_is_synced_renamed_and_its_folder_synced),
        TEST(a_new_folder_is_durable_in_the_one_that_holds_it),
        TEST(a_checkpoint_is_durable_when_it_is_saved),
        TEST(what_a_client_trains_by_itself_is_durable_when_it_is_saved),
        TEST(updates_are_told_to_be_there_when_all_of_them_are_durable),
        TEST(an_update_whose_sync_fails_is_told_to_nobody),
        TEST(the_lists_of_a_round_are_durable_when_they_are_saved),
        TEST(measurements_are_durable_when_they_are_synced),
        TEST(an_adapters_folder_is_durable_when_it_is_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
