/*
 * test_bpe.c - merging against a naive reference, unknown characters, bytes,
 * and time that grows no faster than the text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fedmq/base/rng.h"
#include "llm/tokenizer/bpe.h"

#define MERGES_MAX 200

/* The reference: merges as pairs of ids, tried in order of rank. */
typedef struct {
    llm_bpe_t bpe;
    int32_t left[MERGES_MAX], right[MERGES_MAX], result[MERGES_MAX];
    uint32_t merges;
} model_t;

static llm_slice_t slice(const char *text)
{
    return (llm_slice_t){text, strlen(text)};
}

static void add_token(llm_bpe_t *bpe, const char *text, uint64_t id)
{
    fmq_error_t err = {0};
    if (llm_vocab_add(&bpe->vocab, text, strlen(text), id, &err) < 0)
        fail_msg("%s", err.text);
}

static void add_merge(llm_bpe_t *bpe, const char *left, const char *right, uint32_t rank)
{
    fmq_error_t err = {0};
    if (llm_bpe_add_merge(bpe, slice(left), slice(right), rank, &err) < 0)
        fail_msg("%s", err.text);
}

static void encodes_to(const llm_bpe_t *bpe, const char *text, const char *expected)
{
    llm_bpe_work_t work = {0};
    llm_ids_t ids = {0};
    char got[1024] = "";
    size_t used = 0;
    assert_int_equal(llm_bpe_encode(bpe, &work, slice(text), &ids, NULL), 0);
    for (size_t i = 0; i < ids.size; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, i ? " %d" : "%d", ids.ids[i]);
    assert_string_equal(got, expected);
    llm_ids_release(&ids);
    llm_bpe_work_release(&work);
}

/* Letters a to d, and random merges of tokens whose joined text is new, so that
 * no two merges have one result. */
static void make_random(model_t *model, fmq_rng_t *rng)
{
    *model = (model_t){.bpe = {.unknown = -1}};
    llm_vocab_t *vocab = &model->bpe.vocab;
    static const char *const letters[] = {"a", "b", "c", "d"};
    for (uint64_t i = 0; i < 4; i++)
        add_token(&model->bpe, letters[i], i);
    while (model->merges < MERGES_MAX) {
        char text[256];
        size_t left_size, right_size;
        int32_t left = (int32_t)fmq_rng_below(rng, (uint32_t)vocab->size);
        int32_t right = (int32_t)fmq_rng_below(rng, (uint32_t)vocab->size);
        const char *left_text = llm_vocab_text(vocab, left, &left_size);
        const char *right_text = llm_vocab_text(vocab, right, &right_size);
        if (left_size + right_size > 12)
            continue;
        (void)snprintf(text, sizeof text, "%.*s%.*s", (int)left_size, left_text, (int)right_size,
                       right_text);
        if (llm_vocab_find(vocab, text, strlen(text)) >= 0)
            continue;
        uint32_t rank = model->merges++;
        model->left[rank] = left;
        model->right[rank] = right;
        model->result[rank] = (int32_t)vocab->size;
        add_token(&model->bpe, text, vocab->size);
        left_text = llm_vocab_text(vocab, left, &left_size);
        right_text = llm_vocab_text(vocab, right, &right_size);
        assert_int_equal(llm_bpe_add_merge(&model->bpe, (llm_slice_t){left_text, left_size},
                                           (llm_slice_t){right_text, right_size}, rank, NULL),
                         0);
    }
    llm_bpe_finish(&model->bpe);
}

/* Applies the leftmost merge of the lowest rank until there is none. */
static size_t merge_naively(const model_t *model, int32_t *ids, size_t size)
{
    for (uint32_t rank = 0; rank < model->merges;) {
        size_t at = 0;
        while (at + 1 < size &&
               !(ids[at] == model->left[rank] && ids[at + 1] == model->right[rank]))
            at++;
        if (at + 1 >= size) {
            rank++;
            continue;
        }
        ids[at] = model->result[rank];
        memmove(ids + at + 1, ids + at + 2, (size - at - 2) * sizeof *ids);
        size--;
        rank = 0;
    }
    return size;
}

static void random_models_merge_as_the_naive_reference_does(void **state)
{
    (void)state;
    const fmq_rng_name_t name = {.seed = 7, .purpose = FMQ_RNG_TEST};
    fmq_rng_t rng;
    fmq_rng_init(&rng, &name);
    static model_t model;
    llm_bpe_work_t work = {0};
    for (int m = 0; m < 20; m++) {
        make_random(&model, &rng);
        for (int t = 0; t < 20; t++) {
            char text[201];
            int32_t expected[200];
            size_t size = 1 + fmq_rng_below(&rng, 200);
            for (size_t i = 0; i < size; i++) {
                expected[i] = (int32_t)fmq_rng_below(&rng, 4);
                text[i] = (char)('a' + expected[i]);
            }
            size_t expected_size = merge_naively(&model, expected, size);
            llm_ids_t ids = {0};
            assert_int_equal(
                llm_bpe_encode(&model.bpe, &work, (llm_slice_t){text, size}, &ids, NULL), 0);
            assert_int_equal(ids.size, expected_size);
            assert_memory_equal(ids.ids, expected, expected_size * sizeof *expected);
            llm_ids_release(&ids);
        }
        llm_bpe_release(&model.bpe);
    }
    llm_bpe_work_release(&work);
}

static void make_small(llm_bpe_t *bpe)
{
    static const char *const tokens[] = {"<unk>", "a", "b", "ab", "<0xC3>", "<0xA9>", "aab"};
    *bpe = (llm_bpe_t){.unknown = -1};
    for (uint64_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        add_token(bpe, tokens[i], i);
    add_merge(bpe, "a", "b", 0);
    add_merge(bpe, "a", "ab", 1);
    llm_bpe_finish(bpe);
}

static void unknown_characters_vanish_wait_or_fuse(void **state)
{
    (void)state;
    llm_bpe_t bpe;
    make_small(&bpe);
    encodes_to(&bpe, "axyb", "3"); /* no unknown token: x and y leave nothing */
    bpe.unknown = 0;
    encodes_to(&bpe, "axyb", "1 0 0 2");
    encodes_to(&bpe, "xy", "0 0");
    bpe.fuse_unknown = true;
    encodes_to(&bpe, "axyb", "1 0 2");
    encodes_to(&bpe, "xyzaabx", "0 6 0");
    encodes_to(&bpe, "", "");
    llm_bpe_release(&bpe);
}

static void characters_fall_back_to_bytes_only_when_all_are_there(void **state)
{
    (void)state;
    llm_bpe_t bpe;
    make_small(&bpe);
    bpe.unknown = 0;
    encodes_to(&bpe, "a\xc3\xa9", "1 0");
    bpe.byte_fallback = true;
    encodes_to(&bpe, "a\xc3\xa9", "1 4 5");
    encodes_to(&bpe, "\xc3\xa8", "0"); /* there is no <0xA8> */
    llm_bpe_release(&bpe);
}

static void a_whole_word_can_win_over_merges(void **state)
{
    (void)state;
    llm_bpe_t bpe = {.unknown = -1};
    static const char *const tokens[] = {"a", "b", "ab", "ba", "aba"};
    for (uint64_t i = 0; i < 5; i++)
        add_token(&bpe, tokens[i], i);
    add_merge(&bpe, "b", "a", 0);
    llm_bpe_finish(&bpe);
    encodes_to(&bpe, "aba", "0 3");
    bpe.ignore_merges = true;
    encodes_to(&bpe, "aba", "4");
    encodes_to(&bpe, "abaa", "0 3 0");
    llm_bpe_release(&bpe);
}

static void merges_of_missing_tokens_are_refused(void **state)
{
    (void)state;
    llm_bpe_t bpe;
    make_small(&bpe);
    static const struct {
        const char *left, *right, *missing;
    } cases[] = {{"x", "b", "left"}, {"a", "x", "right"}, {"b", "b", "result"}};
    for (size_t i = 0; i < 3; i++) {
        fmq_error_t err = {0};
        assert_int_equal(
            llm_bpe_add_merge(&bpe, slice(cases[i].left), slice(cases[i].right), 17, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_FORMAT);
        assert_non_null(strstr(err.text, cases[i].missing));
        assert_non_null(strstr(err.text, "merge 17"));
    }
    llm_bpe_release(&bpe);
}

static void a_repeated_merge_counts_where_it_is_last(void **state)
{
    (void)state;
    llm_bpe_t bpe = {.unknown = -1};
    static const char *const tokens[] = {"a", "b", "c", "ab", "bc"};
    for (uint64_t i = 0; i < 5; i++)
        add_token(&bpe, tokens[i], i);
    add_merge(&bpe, "a", "b", 0);
    add_merge(&bpe, "b", "c", 1);
    llm_bpe_finish(&bpe);
    encodes_to(&bpe, "abc", "3 2");
    add_merge(&bpe, "a", "b", 2);
    encodes_to(&bpe, "abc", "0 4");
    llm_bpe_release(&bpe);
}

static double seconds_for(const llm_bpe_t *bpe, size_t size)
{
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        text[i] = i % 3 == 2 ? 'b' : 'a';
    llm_bpe_work_t work = {0};
    llm_ids_t ids = {0};
    struct timespec begin, end;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    assert_int_equal(llm_bpe_encode(bpe, &work, (llm_slice_t){text, size}, &ids, NULL), 0);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    assert_int_equal(ids.size, (size + 2) / 3);
    llm_ids_release(&ids);
    llm_bpe_work_release(&work);
    free(text);
    return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
}

static void a_long_piece_takes_no_quadratic_time(void **state)
{
    (void)state;
    llm_bpe_t bpe;
    make_small(&bpe);
    double one = seconds_for(&bpe, 60000), sixteen = seconds_for(&bpe, 960000);
    print_message("60 kB: %.4f s, 960 kB: %.4f s\n", one, sixteen);
    /* Quadratic would be 256 times; the floor is for a coarse clock. */
    assert_true(sixteen < 64 * (one > 0.002 ? one : 0.002));
    llm_bpe_release(&bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_models_merge_as_the_naive_reference_does),
        cmocka_unit_test(unknown_characters_vanish_wait_or_fuse),
        cmocka_unit_test(characters_fall_back_to_bytes_only_when_all_are_there),
        cmocka_unit_test(a_whole_word_can_win_over_merges),
        cmocka_unit_test(merges_of_missing_tokens_are_refused),
        cmocka_unit_test(a_repeated_merge_counts_where_it_is_last),
        cmocka_unit_test(a_long_piece_takes_no_quadratic_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
