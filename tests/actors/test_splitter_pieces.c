/*
 * test_splitter_pieces.c - a data set is cut so that every record has one
 * owner, and so that everybody who cuts it agrees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "actors/splitter/pieces.h"

#define RECORDS 100
#define CLIENTS 4

static char path[64];
static fmq_config_t *config;
static fmq_error_t err;

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/fedmq-pieces-XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file)
        return -1;
    for (int i = 0; i < RECORDS; i++)
        fprintf(file, "{\"instruction\":\"q%d\",\"output\":\"%d\",\"category\":\"c%d\"}\n", i, i,
                i % 5);
    fclose(file);
    config = fmq_config_new();
    char yaml[256];
    snprintf(yaml, sizeof yaml,
             "federate: {client_num: %d}\n"
             "data: {type: any.jsonl@llm, file_path: %s, splitter: iid, splits: [0.8, 0.1, 0.1]}\n",
             CLIENTS, path);
    return fmq_config_parse(config, "test", yaml, strlen(yaml), &err);
}

static int tear_down(void **state)
{
    (void)state;
    fmq_config_destroy(&config);
    return unlink(path);
}

static void set(const char *key, const char *value)
{
    if (fmq_config_set(config, key, value, &err) < 0)
        fail_msg("%s", err.text);
}

static fmq_pieces_t *cut(void)
{
    fmq_pieces_t *pieces = fmq_pieces_new(config, NULL, &err);
    if (!pieces)
        fail_msg("%s", err.text);
    return pieces;
}

/* Marks which records a shard holds: seen[i] counts, its size by part. */
static void look_into(const fmq_pieces_t *pieces, uint32_t client, int seen[RECORDS],
                      uint64_t counts[3])
{
    llm_records_t *parts[3] = {llm_records_new(), llm_records_new(), llm_records_new()};
    fmq_object_t *shard = fmq_pieces_shard(pieces, client, counts, &err);
    if (!shard)
        fail_msg("%s", err.text);
    char *bytes = malloc(fmq_object_bytes(shard));
    size_t used = 0;
    for (uint32_t i = 0; i < fmq_object_chunks(shard); i++) {
        size_t size = 0;
        const void *chunk = fmq_object_chunk(shard, i, &size);
        memcpy(bytes + used, chunk, size);
        used += size;
    }
    assert_int_equal(fmq_shard_decode(bytes, used, parts, &err), 0);
    for (int part = 0; part < 3; part++) {
        assert_int_equal(llm_records_size(parts[part]), counts[part]);
        for (size_t i = 0; i < llm_records_size(parts[part]); i++)
            seen[atoi(llm_records_at(parts[part], i)->output)]++;
        llm_records_destroy(&parts[part]);
    }
    free(bytes);
    fmq_object_drop(&shard);
}

static void every_record_has_exactly_one_owner(void **state)
{
    (void)state;
    int seen[RECORDS] = {0};
    uint64_t total[3] = {0};
    fmq_pieces_t *pieces = cut();
    assert_int_equal(fmq_pieces_clients(pieces), CLIENTS);
    for (uint32_t client = 1; client <= CLIENTS; client++) {
        uint64_t counts[3] = {0};
        look_into(pieces, client, seen, counts);
        for (int part = 0; part < 3; part++)
            total[part] += counts[part];
        assert_int_equal(counts[0], 20);
    }
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(total[0], 80);
    assert_int_equal(total[1], 10);
    assert_int_equal(total[2], 10);
    fmq_pieces_destroy(&pieces);
}

static void what_was_dealt_is_told_in_one_line(void **state)
{
    (void)state;
    fmq_pieces_t *pieces = cut();
    assert_string_equal(fmq_pieces_told(pieces),
                        "iid over 4 clients: train 80 records, 20 to 20 each (median 20); val 10 "
                        "records, 2 to 3 each (median 3); test 10 records, 2 to 3 each (median 3)");
    fmq_pieces_destroy(&pieces);
    set("data.splitter", "meta");
    pieces = cut();
    const char *told = fmq_pieces_told(pieces);
    assert_non_null(strstr(told, "meta over 4 clients: train 80 records, "));
    for (int i = 0; i < 5; i++) { /* each category once, without its count */
        char name[8];
        snprintf(name, sizeof name, " c%d", i);
        const char *at = strstr(told, name);
        assert_non_null(at);
        assert_null(strstr(at + 1, name));
        assert_true(at[3] == '\0' || at[3] == ';' || at[3] == ',');
    }
    fmq_pieces_destroy(&pieces);
    set("data.splitter", "lda");
    pieces = cut();
    told = strstr(fmq_pieces_told(pieces), "; client-1: ");
    int label, count;
    assert_non_null(told);
    assert_int_equal(sscanf(told, "; client-1: c%d %d", &label, &count), 2);
    fmq_pieces_destroy(&pieces);
    set("data.splitter", "iid");
}

static void the_server_holds_validation_and_test_data_but_no_training_data(void **state)
{
    (void)state;
    int seen[RECORDS] = {0};
    uint64_t counts[3] = {1, 1, 1};
    fmq_pieces_t *pieces = cut();
    look_into(pieces, 0, seen, counts);
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], 10);
    assert_int_equal(counts[2], 10);
    fmq_pieces_destroy(&pieces);
}

static fmq_digest_t digest_of(uint32_t client)
{
    uint64_t counts[3];
    fmq_pieces_t *pieces = cut();
    fmq_object_t *shard = fmq_pieces_shard(pieces, client, counts, &err);
    assert_non_null(shard);
    fmq_digest_t digest = *fmq_object_digest(shard);
    fmq_object_drop(&shard);
    fmq_pieces_destroy(&pieces);
    return digest;
}

static void the_split_does_not_depend_on_the_seed_of_the_run(void **state)
{
    (void)state;
    fmq_digest_t before = digest_of(2);
    set("seed", "99");
    fmq_digest_t after = digest_of(2);
    assert_true(fmq_digest_equal(&before, &after));
}

static void one_client_kept_for_local_training_is_client_one_with_its_own_data(void **state)
{
    (void)state;
    fmq_digest_t third = digest_of(3);
    set("federate.client_idx_for_local_train", "3");
    fmq_digest_t only = digest_of(1);
    assert_true(fmq_digest_equal(&third, &only));
    fmq_pieces_t *pieces = cut();
    uint64_t counts[3];
    assert_int_equal(fmq_pieces_clients(pieces), 1);
    assert_null(fmq_pieces_shard(pieces, 2, counts, &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    fmq_pieces_destroy(&pieces);
}

static void global_gives_all_training_data_to_one_client(void **state)
{
    (void)state;
    int seen[RECORDS] = {0};
    uint64_t counts[3] = {0};
    set("federate.method", "global");
    fmq_pieces_t *pieces = cut();
    assert_int_equal(fmq_pieces_clients(pieces), 1);
    look_into(pieces, 1, seen, counts);
    assert_int_equal(counts[0], 80);
    fmq_pieces_destroy(&pieces);
}

static void meta_keeps_categories_together(void **state)
{
    (void)state;
    uint64_t counts[3] = {0};
    int seen[RECORDS] = {0};
    set("data.splitter", "meta");
    set("data.splits", "[1.0, 0.0, 0.0]");
    fmq_pieces_t *pieces = cut();
    look_into(pieces, 2, seen, counts);
    int category = -1;
    for (int i = 0; i < RECORDS; i++)
        if (seen[i] && category < 0)
            category = i % 5;
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(seen[i], i % 5 == category);
    fmq_pieces_destroy(&pieces);
}

static void data_that_is_not_there_is_named(void **state)
{
    (void)state;
    set("data.file_path", "/nonexistent/any.jsonl");
    assert_null(fmq_pieces_new(config, NULL, &err));
    assert_non_null(strstr(err.text, "/nonexistent/any.jsonl"));
}

static void more_clients_than_records_is_a_mistake(void **state)
{
    (void)state;
    set("federate.client_num", "81");
    assert_null(fmq_pieces_new(config, NULL, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_record_has_exactly_one_owner),
        CASE(what_was_dealt_is_told_in_one_line),
        CASE(the_server_holds_validation_and_test_data_but_no_training_data),
        CASE(the_split_does_not_depend_on_the_seed_of_the_run),
        CASE(one_client_kept_for_local_training_is_client_one_with_its_own_data),
        CASE(global_gives_all_training_data_to_one_client),
        CASE(meta_keeps_categories_together),
        CASE(data_that_is_not_there_is_named),
        CASE(more_clients_than_records_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
