/*
 * test_devices.c - permits hand out each backend once, wait, and give up when
 * asked.  Backends are counting fakes, so that nothing here computes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fedmq/actors/actors.h"

typedef struct {
    int alive;
    int made;
    int fail_at; /* the backend that cannot be made; 0: none */
    unsigned threads;
    char devices[64]; /* the names asked for, a blank behind each */
} factory_t;

/* A backend that knows its device; nothing computes with it. */
typedef struct {
    llm_backend_t backend;
    const char *device;
} fake_t;

static factory_t factory;

llm_backend_t *llm_backend_open(const char *device, unsigned threads, fmq_error_t *err)
{
    size_t used = strlen(factory.devices);
    (void)snprintf(factory.devices + used, sizeof factory.devices - used, "%s ", device);
    factory.made++;
    factory.threads = threads;
    if (factory.made == factory.fail_at) {
        fmq_error_set(err, FMQ_ERR_NOMEM, "no more threads");
        return NULL;
    }
    factory.alive++;
    fake_t *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    fake->device = device;
    return &fake->backend;
}

void llm_backend_destroy(llm_backend_t **self_p)
{
    if (*self_p)
        factory.alive--;
    free(*self_p);
    *self_p = NULL;
}

static int reset(void **state)
{
    (void)state;
    factory = (factory_t){0};
    return 0;
}

static int count_and_stop_at_two(void *argument)
{
    int *calls = argument;
    return ++*calls >= 2;
}

static void every_permit_is_a_backend_of_its_own(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    fmq_devices_t *permits = fmq_devices_new(2, 3, &err);
    assert_non_null(permits);
    assert_int_equal(factory.alive, 2);
    assert_int_equal(factory.threads, 3);
    llm_backend_t *first = fmq_devices_take(permits, NULL, NULL);
    llm_backend_t *second = fmq_devices_take(permits, NULL, NULL);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    fmq_devices_give(permits, &first);
    assert_null(first);
    fmq_devices_give(permits, &second);
    fmq_devices_destroy(&permits);
    assert_null(permits);
    assert_int_equal(factory.alive, 0);
}

static void who_waits_may_give_up(void **state)
{
    (void)state;
    fmq_devices_t *permits = fmq_devices_new(1, 1, NULL);
    assert_non_null(permits);
    llm_backend_t *held = fmq_devices_take(permits, NULL, NULL);
    int calls = 0;
    assert_null(fmq_devices_take(permits, count_and_stop_at_two, &calls));
    assert_int_equal(calls, 2);
    fmq_devices_give(permits, &held);
    held = fmq_devices_take(permits, count_and_stop_at_two, &calls);
    assert_non_null(held);
    assert_int_equal(calls, 2);
    fmq_devices_give(permits, &held);
    fmq_devices_destroy(&permits);
}

typedef struct {
    fmq_devices_t *permits;
    pthread_mutex_t lock;
    int inside, most, turns;
} crowd_t;

static void *take_turns(void *argument)
{
    crowd_t *crowd = argument;
    for (int i = 0; i < 50; i++) {
        llm_backend_t *backend = fmq_devices_take(crowd->permits, NULL, NULL);
        pthread_mutex_lock(&crowd->lock);
        crowd->inside++;
        if (crowd->inside > crowd->most)
            crowd->most = crowd->inside;
        pthread_mutex_unlock(&crowd->lock);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        pthread_mutex_lock(&crowd->lock);
        crowd->inside--;
        crowd->turns++;
        pthread_mutex_unlock(&crowd->lock);
        fmq_devices_give(crowd->permits, &backend);
    }
    return NULL;
}

static void a_crowd_never_holds_more_than_there_are(void **state)
{
    (void)state;
    crowd_t crowd = {.permits = fmq_devices_new(2, 1, NULL)};
    assert_non_null(crowd.permits);
    pthread_mutex_init(&crowd.lock, NULL);
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &crowd), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.turns, 400);
    assert_true(crowd.most <= 2);
    pthread_mutex_destroy(&crowd.lock);
    fmq_devices_destroy(&crowd.permits);
}

static void no_permits_or_no_threads_is_a_mistake_that_says_so(void **state)
{
    (void)state;
    fmq_error_t err = {0};
    assert_null(fmq_devices_new(0, 1, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
    assert_null(fmq_devices_new(1, 0, &err));
    assert_null(fmq_devices_new(1000000, 1, &err));
    assert_int_equal(factory.made, 0);
}

static void a_backend_that_cannot_be_made_leaves_nothing_behind(void **state)
{
    (void)state;
    factory.fail_at = 3;
    fmq_error_t err = {0};
    assert_null(fmq_devices_new(4, 1, &err));
    assert_int_equal(err.code, FMQ_ERR_NOMEM);
    assert_int_equal(factory.alive, 0);
}

/* Whoever waits learns from it that others get on. */
static void steps_takings_and_givings_are_counted(void **state)
{
    (void)state;
    fmq_devices_t *permits = fmq_devices_new(2, 1, NULL);
    uint64_t before = fmq_devices_moves(permits);
    assert_int_equal(fmq_devices_taken(permits), 0);
    llm_backend_t *backend = fmq_devices_take(permits, NULL, NULL);
    assert_int_equal(fmq_devices_taken(permits), 1);
    assert_int_equal(fmq_devices_moves(permits), before + 1);
    fmq_devices_move(permits);
    fmq_devices_give(permits, &backend);
    assert_int_equal(fmq_devices_moves(permits), before + 3);
    assert_int_equal(fmq_devices_taken(permits), 0);
    fmq_devices_destroy(&permits);
}

static void note_thread(void *argument)
{
    pthread_t *thread = argument;
    *thread = pthread_self();
}

/* As often as it is asked, and always the same: another permit, another thread. */
static void a_permit_has_a_thread_of_its_own(void **state)
{
    (void)state;
    fmq_devices_t *permits = fmq_devices_new(2, 1, NULL);
    assert_non_null(permits);
    llm_backend_t *first = fmq_devices_take(permits, NULL, NULL);
    llm_backend_t *second = fmq_devices_take(permits, NULL, NULL);
    pthread_t one = pthread_self(), again = pthread_self(), other = pthread_self();
    fmq_devices_do(permits, first, note_thread, &one);
    fmq_devices_do(permits, second, note_thread, &other);
    fmq_devices_do(permits, first, note_thread, &again);
    assert_false(pthread_equal(one, pthread_self()));
    assert_true(pthread_equal(one, again));
    assert_false(pthread_equal(one, other));
    fmq_devices_give(permits, &first);
    fmq_devices_give(permits, &second);
    fmq_devices_destroy(&permits);
}

static const char *device_of(const llm_backend_t *permit)
{
    return ((const fake_t *)(const void *)permit)->device;
}

/* Permit i is on device i % 2, whoever takes one alone gets each device in its
 * turn, and whoever takes several gets them on as many devices as there are. */
static void count_forgotten(void *thing)
{
    ++*(int *)thing;
}

static void what_lies_with_a_permit_is_its_next_holders(void **state)
{
    (void)state;
    int forgotten[4] = {0};
    fmq_devices_t *permits = fmq_devices_new(2, 1, NULL);
    llm_backend_t *first = fmq_devices_take(permits, NULL, NULL);
    llm_backend_t *second = fmq_devices_take(permits, NULL, NULL), *again = NULL;
    assert_null(fmq_devices_pick_up(permits, first));
    fmq_devices_leave(permits, first, &forgotten[0], count_forgotten);
    fmq_devices_leave(permits, second, &forgotten[1], count_forgotten);
    fmq_devices_leave(permits, first, &forgotten[2], count_forgotten); /* in its place */
    assert_int_equal(forgotten[0], 1);
    again = first;
    fmq_devices_give(permits, &first);
    fmq_devices_forget(permits, NULL); /* of those that nobody holds */
    assert_int_equal(forgotten[1], 0);
    assert_int_equal(forgotten[2], 1);
    first = fmq_devices_take(permits, NULL, NULL);
    assert_ptr_equal(first, again);
    assert_null(fmq_devices_pick_up(permits, first));
    assert_ptr_equal(fmq_devices_pick_up(permits, second), &forgotten[1]);
    fmq_devices_leave(permits, second, &forgotten[1], count_forgotten);
    fmq_devices_forget(permits, second);
    assert_int_equal(forgotten[1], 1);
    fmq_devices_leave(permits, second, &forgotten[3], count_forgotten);
    fmq_devices_give(permits, &first);
    fmq_devices_give(permits, &second);
    fmq_devices_destroy(&permits);
    assert_int_equal(forgotten[3], 1);
}

static void devices_take_turns(void **state)
{
    (void)state;
    static const char *const devices[] = {"one", "two"};
    fmq_error_t err = {0};
    fmq_devices_t *permits = fmq_devices_new_on(devices, 2, 5, 1, &err);
    assert_non_null(permits);
    assert_string_equal(factory.devices, "one two one two one ");
    const char *last = "";
    for (int i = 0; i < 4; i++) {
        llm_backend_t *alone = fmq_devices_take(permits, NULL, NULL);
        assert_string_not_equal(device_of(alone), last);
        last = device_of(alone);
        fmq_devices_give(permits, &alone);
    }
    llm_backend_t *held[5] = {NULL};
    for (int i = 0; i < 4; i += 2) {
        held[i] = fmq_devices_take(permits, NULL, NULL);
        held[i + 1] = fmq_devices_take(permits, NULL, NULL);
        assert_string_not_equal(device_of(held[i]), device_of(held[i + 1]));
    }
    held[4] = fmq_devices_take(permits, NULL, NULL);
    assert_string_equal(device_of(held[4]), "one");
    const char *freed = device_of(held[1]);
    fmq_devices_give(permits, &held[0]);
    fmq_devices_give(permits, &held[1]);
    held[1] = fmq_devices_take(permits, NULL, NULL);
    assert_string_equal(device_of(held[1]), strcmp(freed, "two") == 0 ? "two" : "one");
    for (int i = 1; i < 5; i++)
        fmq_devices_give(permits, &held[i]);
    assert_int_equal(fmq_devices_taken(permits), 0);
    fmq_devices_destroy(&permits);
    assert_int_equal(factory.alive, 0);
    assert_null(fmq_devices_new_on(devices, 0, 1, 1, &err));
    assert_int_equal(err.code, FMQ_ERR_CONFIG);
}

static void a_permit_may_have_a_team_of_devices(void **state)
{
    (void)state;
    static const char *const devices[] = {"one"}, *const team[] = {"two", "three", "two"};
    fmq_error_t err = {0};
    fmq_devices_plan_t plan = {.devices = devices,
                               .devices_size = 1,
                               .team = team,
                               .team_size = 3,
                               .sharded = true,
                               .permits = 2,
                               .threads = 7};
    fmq_devices_t *permits = fmq_devices_open(&plan, &err);
    assert_non_null(permits);
    assert_string_equal(factory.devices, "one two three two one two three two ");
    assert_int_equal(factory.threads, 2); /* of the seven */
    assert_int_equal(fmq_devices_crowd(permits), 2);
    llm_backend_t *first = fmq_devices_take(permits, NULL, NULL);
    llm_backend_t *second = fmq_devices_take(permits, NULL, NULL);
    llm_team_plan_t mine = fmq_devices_team(permits, first);
    llm_team_plan_t other = fmq_devices_team(permits, second);
    assert_int_equal(mine.size, 3);
    assert_true(mine.sharded);
    assert_string_equal(device_of(mine.backends[1]), "three");
    for (size_t i = 0; i < 3; i++)
        assert_ptr_not_equal(mine.backends[i], other.backends[i]);
    fmq_devices_give(permits, &first);
    fmq_devices_give(permits, &second);
    fmq_devices_destroy(&permits);
    assert_int_equal(factory.alive, 0);
    factory.fail_at = factory.made + 3;
    assert_null(fmq_devices_open(&plan, &err));
    assert_int_equal(err.code, FMQ_ERR_NOMEM);
    assert_int_equal(factory.alive, 0);
}

static void without_a_team_a_permit_computes_alone(void **state)
{
    (void)state;
    fmq_devices_t *permits = fmq_devices_new(1, 4, NULL);
    llm_backend_t *permit = fmq_devices_take(permits, NULL, NULL);
    llm_team_plan_t alone = fmq_devices_team(permits, permit);
    assert_int_equal(alone.size, 1);
    assert_ptr_equal(alone.backends[0], permit);
    assert_false(alone.sharded);
    assert_int_equal(fmq_devices_crowd(permits), 1);
    fmq_devices_give(permits, &permit);
    fmq_devices_destroy(&permits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(steps_takings_and_givings_are_counted, reset),
        cmocka_unit_test_setup(every_permit_is_a_backend_of_its_own, reset),
        cmocka_unit_test_setup(a_permit_has_a_thread_of_its_own, reset),
        cmocka_unit_test_setup(devices_take_turns, reset),
        cmocka_unit_test_setup(a_permit_may_have_a_team_of_devices, reset),
        cmocka_unit_test_setup(without_a_team_a_permit_computes_alone, reset),
        cmocka_unit_test_setup(what_lies_with_a_permit_is_its_next_holders, reset),
        cmocka_unit_test_setup(who_waits_may_give_up, reset),
        cmocka_unit_test_setup(a_crowd_never_holds_more_than_there_are, reset),
        cmocka_unit_test_setup(no_permits_or_no_threads_is_a_mistake_that_says_so, reset),
        cmocka_unit_test_setup(a_backend_that_cannot_be_made_leaves_nothing_behind, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
