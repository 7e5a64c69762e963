/*
 * test_kept_optimizer.c - what a client keeps of its optimizer, on disk.
 */
#include "actors_test.h"

#include <fcntl.h>
#include <unistd.h>

#include "actors/client/kept_optimizer.h"

#define RUN_A "0123456789abcdef0123456789abcdef"
#define RUN_B "ffffffffffffffff0123456789abcdef"

typedef struct {
    char folder[64], path[256];
    fmq_kept_place_t place;
} fixture_t;

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    test_folder_make(f->folder);
    f->place = (fmq_kept_place_t){.directory = test_path(f->path, f->folder, "made/for/client-3"),
                                  .run = RUN_A,
                                  .client = 3,
                                  .actor = "client-3"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    test_folder_remove(f->folder);
    free(f);
    return 0;
}

static void save(const fixture_t *f, uint32_t round, const uint32_t *from)
{
    char text[32];
    fmq_error_t err;
    llm_kept_optimizer_t kept = {.bytes = text};
    kept.size = (size_t)snprintf(text, sizeof text, "after round %u", round);
    if (fmq_kept_save(&f->place, round, &kept, from, &err) < 0)
        fail_msg("%s", err.text);
}

/* The newest below a round is that of round want; 0: there is none. */
static void assert_loads(const fixture_t *f, uint32_t round, uint32_t want)
{
    char text[32];
    fmq_error_t err;
    uint32_t from = 99;
    llm_kept_optimizer_t kept = {0};
    int found = fmq_kept_load(&f->place, round, &kept, &from, &err);
    assert_int_equal(found, want ? 1 : 0);
    if (!found)
        return;
    size_t size = (size_t)snprintf(text, sizeof text, "after round %u", want);
    assert_int_equal(from, want);
    assert_int_equal(kept.size, size);
    assert_memory_equal(kept.bytes, text, size);
    llm_kept_optimizer_release(&kept);
}

static void a_training_goes_on_from_the_round_before(void **state)
{
    fixture_t *f = *state;
    assert_loads(f, 5, 0);
    save(f, 2, NULL);
    save(f, 3, &(uint32_t){2});
    assert_loads(f, 4, 3);
    assert_loads(f, 3, 2); /* round 3 is trained again */
    assert_loads(f, 2, 0);
}

static void what_it_was_made_from_is_kept_and_older_ones_are_not(void **state)
{
    fixture_t *f = *state;
    save(f, 2, NULL);
    save(f, 3, &(uint32_t){2});
    save(f, 7, &(uint32_t){3});
    assert_loads(f, 9, 7);
    assert_loads(f, 7, 3);
    assert_loads(f, 3, 0);
}

static void passes_runs_and_clients_do_not_see_each_others(void **state)
{
    fixture_t *f = *state;
    save(f, 2, NULL);
    f->place.pass = 1;
    assert_loads(f, 5, 0);
    save(f, 3, NULL);
    assert_loads(f, 5, 3);
    f->place.pass = 0;
    assert_loads(f, 5, 2);
    f->place.run = RUN_B;
    assert_loads(f, 5, 0);
    f->place.run = RUN_A;
    f->place.client = 4;
    assert_loads(f, 5, 0);
}

static void damage(const fixture_t *f, uint32_t round, off_t at)
{
    char path[512], byte = '?';
    (void)snprintf(path, sizeof path, "%s/optimizer-0-%06u.state", f->path, round);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    if (at < 0)
        assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) + at), 0);
    else
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static void a_damaged_file_is_passed_over(void **state)
{
    fixture_t *f = *state;
    static const off_t places[] = {0, 8, 16, 60, 65, -1, -40, -100};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        save(f, 2, NULL);
        save(f, 3, &(uint32_t){2});
        assert_loads(f, 4, 3);
        damage(f, 3, places[i]);
        assert_loads(f, 4, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_training_goes_on_from_the_round_before, setup, teardown),
        cmocka_unit_test_setup_teardown(what_it_was_made_from_is_kept_and_older_ones_are_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(passes_runs_and_clients_do_not_see_each_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_passed_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
