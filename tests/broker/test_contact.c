/*
 * test_contact.c - when a link without an answer speaks and gives up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/contact.h"

static void nobody_waits_in_silence_nor_hears_it_every_second(void **state)
{
    (void)state;
    fmq_contact_t contact;
    fmq_contact_init(&contact, 0, 1000);
    int said = 0;
    int64_t last = 1000;
    for (int64_t now = 1000; now <= 1000 + 4000 * 1000; now += 1000) {
        fmq_contact_action_t action = fmq_contact_step(&contact, false, now);
        if (action == FMQ_CONTACT_NOTHING)
            continue;
        assert_int_equal(action, FMQ_CONTACT_SAY);
        assert_true(now - last >= FMQ_CONTACT_FIRST_MS && now - last <= FMQ_CONTACT_PAUSE_MS);
        if (said++ == 0)
            assert_true(now == 1000 + FMQ_CONTACT_FIRST_MS);
        last = now;
    }
    assert_true(said > 10 && said < 30);
}

static void a_limit_counts_until_the_first_answer(void **state)
{
    (void)state;
    fmq_contact_t contact;
    fmq_contact_init(&contact, 2000, 0);
    assert_int_equal(fmq_contact_step(&contact, false, 1999), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_wait(&contact, 1500, 1000), 500);
    assert_int_equal(fmq_contact_step(&contact, false, 2000), FMQ_CONTACT_GIVE_UP);
    assert_int_equal(fmq_contact_step(&contact, false, 99999), FMQ_CONTACT_NOTHING);
    fmq_contact_init(&contact, 2000, 0);
    assert_int_equal(fmq_contact_step(&contact, true, 1000), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_step(&contact, false, 3000), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_step(&contact, false, 7999), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_step(&contact, false, 8000), FMQ_CONTACT_SAY);
    assert_int_equal(fmq_contact_step(&contact, false, 17999), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_step(&contact, false, 18000), FMQ_CONTACT_SAY);
}

static void an_answer_begins_the_silence_anew(void **state)
{
    (void)state;
    fmq_contact_t contact;
    fmq_contact_init(&contact, 0, 0);
    assert_int_equal(fmq_contact_step(&contact, false, 4999), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_step(&contact, true, 5000), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_wait(&contact, 5000, 1000), 1000);
    assert_int_equal(fmq_contact_step(&contact, true, 50000), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_step(&contact, false, 60000), FMQ_CONTACT_NOTHING);
    assert_int_equal(fmq_contact_wait(&contact, 64900, 1000), 100);
    assert_int_equal(fmq_contact_step(&contact, false, 65000), FMQ_CONTACT_SAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_waits_in_silence_nor_hears_it_every_second),
        cmocka_unit_test(a_limit_counts_until_the_first_answer),
        cmocka_unit_test(an_answer_begins_the_silence_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
