/*
 * test_shard.c - a client's data as an object, and a stranger's bytes.
 */
#include "actors_test.h"

#include "fedmq/actors/shard.h"

static void add(llm_records_t *records, const char *instruction, const char *output)
{
    llm_record_t record = {instruction, "", output, ""};
    assert_int_equal(llm_records_add(records, &record, NULL), 0);
}

static char *bytes_of(const fmq_object_t *object, size_t *size)
{
    *size = (size_t)fmq_object_bytes(object);
    char *bytes = calloc(1, *size + 1);
    size_t at = 0;
    for (uint32_t i = 0; i < fmq_object_chunks(object); i++) {
        size_t length;
        const void *chunk = fmq_object_chunk(object, i, &length);
        memcpy(bytes + at, chunk, length);
        at += length;
    }
    return bytes;
}

static int decode(const char *bytes, size_t size, size_t counts[3], fmq_error_t *err)
{
    llm_records_t *parts[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
    int rc = fmq_shard_decode(bytes, size, parts, err);
    for (int i = 0; i < 3; i++) {
        counts[i] = llm_records_size(parts[i]);
        llm_records_destroy(&parts[i]);
    }
    return rc;
}

/* Two train records, no val, one test record. */
static char *a_shard(size_t *size)
{
    llm_records_t *train = llm_records_new(), *test = llm_records_new();
    add(train, "Say \"hi\"\nnow", "hi {\"part\":\"val\",\"records\":0}");
    add(train, "Count", "1 2 3");
    add(test, "Name a colour", "red");
    const llm_records_t *parts[3] = {train, NULL, test};
    fmq_error_t err;
    fmq_object_t *object = fmq_shard_encode(parts, &err);
    if (!object)
        fail_msg("%s", err.text);
    char *bytes = bytes_of(object, size);
    fmq_object_drop(&object);
    llm_records_destroy(&train);
    llm_records_destroy(&test);
    return bytes;
}

static void three_parts_come_back_as_they_were(void **state)
{
    (void)state;
    size_t size;
    char *bytes = a_shard(&size);
    llm_records_t *parts[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
    fmq_error_t err;
    assert_int_equal(fmq_shard_decode(bytes, size, parts, &err), 0);
    assert_int_equal(llm_records_size(parts[0]), 2);
    assert_int_equal(llm_records_size(parts[1]), 0);
    assert_int_equal(llm_records_size(parts[2]), 1);
    assert_string_equal(llm_records_at(parts[0], 0)->instruction, "Say \"hi\"\nnow");
    assert_string_equal(llm_records_at(parts[2], 0)->output, "red");
    for (int i = 0; i < 3; i++)
        llm_records_destroy(&parts[i]);
    free(bytes);
}

static void a_shard_of_nothing_is_three_lines(void **state)
{
    (void)state;
    const llm_records_t *parts[3] = {NULL, NULL, NULL};
    fmq_object_t *object = fmq_shard_encode(parts, NULL);
    size_t size, counts[3];
    char *bytes = bytes_of(object, &size);
    assert_string_equal(bytes, "{\"part\":\"train\",\"records\":0}\n"
                               "{\"part\":\"val\",\"records\":0}\n"
                               "{\"part\":\"test\",\"records\":0}\n");
    assert_int_equal(decode(bytes, size, counts, NULL), 0);
    free(bytes);
    fmq_object_drop(&object);
}

static void every_cut_of_a_shard_is_refused(void **state)
{
    (void)state;
    size_t size, counts[3];
    char *bytes = a_shard(&size);
    for (size_t cut = 0; cut < size; cut++) {
        fmq_error_t err;
        char *part = malloc(cut + 1);
        memcpy(part, bytes, cut);
        assert_int_equal(decode(part, cut, counts, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        free(part);
    }
    free(bytes);
}

static void what_is_not_a_shard_is_refused_and_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "'train'"},
        {"rubbish", "'train'"},
        {"{\"part\":\"val\",\"records\":0}\n", "'train'"},
        {"{\"part\":\"train\",\"records\":99999999999999999999999}\n", "'train'"},
        {"{\"part\":\"train\",\"records\":-1}\n", "'train'"},
        {"{\"part\":\"train\",\"records\":1}\n", "before the 1 records of part 'train'"},
        {"{\"part\":\"train\",\"records\":1}\nno json\n", "shard"},
        {"{\"part\":\"train\",\"records\":0}\n{\"part\":\"val\",\"records\":0}\n"
         "{\"part\":\"test\",\"records\":0}\n{}\n",
         "behind its last record"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err;
        size_t counts[3];
        assert_int_equal(decode(cases[i].text, strlen(cases[i].text), counts, &err), -1);
        if (!strstr(err.text, cases[i].why))
            fail_msg("case %zu says: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_parts_come_back_as_they_were),
        cmocka_unit_test(a_shard_of_nothing_is_three_lines),
        cmocka_unit_test(every_cut_of_a_shard_is_refused),
        cmocka_unit_test(what_is_not_a_shard_is_refused_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
