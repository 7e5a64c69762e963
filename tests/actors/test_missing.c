/*
 * test_missing.c - whom a server says that it waits for.
 */
#include "actors_test.h"

#include "actors/server/missing.h"

static void those_who_are_missing_are_named(void **state)
{
    (void)state;
    char text[FMQ_MISSING_TEXT_MAX];
    fmq_participant_t all[4] = {0};
    fmq_participants_t round = {.clients = 4, .all = all};
    fmq_missing_say(&round, text);
    assert_string_equal(text, "client-1, client-2, client-3, client-4 have not joined");
    all[0].alive = all[1].alive = all[2].alive = true;
    all[0].ready = all[1].ready = true;
    fmq_missing_say(&round, text);
    assert_string_equal(text, "client-4 has not joined; client-3 is not ready yet");
    all[1].ready = false;
    all[3].alive = true;
    fmq_missing_say(&round, text);
    assert_string_equal(text, "client-2, client-3, client-4 are not ready yet");
    all[1].ready = all[2].ready = all[3].ready = true;
    fmq_missing_say(&round, text);
    assert_string_equal(text, "");
}

static void of_many_a_few_are_named_and_the_rest_counted(void **state)
{
    (void)state;
    char text[FMQ_MISSING_TEXT_MAX];
    fmq_participants_t round = {.clients = 65535, .all = calloc(65535, sizeof(fmq_participant_t))};
    fmq_missing_say(&round, text);
    assert_string_equal(text, "client-1, client-2, client-3, client-4, client-5, client-6, "
                              "client-7, client-8 and 65527 more have not joined");
    for (size_t i = 0; i < 30000; i++)
        round.all[i].alive = true;
    fmq_missing_say(&round, text);
    assert_non_null(strstr(text, "client-30008 and 35527 more have not joined; client-1, "));
    assert_non_null(strstr(text, "client-8 and 29992 more are not ready yet"));
    free(round.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_are_missing_are_named),
        cmocka_unit_test(of_many_a_few_are_named_and_the_rest_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
