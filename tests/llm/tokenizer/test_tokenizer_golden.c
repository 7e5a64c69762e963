/*
 * test_tokenizer_golden.c - ids and texts against those of Hugging Face's
 * tokenizers, line by line, for tokenizers of every kind.  The goldens come
 * from scripts/goldens/make_tokenizer_goldens.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "fedmq/llm/tokenizer.h"
#include "tests/llm/hub/scratch.h"

#define DATA FEDMQ_SOURCE_DIR "/tests/llm/tokenizer/data"

static json_t *load_golden(const char *name)
{
    char path[4096];
    json_error_t where;
    (void)snprintf(path, sizeof path, DATA "/%s.golden.json", name);
    json_t *golden = json_load_file(path, JSON_ALLOW_NUL, &where);
    if (!golden)
        fail_msg("%s:%d: %s", path, where.line, where.text);
    return golden;
}

static void print_ids(const char *what, const llm_ids_t *ids)
{
    print_message("%s:", what);
    for (size_t i = 0; i < ids->size; i++)
        print_message(" %d", ids->ids[i]);
    print_message("\n");
}

static llm_ids_t ids_of(const json_t *list)
{
    llm_ids_t ids = {0};
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_int_equal(
            llm_ids_append(&ids, (int32_t)json_integer_value(json_array_get(list, i)), NULL), 0);
    return ids;
}

/* How many lines differ: 0 or 1. */
static int encodes_to(const llm_tokenizer_t *tokenizer, const json_t *text, bool special,
                      const json_t *expected)
{
    fmq_error_t err = {0};
    llm_ids_t ids = {0}, wanted = ids_of(expected);
    if (llm_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), special,
                             &ids, &err) < 0)
        fail_msg("%s", err.text);
    int differs = ids.size != wanted.size ||
                  (ids.size && memcmp(ids.ids, wanted.ids, ids.size * sizeof *ids.ids) != 0);
    if (differs) {
        char *shown = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        print_message("%s\n", shown);
        free(shown);
        print_ids("  expected", &wanted);
        print_ids("       got", &ids);
    }
    llm_ids_release(&ids);
    llm_ids_release(&wanted);
    return differs;
}

static int decodes_to(const llm_tokenizer_t *tokenizer, const json_t *list, bool skip,
                      const json_t *expected)
{
    fmq_error_t err = {0};
    llm_ids_t ids = ids_of(list);
    size_t size = 0;
    char *text = llm_tokenizer_decode(tokenizer, ids.ids, ids.size, skip, &size, &err);
    if (!text)
        fail_msg("%s", err.text);
    int differs = size != json_string_length(expected) ||
                  memcmp(text, json_string_value(expected), size) != 0 || text[size] != '\0';
    if (differs) {
        char *shown = json_dumps(expected, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        print_ids("decoding", &ids);
        print_message("  expected %s\n       got '%s'\n", shown, text);
        free(shown);
    }
    free(text);
    llm_ids_release(&ids);
    return differs;
}

static void follows_golden(const char *name, const char *directory)
{
    fmq_error_t err = {0};
    llm_tokenizer_t *tokenizer = llm_tokenizer_open(directory, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    json_t *golden = load_golden(name);
    json_t *cases = json_object_get(golden, "cases");
    json_t *decodings = json_object_get(golden, "decodings");
    assert_true(json_array_size(cases) > 150 && json_array_size(decodings) > 80);
    int differing = 0;
    size_t index;
    json_t *entry;
    json_array_foreach(cases, index, entry)
    {
        const json_t *text = json_object_get(entry, "text");
        const json_t *special = json_object_get(entry, "special");
        differing += encodes_to(tokenizer, text, false, json_object_get(entry, "ids"));
        differing += encodes_to(tokenizer, text, true, special);
        differing += decodes_to(tokenizer, special, false, json_object_get(entry, "decoded"));
        differing += decodes_to(tokenizer, special, true, json_object_get(entry, "skipped"));
    }
    json_array_foreach(decodings, index, entry)
    {
        const json_t *ids = json_object_get(entry, "ids");
        differing += decodes_to(tokenizer, ids, false, json_object_get(entry, "decoded"));
        differing += decodes_to(tokenizer, ids, true, json_object_get(entry, "skipped"));
    }
    json_decref(golden);
    llm_tokenizer_destroy(&tokenizer);
    if (differing)
        fail_msg("%d lines differ from the golden of '%s'", differing, name);
}

static void unicodes_forms_cases_and_marks_agree_on_every_line(void **state)
{
    (void)state;
    follows_golden("normal", DATA "/normal");
}

static void berts_chain_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("bert", DATA "/bert");
}

static void a_byte_level_tokenizer_like_llama3_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("byte_level", DATA "/byte_level");
}

static void a_metaspace_tokenizer_with_byte_fallback_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("metaspace", DATA "/metaspace");
}

static void a_tokenizer_without_pre_tokenizer_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("prepend", DATA "/prepend");
}

static void a_chain_of_pre_tokenizers_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("digits", DATA "/digits");
}

static void odd_flags_and_expressions_agree_on_every_line(void **state)
{
    (void)state;
    follows_golden("oddities", DATA "/oddities");
}

static void gpt2_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("gpt2", scratch_asset("tokenizers/gpt2"));
}

static void llama2_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("llama2", scratch_asset("tokenizers/llama2"));
}

static void tinystories_656k_agrees_on_every_line(void **state)
{
    (void)state;
    follows_golden("tinystories-656k", scratch_asset("models/TinyStories-656K"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unicodes_forms_cases_and_marks_agree_on_every_line),
        cmocka_unit_test(berts_chain_agrees_on_every_line),
        cmocka_unit_test(a_byte_level_tokenizer_like_llama3_agrees_on_every_line),
        cmocka_unit_test(a_metaspace_tokenizer_with_byte_fallback_agrees_on_every_line),
        cmocka_unit_test(a_tokenizer_without_pre_tokenizer_agrees_on_every_line),
        cmocka_unit_test(a_chain_of_pre_tokenizers_agrees_on_every_line),
        cmocka_unit_test(odd_flags_and_expressions_agree_on_every_line),
        cmocka_unit_test(gpt2_agrees_on_every_line),
        cmocka_unit_test(llama2_agrees_on_every_line),
        cmocka_unit_test(tinystories_656k_agrees_on_every_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
