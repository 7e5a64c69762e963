/*
 * test_tokenizer.c - opening a tokenizer's files, what is refused and why, its
 * ends, and the contracts of encode and decode.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/tokenizer.h"
#include "tests/llm/hub/scratch.h"

/* A small tokenizer.json in which a test replaces a part. */
#define MODEL                                                                                      \
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\","                        \
    "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true,"            \
    "\"byte_fallback\":false,\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"a\":3,\"b\":4,"         \
    "\"ab\":5,\"_\":6,\"_a\":7},\"merges\":[\"a b\",\"_ a\"]}"

#define SMALL                                                                                      \
    "{\"version\":\"1.0\",\"truncation\":{\"max_length\":1},\"padding\":null,"                     \
    "\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,"      \
    "\"rstrip\":false,\"normalized\":false,\"special\":true},"                                     \
    "{\"id\":8,\"content\":\"<x>\",\"normalized\":false}],"                                        \
    "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"_\"},"      \
    "\"pre_tokenizer\":null,"                                                                      \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["                             \
    "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","               \
    "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"        \
    "\"tokens\":[\"<s>\"]}}},"                                                                     \
    "\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\" \"}," MODEL   \
    "}"

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

/* Every test gets a scratch directory; its tokenizer lies in it directly. */
static llm_tokenizer_t *open_text(void **state, const char *text, fmq_error_t *err)
{
    const scratch_t *scratch = *state;
    (void)scratch_text(scratch, "tokenizer.json", text);
    return llm_tokenizer_open(scratch->directory, err);
}

static llm_tokenizer_t *open_small(void **state)
{
    fmq_error_t err = {0};
    llm_tokenizer_t *tokenizer = open_text(state, SMALL, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    return tokenizer;
}

/* SMALL with the first occurrence of from replaced. */
static llm_tokenizer_t *open_with(void **state, const char *from, const char *to, fmq_error_t *err)
{
    static char text[8192];
    const char *at = strstr(SMALL, from);
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - SMALL), SMALL, to, at + strlen(from));
    return open_text(state, text, err);
}

static void encodes_to(const llm_tokenizer_t *tokenizer, const char *text, bool special,
                       const char *expected)
{
    llm_ids_t ids = {0};
    char got[1024] = "";
    size_t used = 0;
    fmq_error_t err = {0};
    if (llm_tokenizer_encode(tokenizer, text, strlen(text), special, &ids, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ids.size; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, i ? " %d" : "%d", ids.ids[i]);
    assert_string_equal(got, expected);
    llm_ids_release(&ids);
}

static void decodes_to(const llm_tokenizer_t *tokenizer, const int32_t *ids, size_t count,
                       bool skip_special, const char *expected)
{
    size_t size = 0;
    char *text = llm_tokenizer_decode(tokenizer, ids, count, skip_special, &size, NULL);
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
}

static void a_small_tokenizer_encodes_and_decodes(void **state)
{
    llm_tokenizer_t *tokenizer = open_small(state);
    encodes_to(tokenizer, "ab a", true, "1 5 7");
    encodes_to(tokenizer, "ab a", false, "5 7");
    encodes_to(tokenizer, "a<s>b<x>\xc3\xa9", false, "3 1 4 8 0");
    encodes_to(tokenizer, "", true, "1");
    encodes_to(tokenizer, "", false, "");
    decodes_to(tokenizer, (const int32_t[]){1, 5, 7, 8}, 4, false, "<s>ab a<x>");
    decodes_to(tokenizer, (const int32_t[]){1, 5, 7, 8}, 4, true, "ab a<x>");
    decodes_to(tokenizer, NULL, 0, true, "");
    llm_tokenizer_destroy(&tokenizer);
    assert_null(tokenizer);
    llm_tokenizer_destroy(&tokenizer);
}

static void encoding_appends_to_what_is_there(void **state)
{
    llm_tokenizer_t *tokenizer = open_small(state);
    llm_ids_t ids = {0};
    assert_int_equal(llm_ids_append(&ids, 42, NULL), 0);
    assert_int_equal(llm_tokenizer_encode(tokenizer, "ab", 2, true, &ids, NULL), 0);
    assert_int_equal(ids.size, 3);
    assert_int_equal(ids.ids[0], 42);
    assert_int_equal(ids.ids[2], 5);
    llm_ids_release(&ids);
    llm_tokenizer_destroy(&tokenizer);
}

static void a_failed_encoding_leaves_the_ids_as_they_were(void **state)
{
    /* This expression fails at match time, not when it is compiled. */
    fmq_error_t err = {0};
    llm_tokenizer_t *tokenizer =
        open_with(state, "\"pre_tokenizer\":null",
                  "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?:a+)+$\"},"
                  "\"behavior\":\"Isolated\"}",
                  &err);
    assert_non_null(tokenizer);
    llm_ids_t ids = {0};
    assert_int_equal(llm_ids_append(&ids, 42, NULL), 0);
    static const char text[] = "<x>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    assert_int_equal(llm_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_int_equal(ids.size, 1);
    llm_ids_release(&ids);
    llm_tokenizer_destroy(&tokenizer);
}

static void invalid_bytes_are_encoded_as_replacement_characters(void **state)
{
    llm_tokenizer_t *tokenizer = open_small(state);
    encodes_to(tokenizer,
               "a\xff"
               "b",
               false, "3 0 4");
    encodes_to(tokenizer, "\xe2\x82", false, "0");
    llm_ids_t ids = {0};
    assert_int_equal(llm_tokenizer_encode(tokenizer, "a\0b", 3, false, &ids, NULL), 0);
    assert_int_equal(ids.size, 3);
    llm_ids_release(&ids);
    llm_tokenizer_destroy(&tokenizer);
}

static void decoding_ids_without_a_token_gives_nothing_and_negative_ones_fail(void **state)
{
    llm_tokenizer_t *tokenizer = open_small(state);
    decodes_to(tokenizer, (const int32_t[]){5, 9, 100000, INT32_MAX, 5}, 5, false, "abab");
    fmq_error_t err = {0};
    size_t size = 77;
    assert_null(llm_tokenizer_decode(tokenizer, (const int32_t[]){5, -100}, 2, true, &size, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
    assert_non_null(strstr(err.text, "-100"));
    assert_int_equal(size, 77);
    llm_tokenizer_destroy(&tokenizer);
}

static void sizes_and_ids_count_added_tokens(void **state)
{
    llm_tokenizer_t *tokenizer = open_small(state);
    assert_int_equal(llm_tokenizer_size(tokenizer), 9);
    assert_int_equal(llm_tokenizer_id(tokenizer, "<x>"), 8);
    assert_int_equal(llm_tokenizer_id(tokenizer, "ab"), 5);
    assert_int_equal(llm_tokenizer_id(tokenizer, "abc"), -1);
    assert_int_equal(llm_tokenizer_id(tokenizer, ""), -1);
    assert_int_equal(llm_tokenizer_bos(tokenizer), -1);
    assert_string_equal(llm_tokenizer_eos_text(tokenizer), "");
    llm_tokenizer_destroy(&tokenizer);
}

static void everything_unknown_is_refused_by_its_name(void **state)
{
    static const struct {
        const char *from, *to, *named;
        fmq_error_code_t code;
    } cases[] = {
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "Unigram", FMQ_ERR_UNSUPPORTED},
        {"\"dropout\":null", "\"dropout\":0.1", "dropout", FMQ_ERR_UNSUPPORTED},
        {"\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
         "continuing_subword_prefix", FMQ_ERR_UNSUPPORTED},
        {"\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix",
         FMQ_ERR_UNSUPPORTED},
        {"\"fuse_unk\":true", "\"fuse_unk\":1", "fuse_unk", FMQ_ERR_FORMAT},
        {"\"unk_token\":\"<unk>\"", "\"unk_token\":\"<none>\"", "<none>", FMQ_ERR_FORMAT},
        {"\"a b\"", "\"a c\"", "'a' + 'c'", FMQ_ERR_FORMAT},
        {"\"a b\"", "\"b a\"", "the result", FMQ_ERR_FORMAT},
        {"\"a b\"", "\"ab\"", "two tokens", FMQ_ERR_FORMAT},
        {"\"a b\"", "\"a b c\"", "two tokens", FMQ_ERR_FORMAT},
        {"\"a b\"", "[\"a\"]", "neither a text nor a pair", FMQ_ERR_FORMAT},
        {"\"a\":3", "\"a\":\"3\"", "id of token 'a'", FMQ_ERR_FORMAT},
        {"\"a\":3", "\"a\":4", "both token", FMQ_ERR_FORMAT},
        {"\"a\":3", "\"a\":-3", "'a'", FMQ_ERR_FORMAT},
        {"\"a\":3", "\"a\":3000000", "beyond", FMQ_ERR_LIMIT},
        {"\"a\":3", "\"a\":3,\"a\":3", "duplicate", FMQ_ERR_FORMAT},
        {"\"id\":8", "\"id\":4", "another token there", FMQ_ERR_FORMAT},
        {"\"id\":1,", "\"id\":2,", "another id", FMQ_ERR_FORMAT},
        {"\"id\":8,", "", "'id' is missing", FMQ_ERR_FORMAT},
        {"\"content\":\"<x>\"", "\"content\":\"\"", "content", FMQ_ERR_FORMAT},
        {"\"type\":\"Replace\"", "\"type\":\"Nmt\"", "normalizer 'Nmt'", FMQ_ERR_UNSUPPORTED},
        {"{\"String\":\" \"}", "{}", "pattern", FMQ_ERR_FORMAT},
        {"{\"String\":\" \"}", "{\"Regex\":\"(\"}", "wrong at", FMQ_ERR_FORMAT},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}",
         "pre_tokenizer 'UnicodeScripts'", FMQ_ERR_UNSUPPORTED},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{}", "type", FMQ_ERR_FORMAT},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Sequence\"}", "pretokenizers",
         FMQ_ERR_FORMAT},
        {"\"pre_tokenizer\":null",
         "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\","
         "\"prepend_scheme\":\"often\"}",
         "often", FMQ_ERR_UNSUPPORTED},
        {"\"pre_tokenizer\":null",
         "\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":\"Swallowed\"}", "Swallowed",
         FMQ_ERR_UNSUPPORTED},
        {"\"decoder\":{\"type\":\"Replace\"", "\"decoder\":{\"type\":\"WordPiece\"",
         "decoder 'WordPiece'", FMQ_ERR_UNSUPPORTED},
        {"\"type\":\"TemplateProcessing\"", "\"type\":\"OtherProcessing\"",
         "post_processor 'OtherProcessing'", FMQ_ERR_UNSUPPORTED},
        {"\"type\":\"TemplateProcessing\"", "\"type\":\"BertProcessing\"", "'cls'", FMQ_ERR_FORMAT},
        {"\"ids\":[1]", "\"ids\":[]", "no ids for '<s>'", FMQ_ERR_FORMAT},
        {"\"ids\":[1]", "\"ids\":[-1]", "bad id", FMQ_ERR_FORMAT},
        {"{\"Sequence\":{\"id\":\"A\"", "{\"Sequence\":{\"id\":\"B\"", "the text 'A' once",
         FMQ_ERR_UNSUPPORTED},
        {"\"model\":", "\"models\":", "no 'model'", FMQ_ERR_FORMAT},
        {"\"merges\":", "\"merged\":", "merges", FMQ_ERR_FORMAT},
        {"\"vocab\":", "\"words\":", "vocab", FMQ_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        assert_null(open_with(state, cases[i].from, cases[i].to, &err));
        if (err.code != cases[i].code || !strstr(err.text, cases[i].named) ||
            !strstr(err.text, "tokenizer.json"))
            fail_msg("case %zu: %s: %s", i, fmq_error_name(err.code), err.text);
    }
}

static void too_many_steps_are_refused(void **state)
{
    static char chain[65536];
    size_t used = (size_t)snprintf(chain, sizeof chain,
                                   "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(chain + used, sizeof chain - used, "%s{\"type\":\"Digits\"}",
                                 i ? "," : "");
    (void)snprintf(chain + used, sizeof chain - used, "]}");
    static char text[sizeof chain + 8192];
    static const char from[] = "\"pre_tokenizer\":null";
    const char *at = strstr(SMALL, from);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - SMALL), SMALL, chain,
                   at + sizeof from - 1);
    fmq_error_t err = {0};
    assert_null(open_text(state, text, &err));
    assert_int_equal(err.code, FMQ_ERR_LIMIT);
}

static void processors_in_sequence_wrap_each_other(void **state)
{
    fmq_error_t err = {0};
    llm_tokenizer_t *tokenizer = open_with(
        state, "\"post_processor\":{",
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},"
        "{\"SpecialToken\":{\"id\":\"e\"}}],\"special_tokens\":{\"e\":{\"ids\":[2,4]}}},"
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"s\"}},"
        "{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"s\"}}],"
        "\"special_tokens\":{\"s\":{\"ids\":[1]}}}]},\"old\":{",
        &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    encodes_to(tokenizer, "a", true, "1 3 2 4 1");
    encodes_to(tokenizer, "a", false, "3");
    llm_tokenizer_destroy(&tokenizer);
}

static void ends_come_from_the_files_beside_in_order(void **state)
{
    const scratch_t *scratch = *state;
    (void)scratch_text(scratch, "config.json", "{\"bos_token_id\":3,\"eos_token_id\":[4,5]}");
    llm_tokenizer_t *tokenizer = open_small(state);
    assert_int_equal(llm_tokenizer_bos(tokenizer), 3);
    assert_int_equal(llm_tokenizer_eos(tokenizer), 4);
    llm_tokenizer_destroy(&tokenizer);

    (void)scratch_text(scratch, "special_tokens_map.json",
                       "{\"eos_token\":{\"content\":\"</s>\",\"lstrip\":false}}");
    (void)scratch_text(scratch, "tokenizer_config.json",
                       "{\"bos_token\":\"<s>\",\"eos_token\":null,"
                       "\"model_max_length\":1000000000000000019884624838656}");
    tokenizer = open_small(state);
    assert_int_equal(llm_tokenizer_bos(tokenizer), 1);
    assert_int_equal(llm_tokenizer_eos(tokenizer), 2);
    assert_string_equal(llm_tokenizer_eos_text(tokenizer), "</s>");
    /* </s> is in the vocabulary only, but as an end it is found in text. */
    encodes_to(tokenizer, "a</s>b", false, "3 2 4");
    decodes_to(tokenizer, (const int32_t[]){3, 2}, 2, true, "a");
    llm_tokenizer_destroy(&tokenizer);

    (void)scratch_text(scratch, "tokenizer_config.json", "{\"eos_token\":");
    fmq_error_t err = {0};
    assert_null(open_text(state, SMALL, &err));
    assert_non_null(strstr(err.text, "tokenizer_config.json"));
    (void)remove(scratch_path(scratch, "tokenizer_config.json"));
    (void)remove(scratch_path(scratch, "special_tokens_map.json"));
    (void)remove(scratch_path(scratch, "config.json"));
}

static void expect_ends(const llm_tokenizer_t *tokenizer, const int32_t *wanted, size_t count)
{
    size_t size;
    const int32_t *ends = llm_tokenizer_ends(tokenizer, &size);
    assert_int_equal(size, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ends[i], wanted[i]);
}

static void every_end_that_a_file_names_stops_an_answer(void **state)
{
    const scratch_t *scratch = *state;
    static const struct {
        const char *generation, *config, *tokenizer;
        int32_t ends[5];
        size_t size;
    } cases[] = {
        {"{\"eos_token_id\":[4,1000]}",
         "{\"eos_token_id\":3}",
         "{\"eos_token\":\"</s>\"}",
         {2, 4, 1000, 3},
         4},
        {"{\"eos_token_id\":4}", "{\"eos_token_id\":[4,3,null]}", "{}", {4, 3}, 2},
        {"{}", "{\"eos_token_id\":null,\"model_type\":\"llama\"}", "{}", {0}, 0},
        {"{}", "{\"model_type\":\"llama\"}", "{}", {2}, 1},
        {"{\"eos_token_id\":4}", "{\"model_type\":\"llama\"}", "{}", {4}, 1},
        {"{}", "{\"model_type\":\"gpt2\"}", "{}", {50256}, 1},
        {"{}", "{\"model_type\":\"unknown\",\"eos_token_id\":-1}", "{}", {0}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_ids_t ids = {0};
        (void)scratch_text(scratch, "generation_config.json", cases[i].generation);
        (void)scratch_text(scratch, "config.json", cases[i].config);
        (void)scratch_text(scratch, "tokenizer_config.json", cases[i].tokenizer);
        llm_tokenizer_t *tokenizer = open_small(state);
        expect_ends(tokenizer, cases[i].ends, cases[i].size);
        assert_int_equal(llm_ends_load(scratch->directory, &ids, NULL), 0);
        assert_int_equal(ids.size, i == 0 ? 3 : cases[i].size); /* not the tokenizer's own */
        llm_ids_release(&ids);
        llm_tokenizer_destroy(&tokenizer);
    }
    (void)remove(scratch_path(scratch, "generation_config.json"));
    (void)remove(scratch_path(scratch, "config.json"));
    (void)remove(scratch_path(scratch, "tokenizer_config.json"));
}

/* As transformers 5 has it: with a tokenizer.json its post-processor alone
 * counts, whatever the two keys say. */
static void ends_are_put_around_a_text_as_the_post_processor_says(void **state)
{
    const scratch_t *scratch = *state;
    static const struct {
        const char *config, *ids;
    } cases[] = {
        {"\"add_bos_token\":true", "1 3 2"},
        {"\"add_bos_token\":false,\"add_eos_token\":false", "1 3 2"},
        {"\"add_eos_token\":true", "1 3 2"},
        {"\"other\":1", "1 3 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        fmq_error_t err;
        (void)snprintf(text, sizeof text, "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",%s}",
                       cases[i].config);
        (void)scratch_text(scratch, "tokenizer_config.json", text);
        llm_tokenizer_t *tokenizer = open_with(
            state, "\"post_processor\":{",
            "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
            "{\"id\":\"s\"}},{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"e\"}}],"
            "\"special_tokens\":{\"s\":{\"ids\":[1]},\"e\":{\"ids\":[2]}}},\"old\":{",
            &err);
        assert_non_null(tokenizer);
        encodes_to(tokenizer, "a", true, cases[i].ids);
        encodes_to(tokenizer, "a", false, "3");
        llm_tokenizer_destroy(&tokenizer);
    }
    (void)remove(scratch_path(scratch, "tokenizer_config.json"));
}

/* The folder of a vocab.json and a merges.txt. */
static const char *pair(void **state, const char *name, const char *vocab, const char *merges)
{
    const scratch_t *scratch = *state;
    char file[256];
    (void)scratch_folder(scratch, name);
    (void)snprintf(file, sizeof file, "%s/vocab.json", name);
    (void)scratch_text(scratch, file, vocab);
    (void)snprintf(file, sizeof file, "%s/merges.txt", name);
    (void)scratch_text(scratch, file, merges);
    return scratch_path(scratch, name);
}

#define PAIR_VOCAB "{\"a\":0,\"b\":1,\"\\u0120\":2,\"ab\":3,\"\\u0120ab\":4,\"<|endoftext|>\":5}"

static void a_vocabulary_and_merges_are_gpt2s(void **state)
{
    fmq_error_t err = {0};
    llm_tokenizer_t *tokenizer = llm_tokenizer_open(
        pair(state, "pair", PAIR_VOCAB, "#version: 0.2\na b\r\n\xc4\xa0 ab\n"), &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    encodes_to(tokenizer, "ab ab  a<|endoftext|>", true, "3 4 2 2 0 5");
    decodes_to(tokenizer, (const int32_t[]){3, 4, 2, 0, 5}, 5, true, "ab ab a");
    assert_int_equal(llm_tokenizer_eos(tokenizer), 5);
    assert_int_equal(llm_tokenizer_bos(tokenizer), 5);
    assert_string_equal(llm_tokenizer_eos_text(tokenizer), "<|endoftext|>");
    llm_tokenizer_destroy(&tokenizer);
}

static void a_space_is_put_before_when_the_config_says_so(void **state)
{
    const char *folder = pair(state, "spaced", PAIR_VOCAB, "a b\n\xc4\xa0 ab\n");
    (void)scratch_text(*state, "spaced/tokenizer_config.json", "{\"add_prefix_space\":true}");
    llm_tokenizer_t *tokenizer = llm_tokenizer_open(folder, NULL);
    assert_non_null(tokenizer);
    encodes_to(tokenizer, "ab ab", false, "4 4");
    llm_tokenizer_destroy(&tokenizer);
}

static void a_pair_of_another_class_is_refused_and_its_marks_are_honoured(void **state)
{
    static const struct {
        const char *config, *ids, *named;
    } cases[] = {
        {"{\"tokenizer_class\":\"GPT2Tokenizer\"}", "3", NULL},
        {"{\"tokenizer_class\":\"GPT2TokenizerFast\",\"add_bos_token\":true}", "5 3", NULL},
        {"{\"add_bos_token\":true,\"bos_token\":\"b\",\"add_eos_token\":true}", "1 0 1 5", NULL},
        {"{\"tokenizer_class\":\"Qwen2Tokenizer\"}", NULL, "Qwen2Tokenizer"},
        {"{\"tokenizer_class\":\"RobertaTokenizerFast\"}", NULL, "RobertaTokenizerFast"},
    };
    (void)pair(state, "classes", PAIR_VOCAB, "a b\n\xc4\xa0 ab\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        (void)scratch_text(*state, "classes/tokenizer_config.json", cases[i].config);
        llm_tokenizer_t *tokenizer = llm_tokenizer_open(scratch_path(*state, "classes"), &err);
        if (cases[i].ids) {
            assert_non_null(tokenizer);
            encodes_to(tokenizer, "ab", true, cases[i].ids);
        } else if (tokenizer || err.code != FMQ_ERR_UNSUPPORTED ||
                   !strstr(err.text, cases[i].named) || !strstr(err.text, "tokenizer.json")) {
            fail_msg("case %zu: %s", i, err.text);
        }
        llm_tokenizer_destroy(&tokenizer);
    }
}

/* The same tokens from other files, and other tokens or cuts. */
static void the_digest_tells_tokenizers_apart_whatever_their_files_look_like(void **state)
{
    fmq_error_t err = {0};
    const char *folder = pair(state, "one", PAIR_VOCAB, "a b\n\xc4\xa0 ab\n");
    llm_tokenizer_t *one = llm_tokenizer_open(folder, &err);
    llm_tokenizer_t *same = llm_tokenizer_open(
        pair(state, "two", PAIR_VOCAB, "#version: 0.2\r\na b\r\n\xc4\xa0 ab\r\n"), &err);
    llm_tokenizer_t *other = llm_tokenizer_open(
        pair(state, "three",
             "{\"a\":1,\"b\":0,\"\\u0120\":2,\"ab\":3,\"\\u0120ab\":4,\"<|endoftext|>\":5}",
             "a b\n\xc4\xa0 ab\n"),
        &err);
    (void)scratch_text(*state, "one/tokenizer_config.json", "{\"add_bos_token\":true}");
    llm_tokenizer_t *marked = llm_tokenizer_open(scratch_path(*state, "one"), &err);
    assert_true(one && same && other && marked);
    fmq_digest_t digest = llm_tokenizer_digest(one), same_digest = llm_tokenizer_digest(same);
    fmq_digest_t other_digest = llm_tokenizer_digest(other);
    fmq_digest_t marked_digest = llm_tokenizer_digest(marked);
    assert_true(fmq_digest_equal(&digest, &same_digest));
    assert_false(fmq_digest_equal(&digest, &other_digest));
    assert_false(fmq_digest_equal(&digest, &marked_digest));
    llm_tokenizer_destroy(&one);
    llm_tokenizer_destroy(&same);
    llm_tokenizer_destroy(&other);
    llm_tokenizer_destroy(&marked);
}

static void a_broken_pair_is_refused(void **state)
{
    static const struct {
        const char *name, *vocab, *merges, *named;
    } cases[] = {
        {"p1", PAIR_VOCAB, "a c\n", "merges.txt"}, {"p2", PAIR_VOCAB, "ab\n", "two tokens"},
        {"p3", PAIR_VOCAB, "a\xff b\n", "UTF-8"},  {"p4", "{}", "", "vocab.json"},
        {"p5", "{\"a\":0", "", "vocab.json"},      {"p6", "{\"a\":1.5}", "", "vocab.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_error_t err = {0};
        const char *folder = pair(state, cases[i].name, cases[i].vocab, cases[i].merges);
        assert_null(llm_tokenizer_open(folder, &err));
        if (err.code != FMQ_ERR_FORMAT || !strstr(err.text, cases[i].named))
            fail_msg("case %zu: %s", i, err.text);
    }
    fmq_error_t err = {0};
    const char *folder = pair(state, "p7", PAIR_VOCAB, "a b\n");
    (void)scratch_text(*state, "p7/added_tokens.json", "{\"<pad>\":6}");
    assert_null(llm_tokenizer_open(folder, &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_null(llm_tokenizer_open(scratch_folder(*state, "bare"), &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "tokenizer.model"));
    (void)scratch_text(*state, "bare/vocab.json", PAIR_VOCAB);
    assert_null(llm_tokenizer_open(scratch_path(*state, "bare"), &err));
    assert_int_equal(err.code, FMQ_ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "merges.txt"));
}

/* What one of several threads does with the tokenizer they share. */
static void *encode_often(void *argument)
{
    const llm_tokenizer_t *tokenizer = argument;
    static const char text[] = "It's a <mark> small   world, 123 \xf0\x9f\x98\x80 <s>!";
    llm_ids_t first = {0};
    size_t wrong = llm_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &first, NULL) < 0;
    for (int i = 0; i < 200; i++) {
        llm_ids_t ids = {0};
        wrong += llm_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, NULL) < 0;
        wrong +=
            ids.size != first.size || memcmp(ids.ids, first.ids, ids.size * sizeof *ids.ids) != 0;
        char *decoded = llm_tokenizer_decode(tokenizer, ids.ids, ids.size, false, NULL, NULL);
        wrong += !decoded;
        free(decoded);
        llm_ids_release(&ids);
    }
    llm_ids_release(&first);
    return (void *)(uintptr_t)wrong;
}

static void many_threads_may_use_one_tokenizer(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    llm_tokenizer_t *tokenizer =
        llm_tokenizer_open(FEDMQ_SOURCE_DIR "/tests/llm/tokenizer/data/byte_level", &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, tokenizer), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    llm_tokenizer_destroy(&tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_tokenizer_encodes_and_decodes),
        cmocka_unit_test(encoding_appends_to_what_is_there),
        cmocka_unit_test(a_failed_encoding_leaves_the_ids_as_they_were),
        cmocka_unit_test(invalid_bytes_are_encoded_as_replacement_characters),
        cmocka_unit_test(decoding_ids_without_a_token_gives_nothing_and_negative_ones_fail),
        cmocka_unit_test(sizes_and_ids_count_added_tokens),
        cmocka_unit_test(everything_unknown_is_refused_by_its_name),
        cmocka_unit_test(too_many_steps_are_refused),
        cmocka_unit_test(processors_in_sequence_wrap_each_other),
        cmocka_unit_test(ends_come_from_the_files_beside_in_order),
        cmocka_unit_test(a_vocabulary_and_merges_are_gpt2s),
        cmocka_unit_test(a_space_is_put_before_when_the_config_says_so),
        cmocka_unit_test(a_broken_pair_is_refused),
        cmocka_unit_test(a_pair_of_another_class_is_refused_and_its_marks_are_honoured),
        cmocka_unit_test(the_digest_tells_tokenizers_apart_whatever_their_files_look_like),
        cmocka_unit_test(every_end_that_a_file_names_stops_an_answer),
        cmocka_unit_test(ends_are_put_around_a_text_as_the_post_processor_says),
        cmocka_unit_test(many_threads_may_use_one_tokenizer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
