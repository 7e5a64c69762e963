/*
 * test_evaluator_follow.c - which states an evaluator measures.
 */
#include "actors_test.h"

#include "actors/evaluator/follow.h"

static fmq_message_state_t note_of(uint32_t round, bool last)
{
    fmq_message_state_t note = {.round = round, .last = last};
    strcpy(note.run, "00112233445566778899aabbccddeeff");
    note.state.bytes[0] = (uint8_t)(round + 1);
    return note;
}

static void tell(fmq_follow_t *follow, uint32_t round, bool last)
{
    fmq_message_state_t note = note_of(round, last);
    fmq_follow_note(follow, &note);
}

/* Fetches everything that is wanted. */
static int fetch_all(fmq_follow_t *follow)
{
    int fetched = 0;
    fmq_follow_item_t *item;
    while ((item = fmq_follow_to_fetch(follow, 0))) {
        item->vector = calloc(4, sizeof *item->vector);
        item->stage = FMQ_FOLLOW_READY;
        fetched++;
    }
    return fetched;
}

/* Measures the next one; its round, or -1. */
static int measure(fmq_follow_t *follow)
{
    fetch_all(follow);
    fmq_follow_item_t *item = fmq_follow_to_measure(follow);
    if (!item)
        return -1;
    int round = (int)item->state.round;
    fmq_follow_measured(follow, item);
    return round;
}

static fmq_follow_item_t *next_of(fmq_follow_t *follow, uint32_t round, uint8_t emulator)
{
    fmq_message_state_t note = note_of(round, false);
    note.emulator.bytes[0] = emulator;
    fmq_follow_note(follow, &note);
    fmq_follow_item_t *item = fmq_follow_to_fetch(follow, 0);
    assert_non_null(item);
    item->vector = calloc(4, sizeof *item->vector);
    item->emulator = calloc(4, sizeof *item->emulator);
    return item;
}

static void an_emulator_is_fetched_once_however_many_states_share_it(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    fmq_follow_item_t *first = next_of(&follow, 1, 7);
    assert_int_equal(fmq_follow_find_emulator(&follow, first, 4), FMQ_EMULATOR_NEW);
    first->stage = FMQ_FOLLOW_FETCHING;
    fmq_follow_item_t *second = next_of(&follow, 2, 7);
    assert_int_equal(fmq_follow_find_emulator(&follow, second, 4), FMQ_EMULATOR_COMING);
    for (int i = 0; i < 4; i++)
        first->emulator[i] = (float)i + 1;
    first->stage = FMQ_FOLLOW_READY;
    assert_int_equal(fmq_follow_find_emulator(&follow, second, 4), FMQ_EMULATOR_KNOWN);
    assert_memory_equal(second->emulator, first->emulator, 4 * sizeof(float));
    second->stage = FMQ_FOLLOW_FETCHING;

    /* That of what was measured last is still there, though its place is free. */
    fmq_follow_measured(&follow, fmq_follow_to_measure(&follow));
    second->stage = FMQ_FOLLOW_WANTED;
    memset(second->emulator, 0, 4 * sizeof(float));
    assert_int_equal(fmq_follow_find_emulator(&follow, second, 4), FMQ_EMULATOR_KNOWN);
    assert_memory_equal(second->emulator, follow.emulator, 4 * sizeof(float));
    second->stage = FMQ_FOLLOW_FETCHING;
    fmq_follow_item_t *third = next_of(&follow, 3, 8);
    assert_int_equal(fmq_follow_find_emulator(&follow, third, 4), FMQ_EMULATOR_NEW);
    fmq_follow_release(&follow);
}

static void who_keeps_up_measures_every_state(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 3);
    for (uint32_t round = 1; round <= 8; round++) {
        tell(&follow, round, round == 8);
        assert_int_equal(measure(&follow), round);
    }
    assert_int_equal(follow.skipped, 0);
    fmq_follow_release(&follow);
}

static void who_is_slow_measures_the_first_every_freqth_the_newest_and_the_last(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 3);
    for (uint32_t round = 1; round <= 5; round++) {
        tell(&follow, round, false);
        fetch_all(&follow);
    }
    assert_int_equal(measure(&follow), 1);
    assert_int_equal(measure(&follow), 3);
    assert_int_equal(measure(&follow), 5);
    for (uint32_t round = 6; round <= 8; round++) {
        tell(&follow, round, round == 8);
        fetch_all(&follow);
    }
    assert_int_equal(measure(&follow), 6);
    assert_int_equal(measure(&follow), 8);
    assert_int_equal(measure(&follow), -1);
    fmq_follow_release(&follow);
}

static void the_same_note_again_changes_nothing(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    tell(&follow, 0, false);
    tell(&follow, 0, false);
    assert_int_equal(fetch_all(&follow), 1);
    tell(&follow, 0, false);
    assert_int_equal(measure(&follow), 0);
    tell(&follow, 0, true); /* it turned out to be the last one */
    assert_int_equal(measure(&follow), -1);
    fmq_follow_release(&follow);
}

static void waiting_states_are_measured_in_order_and_the_stalest_is_skipped(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    for (uint32_t round = 0; round < 6; round++) {
        tell(&follow, round, false);
        fetch_all(&follow);
    }
    assert_int_equal(follow.skipped, 2);
    for (int round = 2; round < 6; round++)
        assert_int_equal(measure(&follow), round);
    assert_int_equal(measure(&follow), -1);
    fmq_follow_release(&follow);
}

static void the_last_state_is_never_skipped(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    tell(&follow, 0, true);
    for (uint32_t round = 1; round < 9; round++)
        tell(&follow, round, false);
    assert_int_equal(measure(&follow), 0);
    fmq_follow_release(&follow);
}

static void older_states_than_the_measured_one_are_not_wanted(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    tell(&follow, 5, false);
    assert_int_equal(measure(&follow), 5);
    tell(&follow, 4, false);
    assert_int_equal(measure(&follow), -1);
    fmq_follow_release(&follow);
}

static void another_run_begins_anew(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    tell(&follow, 5, false);
    assert_int_equal(measure(&follow), 5);
    tell(&follow, 6, false);
    fmq_message_state_t other = note_of(0, false);
    other.run[0] = 'f';
    fmq_follow_note(&follow, &other);
    assert_int_equal(measure(&follow), 0);
    assert_int_equal(measure(&follow), -1);
    fmq_follow_release(&follow);
}

static void a_state_that_is_no_good_is_not_fetched_again(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    tell(&follow, 1, false);
    fmq_follow_item_t *item = fmq_follow_to_fetch(&follow, 0);
    item->stage = FMQ_FOLLOW_FETCHING;
    fmq_follow_skip(&follow, item);
    assert_int_equal(follow.skipped, 1);
    tell(&follow, 1, false); /* the note is repeated when a router comes back */
    assert_null(fmq_follow_to_fetch(&follow, 99999));
    tell(&follow, 2, false);
    item = fmq_follow_to_fetch(&follow, 0);
    assert_non_null(item);
    assert_int_equal(item->state.round, 2);
    fmq_follow_release(&follow);
}

static void a_failed_fetch_is_tried_again_unless_something_newer_is_known(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    tell(&follow, 1, false);
    fmq_follow_item_t *item = fmq_follow_to_fetch(&follow, 0);
    item->stage = FMQ_FOLLOW_FETCHING;
    fmq_follow_failed(&follow, item, 600);
    assert_null(fmq_follow_to_fetch(&follow, 599));
    assert_ptr_equal(fmq_follow_to_fetch(&follow, 600), item);
    item->stage = FMQ_FOLLOW_FETCHING;
    tell(&follow, 2, false);
    fmq_follow_failed(&follow, item, 700);
    assert_int_equal(measure(&follow), 2);
    assert_int_equal(measure(&follow), -1);
    fmq_follow_release(&follow);
}

static void while_all_places_are_being_fetched_the_newest_state_waits(void **state)
{
    (void)state;
    fmq_follow_t follow;
    fmq_follow_init(&follow, 1);
    for (uint32_t round = 0; round < FMQ_FOLLOW_KEPT_MAX; round++) {
        tell(&follow, round, false);
        fmq_follow_to_fetch(&follow, 0)->stage = FMQ_FOLLOW_FETCHING;
    }
    tell(&follow, 9, false);
    assert_null(fmq_follow_to_fetch(&follow, 0));
    follow.items[0].stage = FMQ_FOLLOW_READY;
    assert_int_equal(fmq_follow_to_fetch(&follow, 0)->state.round, 9);
    fmq_follow_release(&follow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_keeps_up_measures_every_state),
        cmocka_unit_test(an_emulator_is_fetched_once_however_many_states_share_it),
        cmocka_unit_test(who_is_slow_measures_the_first_every_freqth_the_newest_and_the_last),
        cmocka_unit_test(the_same_note_again_changes_nothing),
        cmocka_unit_test(waiting_states_are_measured_in_order_and_the_stalest_is_skipped),
        cmocka_unit_test(the_last_state_is_never_skipped),
        cmocka_unit_test(older_states_than_the_measured_one_are_not_wanted),
        cmocka_unit_test(another_run_begins_anew),
        cmocka_unit_test(a_state_that_is_no_good_is_not_fetched_again),
        cmocka_unit_test(a_failed_fetch_is_tried_again_unless_something_newer_is_known),
        cmocka_unit_test(while_all_places_are_being_fetched_the_newest_state_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
