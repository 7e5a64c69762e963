/*
 * test_split.c - splits cover every record once, follow their rule, depend on
 * the seed alone, and end for every input.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/llm/split.h"

/* Records whose category is "c<i mod classes>"; none when classes is 0. */
static llm_records_t *make_records(size_t size, unsigned classes)
{
    llm_records_t *records = llm_records_new();
    for (size_t i = 0; i < size; i++) {
        char category[16] = "";
        if (classes)
            (void)snprintf(category, sizeof category, "c%zu", i % classes);
        assert_int_equal(llm_records_add(records,
                                         &(llm_record_t){.instruction = "i", .category = category},
                                         NULL),
                         0);
    }
    return records;
}

static llm_part_t whole(size_t size)
{
    llm_part_t part = {malloc((size + 1) * sizeof(uint32_t)), size};
    for (size_t i = 0; i < size; i++)
        part.items[i] = (uint32_t)i;
    return part;
}

static void release(llm_part_t *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        llm_part_release(&parts[i]);
}

/* Every record of 0 .. size - 1 is in exactly one part. */
static void assert_partition(const llm_part_t *parts, size_t count, size_t size)
{
    unsigned char *seen = calloc(size + 1, 1);
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < parts[i].size; k++, total++) {
            assert_true(parts[i].items[k] < size);
            assert_int_equal(seen[parts[i].items[k]]++, 0);
        }
    assert_int_equal(total, size);
    free(seen);
}

static void three_parts_have_their_sizes_and_cover_everything(void **state)
{
    (void)state;
    static const struct {
        size_t records, train, val;
        double a, b;
    } cases[] = {{10, 8, 1, 0.8, 0.1},    {0, 0, 0, 0.8, 0.1}, {7473, 7458, 7, 0.998, 0.001},
                 {3, 3, 0, 1, 0},         {3, 0, 0, 0, 0},     {15011, 13359, 1501, 0.89, 0.1},
                 {99, 98, 0, 0.99, 0.009}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_part_t parts[3];
        fmq_error_t err;
        assert_int_equal(
            llm_split_three(cases[i].records, cases[i].a, cases[i].b, 12345, parts, &err), 0);
        /* int(a * n) in double arithmetic, as Python computes it. */
        assert_int_equal(parts[0].size, cases[i].train);
        assert_int_equal(parts[1].size, cases[i].val);
        assert_partition(parts, 3, cases[i].records);
        release(parts, 3);
    }
}

static void three_parts_depend_on_the_seed_alone(void **state)
{
    (void)state;
    llm_part_t a[3], b[3], c[3];
    assert_int_equal(llm_split_three(1000, 0.8, 0.1, 12345, a, NULL), 0);
    assert_int_equal(llm_split_three(1000, 0.8, 0.1, 12345, b, NULL), 0);
    assert_int_equal(llm_split_three(1000, 0.8, 0.1, 12346, c, NULL), 0);
    assert_memory_equal(a[0].items, b[0].items, 800 * sizeof(uint32_t));
    assert_memory_not_equal(a[0].items, c[0].items, 800 * sizeof(uint32_t));
    size_t in_place = 0;
    for (uint32_t i = 0; i < 800; i++)
        in_place += a[0].items[i] == i;
    assert_true(in_place < 20); /* it is a permutation, not the identity */
    release(a, 3);
    release(b, 3);
    release(c, 3);
}

static void shares_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    llm_part_t parts[3];
    fmq_error_t err;
    static const double wrong[][2] = {
        {-0.1, 0.5}, {0.5, -0.1}, {0.8, 0.3}, {NAN, 0}, {0, INFINITY}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(llm_split_three(10, wrong[i][0], wrong[i][1], 1, parts, &err), -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
}

static void iid_shares_differ_by_one_at_most(void **state)
{
    (void)state;
    llm_records_t *records = make_records(103, 5);
    llm_part_t part = whole(103), out[10];
    const char *warning = "unset";
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_IID, 0, 10, 7, 0, out, &warning, NULL), 0);
    assert_null(warning);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(out[i].size, i < 3 ? 11 : 10);
    assert_partition(out, 10, 103);
    release(out, 10);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

/* Mean over clients of the largest share that one category has in a client. */
static double concentration(const llm_records_t *records, const llm_part_t *parts, size_t clients,
                            unsigned classes)
{
    double sum = 0;
    for (size_t i = 0; i < clients; i++) {
        size_t counts[16] = {0}, most = 0;
        for (size_t k = 0; k < parts[i].size; k++)
            counts[strtoul(llm_records_at(records, parts[i].items[k])->category + 1, NULL, 10)]++;
        for (size_t c = 0; c < classes; c++)
            most = counts[c] > most ? counts[c] : most;
        sum += (double)most / (double)parts[i].size;
    }
    return sum / (double)clients;
}

static void lda_is_the_more_skewed_the_smaller_its_alpha(void **state)
{
    (void)state;
    llm_records_t *records = make_records(4000, 8);
    llm_part_t part = whole(4000);
    double last = 1.1;
    static const double alphas[] = {0.05, 0.5, 5, 500};
    for (size_t i = 0; i < 4; i++) {
        llm_part_t out[8];
        assert_int_equal(
            llm_split_clients(records, &part, LLM_SPLIT_LDA, alphas[i], 8, 7, 0, out, NULL, NULL),
            0);
        assert_partition(out, 8, 4000);
        double skew = concentration(records, out, 8, 8);
        assert_true(skew < last);
        last = skew;
        release(out, 8);
    }
    assert_true(last < 0.16); /* near 1/8: alpha 500 is close to iid */
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void lda_leaves_no_client_empty_even_where_luck_would(void **state)
{
    (void)state;
    llm_records_t *records = make_records(60, 2);
    llm_part_t part = whole(60), out[50];
    const char *warning = NULL;
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_LDA, 1e-4, 50, 7, 0, out, &warning, NULL), 0);
    assert_non_null(warning);
    assert_partition(out, 50, 60);
    for (size_t i = 0; i < 50; i++)
        assert_true(out[i].size > 0);
    release(out, 50);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void lda_without_categories_falls_back_to_iid_and_says_so(void **state)
{
    (void)state;
    llm_records_t *records = make_records(100, 0);
    llm_part_t part = whole(100), out[10];
    const char *warning = NULL;
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_LDA, 0.5, 10, 7, 0, out, &warning, NULL), 0);
    assert_non_null(strstr(warning, "iid"));
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(out[i].size, 10);
    assert_partition(out, 10, 100);
    release(out, 10);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void records_without_category_among_others_are_not_lost(void **state)
{
    (void)state;
    llm_records_t *records = make_records(50, 3);
    for (size_t i = 0; i < 50; i++)
        llm_records_add(records, &(llm_record_t){.instruction = "i"}, NULL);
    llm_part_t part = whole(100), out[4];
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_LDA, 0.5, 4, 7, 0, out, NULL, NULL), 0);
    assert_partition(out, 4, 100);
    release(out, 4);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void an_alpha_that_is_no_positive_number_is_refused(void **state)
{
    (void)state;
    llm_records_t *records = make_records(10, 2);
    llm_part_t part = whole(10), out[2];
    static const double wrong[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        fmq_error_t err;
        assert_int_equal(
            llm_split_clients(records, &part, LLM_SPLIT_LDA, wrong[i], 2, 7, 0, out, NULL, &err),
            -1);
        assert_int_equal(err.code, FMQ_ERR_CONFIG);
    }
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void meta_deals_whole_categories_in_turn(void **state)
{
    (void)state;
    llm_records_t *records = make_records(90, 9);
    llm_part_t part = whole(90), out[4];
    const char *warning = "unset";
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_META, 0, 4, 7, 0, out, &warning, NULL), 0);
    assert_null(warning);
    assert_partition(out, 4, 90);
    int owner[9] = {-1, -1, -1, -1, -1, -1, -1, -1, -1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out[i].size, i == 0 ? 30 : 20);
        for (size_t k = 0; k < out[i].size; k++) {
            unsigned c = out[i].items[k] % 9;
            assert_true(owner[c] == -1 || owner[c] == i);
            owner[c] = i;
        }
    }
    release(out, 4);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void meta_with_too_few_categories_falls_back_to_iid_and_says_so(void **state)
{
    (void)state;
    llm_records_t *records = make_records(40, 3);
    llm_part_t part = whole(40), out[8];
    const char *warning = NULL;
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_META, 0, 8, 7, 0, out, &warning, NULL), 0);
    assert_non_null(strstr(warning, "iid"));
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(out[i].size, 5);
    release(out, 8);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void the_order_of_the_part_does_not_change_who_is_together_under_meta(void **state)
{
    (void)state;
    llm_records_t *records = make_records(60, 6);
    llm_part_t part = whole(60), out[3], again[3];
    assert_int_equal(llm_split_clients(records, &part, LLM_SPLIT_META, 0, 3, 7, 0, out, NULL, NULL),
                     0);
    for (uint32_t i = 0; i < 60; i++)
        part.items[i] = 59 - i;
    assert_int_equal(
        llm_split_clients(records, &part, LLM_SPLIT_META, 0, 3, 7, 0, again, NULL, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(out[i].items, again[i].items, out[i].size * sizeof(uint32_t));
    release(out, 3);
    release(again, 3);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void the_same_seed_and_stream_give_the_same_shares(void **state)
{
    (void)state;
    llm_records_t *records = make_records(300, 4);
    llm_part_t part = whole(300);
    for (int how = LLM_SPLIT_IID; how <= LLM_SPLIT_META; how++) {
        llm_part_t a[4], b[4], c[4];
        llm_splitter_t splitter = (llm_splitter_t)how;
        assert_int_equal(llm_split_clients(records, &part, splitter, 1, 4, 7, 0, a, NULL, NULL), 0);
        assert_int_equal(llm_split_clients(records, &part, splitter, 1, 4, 7, 0, b, NULL, NULL), 0);
        assert_int_equal(llm_split_clients(records, &part, splitter, 1, 4, 7, 1, c, NULL, NULL), 0);
        bool differs = false;
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(a[i].size, b[i].size);
            assert_memory_equal(a[i].items, b[i].items, a[i].size * sizeof(uint32_t));
            differs |= a[i].size != c[i].size ||
                       memcmp(a[i].items, c[i].items, a[i].size * sizeof(uint32_t)) != 0;
        }
        assert_true(differs);
        release(a, 4);
        release(b, 4);
        release(c, 4);
    }
    llm_part_release(&part);
    llm_records_destroy(&records);
}

typedef struct {
    llm_records_t *records;
    llm_part_t three[3];
    llm_part_t train[4], val[4], test[4];
    llm_part_t *out[3];
    const char *warnings[3];
} dealt_t;

static void deal(dealt_t *self, size_t size, unsigned classes, const llm_split_how_t *how)
{
    fmq_error_t err = {0};
    *self = (dealt_t){.records = make_records(size, classes)};
    self->out[0] = self->train;
    self->out[1] = self->val;
    self->out[2] = self->test;
    assert_int_equal(llm_split_three(size, 0.6, 0.2, 7, self->three, &err), 0);
    if (llm_split_clients_three(self->records, self->three, how, self->out, self->warnings, &err) <
        0)
        fail_msg("%s", err.text);
}

static void undeal(dealt_t *self)
{
    for (int part = 0; part < 3; part++)
        release(self->out[part], 4);
    release(self->three, 3);
    llm_records_destroy(&self->records);
}

/* Which client has a category in a part; -1: none, 99: several. */
static int holder(const dealt_t *self, int part, const char *category)
{
    int found = -1;
    for (int client = 0; client < 4; client++)
        for (size_t i = 0; i < self->out[part][client].size; i++) {
            uint32_t item = self->out[part][client].items[i];
            if (strcmp(llm_records_at(self->records, item)->category, category) == 0)
                found = found < 0 || found == client ? client : 99;
        }
    return found;
}

/* In how many of val and test a category lies with another client than in train. */
static int strays(const dealt_t *self, unsigned classes)
{
    int count = 0;
    for (unsigned k = 0; k < classes; k++) {
        char category[16];
        (void)snprintf(category, sizeof category, "c%u", k);
        for (int part = 1; part < 3; part++)
            count += holder(self, part, category) != holder(self, 0, category);
    }
    return count;
}

static void meta_deals_a_category_to_one_client_in_all_parts(void **state)
{
    (void)state;
    dealt_t dealt;
    llm_split_how_t how = {.how = LLM_SPLIT_META, .clients = 4, .seed = 7};
    deal(&dealt, 400, 10, &how);
    assert_int_equal(strays(&dealt, 10), 0);
    for (int part = 0; part < 3; part++) {
        assert_null(dealt.warnings[part]);
        size_t total = 0;
        for (int client = 0; client < 4; client++)
            total += dealt.out[part][client].size;
        assert_int_equal(total, dealt.three[part].size);
    }
    dealt_t again;
    deal(&again, 400, 10, &how);
    for (int part = 0; part < 3; part++)
        for (int client = 0; client < 4; client++) {
            assert_int_equal(dealt.out[part][client].size, again.out[part][client].size);
            assert_memory_equal(dealt.out[part][client].items, again.out[part][client].items,
                                dealt.out[part][client].size * sizeof(uint32_t));
        }
    undeal(&again);
    undeal(&dealt);

    how.apart = true; /* FS-LLM's way */
    deal(&dealt, 400, 10, &how);
    assert_true(strays(&dealt, 10) > 0);
    undeal(&dealt);
}

/* 7 records: each category has one, so that the parts have none in common. */
static void categories_that_training_has_not_are_dealt_too(void **state)
{
    (void)state;
    dealt_t dealt;
    deal(&dealt, 7, 7, &(llm_split_how_t){.how = LLM_SPLIT_META, .clients = 4, .seed = 7});
    for (int part = 0; part < 3; part++) {
        size_t total = 0;
        for (int client = 0; client < 4; client++)
            total += dealt.out[part][client].size;
        assert_int_equal(total, dealt.three[part].size);
    }
    assert_null(dealt.warnings[0]);
    assert_non_null(strstr(dealt.warnings[2], "some clients get none"));
    undeal(&dealt);
}

static void where_meta_falls_back_in_training_it_does_so_in_all_parts(void **state)
{
    (void)state;
    dealt_t dealt;
    deal(&dealt, 400, 3, &(llm_split_how_t){.how = LLM_SPLIT_META, .clients = 4, .seed = 7});
    assert_non_null(strstr(dealt.warnings[0], "falls back to iid"));
    for (int part = 0; part < 3; part++)
        for (int client = 0; client < 4; client++)
            assert_int_equal(dealt.out[part][client].size, dealt.three[part].size / 4);
    undeal(&dealt);
}

static void more_clients_than_training_records_is_a_mistake_of_the_configuration(void **state)
{
    (void)state;
    llm_records_t *records = make_records(5, 2);
    llm_part_t part = whole(5), out[8];
    fmq_error_t err;
    assert_int_equal(llm_split_clients(records, &part, LLM_SPLIT_IID, 0, 8, 7, 0, out, NULL, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_int_equal(llm_split_clients(records, &part, LLM_SPLIT_IID, 0, 0, 7, 0, out, NULL, &err),
                     -1);
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void
a_small_validation_part_leaves_clients_without_and_says_so_an_empty_one_does_not(void **state)
{
    (void)state;
    llm_records_t *records = make_records(5, 2);
    llm_part_t part = whole(5), out[8];
    for (size_t size = 0; size <= 5; size += 5)
        for (int how = LLM_SPLIT_IID; how <= LLM_SPLIT_META; how++) {
            part.size = size;
            const char *warning = NULL;
            assert_int_equal(llm_split_clients(records, &part, (llm_splitter_t)how, 1, 8, 7, 1, out,
                                               &warning, NULL),
                             0);
            assert_true(size == 0 ? !warning : warning != NULL); /* empty was asked for */
            assert_partition(out, 8, size);
            release(out, 8);
        }
    llm_part_release(&part);
    llm_records_destroy(&records);
}

static void a_part_that_names_unknown_records_is_an_error(void **state)
{
    (void)state;
    llm_records_t *records = make_records(5, 2);
    llm_part_t part = whole(6), out[2];
    fmq_error_t err;
    assert_int_equal(llm_split_clients(records, &part, LLM_SPLIT_IID, 0, 2, 7, 0, out, NULL, &err),
                     -1);
    llm_part_release(&part);
    llm_records_destroy(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_parts_have_their_sizes_and_cover_everything),
        cmocka_unit_test(three_parts_depend_on_the_seed_alone),
        cmocka_unit_test(shares_that_make_no_sense_are_refused),
        cmocka_unit_test(iid_shares_differ_by_one_at_most),
        cmocka_unit_test(lda_is_the_more_skewed_the_smaller_its_alpha),
        cmocka_unit_test(lda_leaves_no_client_empty_even_where_luck_would),
        cmocka_unit_test(lda_without_categories_falls_back_to_iid_and_says_so),
        cmocka_unit_test(records_without_category_among_others_are_not_lost),
        cmocka_unit_test(an_alpha_that_is_no_positive_number_is_refused),
        cmocka_unit_test(meta_deals_whole_categories_in_turn),
        cmocka_unit_test(meta_with_too_few_categories_falls_back_to_iid_and_says_so),
        cmocka_unit_test(the_order_of_the_part_does_not_change_who_is_together_under_meta),
        cmocka_unit_test(the_same_seed_and_stream_give_the_same_shares),
        cmocka_unit_test(meta_deals_a_category_to_one_client_in_all_parts),
        cmocka_unit_test(categories_that_training_has_not_are_dealt_too),
        cmocka_unit_test(where_meta_falls_back_in_training_it_does_so_in_all_parts),
        cmocka_unit_test(more_clients_than_training_records_is_a_mistake_of_the_configuration),
        cmocka_unit_test(
            a_small_validation_part_leaves_clients_without_and_says_so_an_empty_one_does_not),
        cmocka_unit_test(a_part_that_names_unknown_records_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
