/*
 * test_weights.c - safetensors files and shards opened, read and written, and
 * every way in which one can lie about itself.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fedmq/llm/hub.h"
#include "tests/llm/hub/scratch.h"

static int set_up(void **state)
{
    static scratch_t scratch;
    scratch_init(&scratch);
    *state = &scratch;
    return 0;
}

static int tear_down(void **state)
{
    scratch_release(*state);
    return 0;
}

/* Writes a file with this header and data_size bytes 0, 1, 2, ... behind it. */
static const char *raw_file(void **state, const char *name, const char *header, size_t data_size)
{
    static unsigned char file[65536];
    size_t length = strlen(header);
    assert_true(8 + length + data_size <= sizeof file);
    memset(file, 0, 8);
    file[0] = (unsigned char)length;
    file[1] = (unsigned char)(length >> 8);
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        file[8 + length + i] = (unsigned char)i;
    return scratch_write(*state, name, file, 8 + length + data_size);
}

static llm_weights_t *open_well(const char *path)
{
    fmq_error_t err = {0};
    llm_weights_t *weights = llm_weights_open(path, &err);
    if (!weights)
        fail_msg("%s", err.text);
    return weights;
}

static void refused(const char *path, fmq_error_code_t code, const char *named)
{
    fmq_error_t err = {0};
    llm_weights_t *weights = llm_weights_open(path, &err);
    assert_null(weights);
    if (err.code != code || !strstr(err.text, named))
        fail_msg("expected %s naming '%s', not %s: %s", fmq_error_name(code), named,
                 fmq_error_name(err.code), err.text);
}

static void saved_tensors_are_read_as_they_were(void **state)
{
    float matrix[6] = {1, -2, 3.5f, 0, 1e-20f, -1e20f};
    float vector[3] = {1, 0.5f, 65504};
    float scalar = 7;
    const llm_tensor_out_t out[] = {
        {"b.weight", FMQ_F32, 2, {2, 3}, matrix}, {"a.half", FMQ_F16, 1, {3}, vector},
        {"c.brain", FMQ_BF16, 1, {2}, vector},    {"scalar", FMQ_F32, 0, {0}, &scalar},
        {"empty", FMQ_F32, 2, {0, 5}, NULL},
    };
    const char *path = scratch_path(*state, "saved.safetensors");
    fmq_error_t err = {0};
    assert_int_equal(llm_safetensors_save(path, out, 5, &err), 0);
    llm_weights_t *weights = open_well(path);
    assert_int_equal(llm_weights_size(weights), 5);
    assert_string_equal(llm_weights_at(weights, 0)->name, "b.weight");
    assert_string_equal(llm_weights_find(weights, "c.brain")->dtype_text, "BF16");
    assert_null(llm_weights_find(weights, "d"));
    assert_null(llm_weights_at(weights, 5));
    float got[6];
    assert_int_equal(llm_weights_read(weights, "b.weight", 2, (uint64_t[]){2, 3}, got, &err), 0);
    assert_memory_equal(got, matrix, sizeof matrix);
    assert_int_equal(llm_weights_read(weights, "a.half", 1, (uint64_t[]){3}, got, &err), 0);
    assert_memory_equal(got, vector, sizeof vector);
    assert_int_equal(llm_weights_read(weights, "c.brain", 1, (uint64_t[]){2}, got, &err), 0);
    assert_memory_equal(got, vector, 2 * sizeof *vector);
    assert_int_equal(llm_weights_read(weights, "scalar", 0, NULL, got, &err), 0);
    assert_true(got[0] == 7);
    assert_int_equal(llm_weights_read(weights, "empty", 2, (uint64_t[]){0, 5}, got, &err), 0);
    llm_weights_close(&weights);
    assert_null(weights);
}

static void a_save_leaves_no_temporary_and_keeps_the_old_file_on_failure(void **state)
{
    const char *folder = scratch_folder(*state, "atomic");
    char path[2 * SCRATCH_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/w.safetensors", folder);
    float one = 1, two = 2;
    llm_tensor_out_t out[2] = {{"a", FMQ_F32, 1, {1}, &one}, {"a", FMQ_F32, 1, {1}, &two}};
    fmq_error_t err = {0};
    assert_int_equal(llm_safetensors_save(path, out, 1, &err), 0);
    assert_int_equal(llm_safetensors_save(path, out, 2, &err), -1);
    assert_non_null(strstr(err.text, "'a' is given twice"));
    out[0].data = &two;
    assert_int_equal(llm_safetensors_save(path, out, 1, &err), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0400, 0400);
    DIR *directory = opendir(folder);
    size_t files = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        files += entry->d_name[0] != '.';
    (void)closedir(directory);
    assert_int_equal(files, 1);
    llm_weights_t *weights = open_well(path);
    float got;
    assert_int_equal(llm_weights_read(weights, "a", 1, (uint64_t[]){1}, &got, &err), 0);
    assert_true(got == 2);
    llm_weights_close(&weights);
}

static void bad_tensors_are_not_saved(void **state)
{
    float one = 1;
    const char *path = scratch_path(*state, "never.safetensors");
    const llm_tensor_out_t bad[] = {
        {"", FMQ_F32, 1, {1}, &one},
        {"__metadata__", FMQ_F32, 1, {1}, &one},
        {"a", FMQ_I64, 1, {1}, &one},
        {"a", FMQ_F32, 5, {1}, &one},
        {"a", FMQ_F32, 2, {UINT64_MAX, 3}, &one},
        {"\xff\xfe", FMQ_F32, 1, {1}, &one},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fmq_error_t err = {0};
        assert_int_equal(llm_safetensors_save(path, &bad[i], 1, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
    }
    assert_int_equal(access(path, F_OK), -1);
    float none = 0;
    const llm_tensor_out_t lost = {"a", FMQ_F32, 1, {1}, &none};
    fmq_error_t err = {0};
    assert_int_equal(llm_safetensors_save(scratch_path(*state, "no/such/folder.x"), &lost, 1, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_IO);
}

static void a_wrong_name_shape_or_dtype_is_named(void **state)
{
    const char *path =
        raw_file(state, "mixed.safetensors",
                 "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                 "\"mask\":{\"dtype\":\"BOOL\",\"shape\":[1,1,2,2],\"data_offsets\":[8,12]},"
                 "\"exotic\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[12,14]},"
                 "\"n\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[14,22]}}",
                 22);
    llm_weights_t *weights = open_well(path);
    assert_int_equal(llm_weights_find(weights, "mask")->dtype, LLM_DTYPE_OTHER);
    assert_int_equal(llm_weights_find(weights, "n")->dtype, FMQ_I64);
    float out[4] = {9, 9, 9, 9};
    fmq_error_t err = {0};
    assert_int_equal(llm_weights_read(weights, "v", 1, (uint64_t[]){2}, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "'v'"));
    assert_int_equal(llm_weights_read(weights, "w", 2, (uint64_t[]){2, 1}, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "has shape [1, 2], not [2, 1]"));
    assert_int_equal(llm_weights_read(weights, "w", 1, (uint64_t[]){2}, out, &err), -1);
    assert_int_equal(llm_weights_read(weights, "exotic", 1, (uint64_t[]){3}, out, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "F4"));
    assert_non_null(strstr(err.text, "mixed.safetensors"));
    assert_true(out[0] == 9);
    llm_weights_close(&weights);
}

static void unaligned_data_is_read(void **state)
{
    /* A header of odd length: 7 + the JSON puts data at an odd address. */
    const char *header = "{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                         "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[3,11]}}";
    llm_weights_t *weights = open_well(raw_file(state, "odd.safetensors", header, 11));
    const unsigned char expected[8] = {3, 4, 5, 6, 7, 8, 9, 10};
    float out[2];
    fmq_error_t err = {0};
    assert_int_equal(llm_weights_read(weights, "w", 1, (uint64_t[]){2}, out, &err), 0);
    assert_memory_equal(out, expected, sizeof expected);
    llm_weights_close(&weights);
}

static void every_lie_in_a_header_is_refused(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        fmq_error_code_t code;
        const char *named;
    } cases[] = {
        {"", 0, FMQ_ERR_FORMAT, "JSON"},
        {"[]", 0, FMQ_ERR_FORMAT, "object"},
        {"{\"a\":1}", 0, FMQ_ERR_FORMAT, "dtype"},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         FMQ_ERR_FORMAT, "a NUL"},
        {"{\"a\":{\"dtype\":3}}", 0, FMQ_ERR_FORMAT, "dtype"},
        {"{\"a\":{\"dtype\":\"F32\"}}", 0, FMQ_ERR_FORMAT, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, FMQ_ERR_FORMAT, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, FMQ_ERR_FORMAT,
         "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, FMQ_ERR_FORMAT,
         "4 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, FMQ_ERR_FORMAT,
         "cut short"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, FMQ_ERR_FORMAT,
         "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0.5,4]}}", 4, FMQ_ERR_FORMAT,
         "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1e19]}}", 4, FMQ_ERR_FORMAT,
         "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, FMQ_ERR_FORMAT,
         "do not fit"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, FMQ_ERR_FORMAT,
         "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],"
         "\"data_offsets\":[0,4]}}",
         4, FMQ_ERR_LIMIT, "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         FMQ_ERR_UNSUPPORTED, "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, FMQ_ERR_FORMAT,
         "1 bytes behind"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, FMQ_ERR_FORMAT,
         "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, FMQ_ERR_FORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, FMQ_ERR_FORMAT, "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(raw_file(state, "lie.safetensors", cases[i].header, cases[i].data), cases[i].code,
                cases[i].named);
}

static void lengths_that_cannot_be_are_refused(void **state)
{
    refused(scratch_write(*state, "empty.safetensors", "", 0), FMQ_ERR_FORMAT, "empty");
    refused(scratch_write(*state, "short.safetensors", "\x02\0\0", 3), FMQ_ERR_FORMAT, "too few");
    refused(scratch_write(*state, "cut.safetensors", "\x09\0\0\0\0\0\0\0{}", 10), FMQ_ERR_FORMAT,
            "cut short");
    refused(scratch_write(*state, "huge.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
            FMQ_ERR_LIMIT, "not a safetensors");
    refused(scratch_folder(*state, "bare"), FMQ_ERR_NOTFOUND, "pytorch_model.bin");
    refused(scratch_path(*state, "nowhere"), FMQ_ERR_NOTFOUND, "nowhere");
}

/* Writes two shards a and b and an index with this weight_map. */
static const char *sharded(void **state, const char *name, const char *map)
{
    const scratch_t *scratch = *state;
    char file[256], text[2048];
    (void)scratch_folder(scratch, name);
    static const float values[2] = {1, 2};
    static const char *const tensors[2] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        llm_tensor_out_t out = {tensors[i], FMQ_F32, 1, {1}, &values[i]};
        (void)snprintf(file, sizeof file, "%s/m-%d.safetensors", name, i + 1);
        assert_int_equal(llm_safetensors_save(scratch_path(scratch, file), &out, 1, NULL), 0);
    }
    (void)snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":8},\"weight_map\":%s}", map);
    (void)snprintf(file, sizeof file, "%s/model.safetensors.index.json", name);
    (void)scratch_text(scratch, file, text);
    return scratch_path(scratch, name);
}

static void shards_are_one_set_of_tensors(void **state)
{
    llm_weights_t *weights =
        open_well(sharded(state, "good", "{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}"));
    assert_int_equal(llm_weights_size(weights), 2);
    assert_string_equal(llm_weights_at(weights, 1)->name, "b");
    float got;
    assert_int_equal(llm_weights_read(weights, "b", 1, (uint64_t[]){1}, &got, NULL), 0);
    assert_true(got == 2);
    llm_weights_close(&weights);
}

static void an_index_that_is_wrong_is_refused(void **state)
{
    refused(sharded(state, "gone", "{\"a\":\"m-1.safetensors\",\"b\":\"m-3.safetensors\"}"),
            FMQ_ERR_NOTFOUND, "m-3.safetensors");
    refused(sharded(state, "moved", "{\"a\":\"m-2.safetensors\",\"b\":\"m-1.safetensors\"}"),
            FMQ_ERR_MISMATCH, "'a'");
    refused(sharded(state, "more", "{\"a\":\"m-1.safetensors\",\"z\":\"m-1.safetensors\"}"),
            FMQ_ERR_MISMATCH, "'z'");
    refused(sharded(state, "away", "{\"a\":\"../m-1.safetensors\"}"), FMQ_ERR_FORMAT, "'a'");
    refused(sharded(state, "number", "{\"a\":1}"), FMQ_ERR_FORMAT, "'a'");
    refused(sharded(state, "none", "{}"), FMQ_ERR_FORMAT, "weight_map");
    refused(sharded(state, "twice", "{\"a\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\"}"),
            FMQ_ERR_FORMAT, "duplicate");
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    const char *path =
        sharded(state, "both", "{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}");
    char second[3 * SCRATCH_PATH_MAX];
    (void)snprintf(second, sizeof second, "%s/m-2.safetensors", path);
    static const float values[2] = {1, 2};
    const llm_tensor_out_t out[2] = {{"a", FMQ_F32, 1, {1}, values},
                                     {"b", FMQ_F32, 1, {1}, values + 1}};
    assert_int_equal(llm_safetensors_save(second, out, 2, NULL), 0);
    refused(scratch_path(*state, "both"), FMQ_ERR_FORMAT, "both in");
}

static void every_cut_of_a_file_is_refused(void **state)
{
    const char *header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    size_t size;
    char *whole = scratch_read(raw_file(state, "whole.safetensors", header, 8), &size);
    assert_non_null(whole);
    for (size_t cut = 0; cut < size; cut++) {
        const char *path = scratch_write(*state, "cut.safetensors", whole, cut);
        fmq_error_t err = {0};
        assert_null(llm_weights_open(path, &err));
        assert_int_not_equal(err.code, FMQ_OK);
    }
    free(whole);
}

static void the_tensors_of_a_real_model_open(void **state)
{
    (void)state;
    llm_weights_t *weights = open_well(scratch_asset("models/TinyStories-656K"));
    static float head[2048 * 128];
    fmq_error_t err = {0};
    assert_int_equal(
        llm_weights_read(weights, "lm_head.weight", 2, (uint64_t[]){2048, 128}, head, &err), 0);
    assert_null(llm_weights_find(weights, "model.embed_tokens.weight"));
    llm_weights_close(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_tensors_are_read_as_they_were),
        cmocka_unit_test(a_save_leaves_no_temporary_and_keeps_the_old_file_on_failure),
        cmocka_unit_test(bad_tensors_are_not_saved),
        cmocka_unit_test(a_wrong_name_shape_or_dtype_is_named),
        cmocka_unit_test(unaligned_data_is_read),
        cmocka_unit_test(every_lie_in_a_header_is_refused),
        cmocka_unit_test(lengths_that_cannot_be_are_refused),
        cmocka_unit_test(shards_are_one_set_of_tensors),
        cmocka_unit_test(an_index_that_is_wrong_is_refused),
        cmocka_unit_test(a_tensor_in_two_shards_is_refused),
        cmocka_unit_test(every_cut_of_a_file_is_refused),
        cmocka_unit_test(the_tensors_of_a_real_model_open),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
