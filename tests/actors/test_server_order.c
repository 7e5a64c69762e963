/*
 * test_server_order.c - what a server has on the disk before it says what:
 * the plan before its tasks, an update before its acknowledgement, a
 * checkpoint before the state that follows from it.
 *
 * fsync(), rename() and fmq_link_note() come here first (the linker's --wrap),
 * are noted down, and go on to the real ones.
 */
#include "fake_federation.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define LIMIT_MS  20000
#define NOTED_MAX 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char noted[NOTED_MAX]; /* one line an event, of every thread */
static const char *broken;    /* a name whose sync fails */

int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_fmq_link_note(fmq_link_t *self, const char *to, const char *topic, const void *body,
                         size_t size, fmq_error_t *err);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_fmq_link_note(fmq_link_t *self, const char *to, const char *topic, const void *body,
                         size_t size, fmq_error_t *err);

static void note(const char *what, const char *who, unsigned number)
{
    pthread_mutex_lock(&lock);
    size_t size = strlen(noted);
    (void)snprintf(noted + size, sizeof noted - size, "%s %s %u\n", what, who, number);
    pthread_mutex_unlock(&lock);
}

/* The last two names of a path. */
static const char *tail_of(const char *path)
{
    const char *last = strrchr(path, '/');
    while (last && last > path && last[-1] != '/')
        last--;
    return last ? last : path;
}

int __wrap_fsync(int fd)
{
    char link[64], path[512];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = '\0';
    note("sync", tail_of(path), 0);
    if (broken && strstr(path, broken)) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    note("name", tail_of(to), 0);
    return __real_rename(from, to);
}

int __wrap_fmq_link_note(fmq_link_t *self, const char *to, const char *topic, const void *body,
                         size_t size, fmq_error_t *err)
{
    static const char *const kinds[] = {"wait", "train", "evaluate", "finish"};
    fmq_message_task_t task;
    fmq_message_state_t state;
    if (strcmp(topic, "task") == 0 && fmq_message_task_decode(&task, body, size, NULL) == 0)
        note(kinds[task.kind], to, task.round);
    if (strcmp(topic, "state") == 0 && fmq_message_state_decode(&state, body, size, NULL) == 0)
        note("state", to, state.round);
    return __real_fmq_link_note(self, to, topic, body, size, err);
}

/* Two clients, of which the second takes longer. */
static int play(federation_t *f, uint32_t rounds)
{
    fake_open(f, 2, rounds);
    fake_add(f, 1, FAKE_HONEST, 0, 0);
    fake_add(f, 2, FAKE_HONEST, 0, 300);
    noted[0] = '\0';
    fake_start_server(f);
    return fake_wait(f, LIMIT_MS);
}

/* Where the first such line after `at` begins. */
static const char *find(const char *at, const char *line)
{
    char whole[256];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    const char *found = strstr(at, whole);
    if (!found)
        fail_msg("there is no '%s', or not at its place, in\n%s", line, noted);
    return found;
}

/* These lines come in this order, whatever is between them. */
static void expect_order(const char *const *lines)
{
    for (const char *at = noted; *lines; lines++)
        at = find(at, *lines);
}

static void a_round_is_on_the_disk_before_it_is_spoken_of(void **state)
{
    (void)state;
    federation_t f;
    assert_int_equal(play(&f, 2), 0);
    const char *const plan[] = {"name round-000001/plan 0", "sync journal/round-000001 0",
                                "train client-1 1", NULL};
    const char *const update[] = {"sync round-000000/updates 0", "sync journal/round-000000 0",
                                  "wait client-1 0", NULL};
    const char *const close[] = {"wait client-1 0",
                                 "sync round-000000/updates 0",
                                 "name round-000000/closed 0",
                                 "sync journal/round-000000 0",
                                 "sync checkpoints/round-000001.state.tmp 0",
                                 "name checkpoints/round-000001.state 0",
                                 "state @evaluator 1",
                                 "train client-1 1",
                                 NULL};
    expect_order(plan);
    expect_order(update);
    expect_order(close);
    fake_close(&f);
}

static void an_update_that_is_not_durable_is_not_acknowledged(void **state)
{
    (void)state;
    federation_t f;
    broken = "round-000000/updates";
    int status = play(&f, 2);
    broken = NULL;
    assert_int_equal(status, 4);
    assert_null(strstr(noted, "wait client-1"));
    assert_null(strstr(noted, "state @evaluator 1"));
    fake_close(&f);
}

static void a_plan_that_is_not_durable_asks_nobody(void **state)
{
    (void)state;
    federation_t f;
    broken = "round-000000/plan.tmp";
    int status = play(&f, 1);
    broken = NULL;
    assert_int_equal(status, 4);
    assert_null(strstr(noted, "train client-"));
    fake_close(&f);
}

static void a_state_whose_checkpoint_is_not_durable_is_not_given_out(void **state)
{
    (void)state;
    static const char *const files[] = {"round-000001.state.tmp", "round-000000/closed.tmp",
                                        "metrics.jsonl"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        federation_t f;
        broken = files[i];
        int status = play(&f, 2);
        broken = NULL;
        assert_int_equal(status, 4);
        assert_null(strstr(noted, "state @evaluator 1"));
        assert_null(strstr(noted, "train client-1 1"));
        fake_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_is_on_the_disk_before_it_is_spoken_of),
        cmocka_unit_test(an_update_that_is_not_durable_is_not_acknowledged),
        cmocka_unit_test(a_plan_that_is_not_durable_asks_nobody),
        cmocka_unit_test(a_state_whose_checkpoint_is_not_durable_is_not_given_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
