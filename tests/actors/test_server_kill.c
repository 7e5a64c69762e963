/*
 * test_server_kill.c - the server as a process that is killed with SIGKILL at
 * many moments, over tcp; router and clients live on in this one.  However
 * often it dies, the adapter's bytes are those of a run that never did.
 */
#include "fake_federation.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/pipe/pipe.h"
#include "fedmq/base/clock.h"
#include "fedmq/base/rng.h"

#define ROUNDS   30
#define CLIENTS  3
#define KILLS    15
#define LIMIT_MS 60000

extern char **environ;

static const char *program;

/* Blocks long enough to be killed in. */
static void slow_emulator(fake_emulator_t *emulator)
{
    fake_emulator_init(emulator);
    emulator->first_blocks = 6;
    emulator->steps = 4;
    emulator->step_ms = 6;
}

/* The child: runs the server until it has ended. */
static int run_server(const char *endpoint, const char *folder, bool offsite)
{
    fmq_schema_t *schema = test_schema();
    float *initial = test_vector(schema, 99);
    uint64_t elements = fmq_schema_elements(schema);
    fmq_agenda_t agenda = fake_agenda(CLIENTS, ROUNDS);
    agenda.eval_freq = 3;
    agenda.limits.grace_ms = 20000;
    fmq_coordinator_options_t options = {.agenda = &agenda,
                                         .endpoint = endpoint,
                                         .schema = schema,
                                         .initial = initial,
                                         .directory = folder,
                                         .save = fake_save,
                                         .save_argument = &elements};
    fake_emulator_t emulator = {0};
    if (offsite) {
        slow_emulator(&emulator);
        fake_emulator_fill(&emulator, &options);
    }
    zactor_t *server = zactor_new(fmq_coordinator_actor, &options);
    fmq_error_t why = {.code = FMQ_ERR_INTERNAL};
    while (server && !fmq_pipe_ended(server, &why))
        zclock_sleep(5);
    zactor_destroy(&server);
    free(initial);
    fmq_schema_destroy(&schema);
    fake_emulator_release(&emulator);
    if (why.code != FMQ_OK)
        fprintf(stderr, "server: %s\n", why.text);
    return fmq_error_exit_status(why.code);
}

static pid_t start_child(const char *endpoint, const char *folder, bool offsite)
{
    char name[] = "test_server_kill", plain[] = "server", aligning[] = "aligning";
    char *word = offsite ? aligning : plain;
    char *arguments[] = {name, word, strdup(endpoint), strdup(folder), NULL};
    pid_t child = -1;
    assert_int_equal(posix_spawn(&child, program, NULL, NULL, arguments, environ), 0);
    free(arguments[2]);
    free(arguments[3]);
    return child;
}

/* Waits for the child up to a limit: its exit status, or -1. */
static int wait_child(pid_t child, int limit_ms)
{
    int64_t end = fmq_clock_ms() + limit_ms;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (fmq_clock_ms() > end)
            return -1;
        zclock_sleep(2);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void open_over_tcp(federation_t *f, bool offsite)
{
    fake_open(f, CLIENTS, ROUNDS);
    if (offsite)
        slow_emulator(&f->emulator);
    fmq_router_destroy(&f->router);
    fmq_router_options_t router = {
        .endpoints = {"tcp://127.0.0.1:*"}, .heartbeat_ms = 100, .timeout_ms = 3000};
    fmq_error_t err;
    f->router = fmq_router_new(&router, &err);
    if (!f->router)
        fail_msg("%s", err.text);
    f->endpoint = fmq_router_endpoint(f->router, 0);
    for (uint32_t k = 1; k <= CLIENTS; k++)
        fake_add(f, k, FAKE_HONEST, 0, 10 * k);
}

static void kill_often(bool offsite)
{
    federation_t f;
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = 2026});
    open_over_tcp(&f, offsite);
    int kills = 0, status = -1;
    int64_t end = fmq_clock_ms() + LIMIT_MS;
    while (status < 0 && fmq_clock_ms() < end) {
        pid_t child = start_child(f.endpoint, f.folder, offsite);
        if (kills < KILLS) {
            status = wait_child(child, 20 + (int)fmq_rng_below(&rng, 230));
            if (status >= 0)
                break;
            kills++;
        } else {
            status = wait_child(child, LIMIT_MS);
        }
        if (status < 0) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
    }
    assert_int_equal(status, 0);
    assert_true(kills >= 5);
    uint32_t who[ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        who[round] = 0xe;
    fake_check(&f, fake_expected(&f, who, ROUNDS));
    fake_close(&f);
}

static void a_server_killed_at_many_moments_reaches_the_same_bytes(void **state)
{
    (void)state;
    kill_often(false);
}

/* Killed in blocks before round 0, in blocks after rounds, and around the
 * checkpoints behind them. */
static void so_does_one_that_aligns_an_emulator(void **state)
{
    (void)state;
    kill_often(true);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return run_server(argv[2], argv[3], strcmp(argv[1], "aligning") == 0);
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_killed_at_many_moments_reaches_the_same_bytes),
        cmocka_unit_test(so_does_one_that_aligns_an_emulator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
