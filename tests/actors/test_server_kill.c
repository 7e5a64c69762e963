/*
 * test_server_kill.c - the server as a process that is killed with SIGKILL at
 * many moments, over tcp; router and clients live on in this one.  However
 * often it dies, the adapter's bytes are those of a run that never did.
 * tests/integration/kill_*.sh do the like to whole programs.
 *
 * Who takes part in a round that has a deadline is no question of arithmetic.
 * There the journal says it: what a round's plan and closed list have once
 * said they say for ever, and the adapter is what the closed lists make.
 */
#include "fake_federation.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/runtime/pipe.h"
#include "actors/storage/file.h"
#include "fedmq/base/clock.h"
#include "fedmq/base/rng.h"

#define ROUNDS_MAX 32
#define KILLS      15
#define LIMIT_MS   90000
#define STUCK_MS   15000 /* a server that is not killed and makes no end is started anew */
#define AWAY_MS    400   /* how long a client that comes back is away */
#define LATE_MS    700   /* what a slow client takes to train */

typedef struct {
    const char *name;
    uint32_t clients, rounds;
    int64_t sample; /* clients of a round; -1: all */
    uint32_t quorum;
    int64_t deadline_ms, grace_ms;
    bool offsite;
    uint32_t eval_freq;
    uint32_t slow;     /* this client is later than the deadline; 0: nobody */
    uint32_t dying;    /* this one dies when it is asked from round 2 on ... */
    bool comes_back;   /* ... and is started again, to die three rounds later, or not */
    uint32_t lives_ms; /* of a server, at most */
} scenario_t;

static const scenario_t scenarios[] = {
    {.name = "all",
     .clients = 3,
     .rounds = 30,
     .sample = -1,
     .quorum = 1,
     .eval_freq = 3,
     .lives_ms = 250},
    {.name = "aligning",
     .clients = 3,
     .rounds = 30,
     .sample = -1,
     .quorum = 1,
     .offsite = true,
     .eval_freq = 3,
     .lives_ms = 250},
    {.name = "sampled",
     .clients = 6,
     .rounds = 30,
     .sample = 3,
     .quorum = 1,
     .eval_freq = 3,
     .lives_ms = 250},
    {.name = "returning",
     .clients = 4,
     .rounds = 16,
     .sample = 2,
     .quorum = 1,
     .dying = 2,
     .comes_back = true,
     .lives_ms = 300},
    {.name = "quorum",
     .clients = 6,
     .rounds = 12,
     .sample = 4,
     .quorum = 2,
     .deadline_ms = 400,
     .grace_ms = 100,
     .offsite = true,
     .eval_freq = 3,
     .slow = 4,
     .dying = 2,
     .lives_ms = 900},
};

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

static fmq_server_settings_t settings_of(const scenario_t *scenario)
{
    fmq_server_settings_t settings = fake_settings(scenario->clients, scenario->rounds);
    settings.eval_freq = scenario->eval_freq;
    settings.sample_number = scenario->sample;
    settings.save_journal = true;
    settings.limits.quorum = scenario->quorum;
    settings.limits.deadline_ms = scenario->deadline_ms;
    settings.limits.grace_ms = scenario->grace_ms > 0 ? scenario->grace_ms : 20000;
    return settings;
}

/* The child: runs the server until it has ended. */
static int run_server(const scenario_t *scenario, const char *ready, const char *endpoint,
                      const char *folder)
{
    fmq_schema_t *schema = test_schema();
    float *initial = test_vector(schema, 99);
    uint64_t elements = fmq_schema_elements(schema);
    fmq_server_settings_t settings = settings_of(scenario);
    settings.limits.min_ready = (uint32_t)atoi(ready);
    fmq_coordinator_options_t options = {.settings = &settings,
                                         .endpoint = endpoint,
                                         .schema = schema,
                                         .initial = initial,
                                         .directory = folder,
                                         .save = fake_save,
                                         .save_argument = &elements};
    fake_emulator_t emulator = {0};
    if (scenario->offsite) {
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

static pid_t start_child(const scenario_t *scenario, uint32_t ready, const federation_t *f)
{
    char name[] = "test_server_kill", number[16];
    char *what = strdup(scenario->name), *endpoint = strdup(f->endpoint);
    char *folder = strdup(f->folder);
    char *arguments[] = {name, what, number, endpoint, folder, NULL};
    pid_t child = -1;
    snprintf(number, sizeof number, "%u", ready);
    assert_int_equal(posix_spawn(&child, program, NULL, NULL, arguments, environ), 0);
    free(what);
    free(endpoint);
    free(folder);
    return child;
}

static void open_over_tcp(federation_t *f, const scenario_t *scenario)
{
    fake_open(f, scenario->clients, scenario->rounds);
    if (scenario->offsite)
        slow_emulator(&f->emulator);
    fmq_router_destroy(&f->router);
    fmq_router_options_t router = {
        .endpoints = {"tcp://127.0.0.1:*"}, .heartbeat_ms = 100, .timeout_ms = 3000};
    fmq_error_t err;
    f->router = fmq_router_new(&router, &err);
    if (!f->router)
        fail_msg("%s", err.text);
    f->endpoint = fmq_router_endpoint(f->router, 0);
    for (uint32_t k = 1; k <= scenario->clients; k++) {
        if (k == scenario->slow)
            fake_add(f, k, FAKE_LATE, 0, LATE_MS);
        else if (k == scenario->dying)
            fake_add(f, k, FAKE_DYING, 2, 10 * k);
        else
            fake_add(f, k, FAKE_HONEST, 0, 10 * k);
    }
}

/* The journal's lists of a round as sets of bits; 0: there is none (yet). */
typedef struct {
    uint32_t plan, closed;
} lists_t;

static uint32_t read_list(const federation_t *f, uint32_t round, const char *name)
{
    char path[256], file[64];
    size_t size;
    uint32_t set = 0;
    snprintf(file, sizeof file, "journal/round-%06u/%s", round, name);
    char *text = fmq_file_load(test_path(path, f->folder, file), 1u << 16, &size, NULL);
    if (!text)
        return 0;
    char *at = text;
    strtok_r(text, " \n", &at);                 /* the run, */
    strtok_r(NULL, " \n", &at);                 /* the round */
    int count = atoi(strtok_r(NULL, " ", &at)); /* and how many */
    for (int i = 0; i < count; i++)
        set |= 1u << atoi(strtok_r(NULL, " \n", &at));
    free(text);
    return set;
}

/* What the lists have said they say for ever; a plan may grow. */
static void observe(const federation_t *f, uint32_t rounds, lists_t *seen)
{
    for (uint32_t round = 0; round < rounds; round++) {
        lists_t now = {read_list(f, round, "plan"), read_list(f, round, "closed")};
        if ((now.plan & seen[round].plan) != seen[round].plan)
            fail_msg("round %u was planned for 0x%x and then for 0x%x", round, seen[round].plan,
                     now.plan);
        if (seen[round].closed && now.closed != seen[round].closed)
            fail_msg("round %u was closed with 0x%x and then with 0x%x", round, seen[round].closed,
                     now.closed);
        if ((now.closed & now.plan) != now.closed)
            fail_msg("round %u was closed with 0x%x, planned for 0x%x", round, now.closed,
                     now.plan);
        seen[round] = now;
    }
}

/* How many clients can be waited for now. */
static uint32_t here(const federation_t *f, const scenario_t *scenario)
{
    bool gone = scenario->dying > 0 && fake_client_gone(f->clients[scenario->dying - 1]);
    return scenario->clients - gone;
}

/* When the next server dies: at a moment, or soon after the first list of that
 * name that is not there yet. */
typedef struct {
    int lives_ms;
    char list[64]; /* "": at the moment alone */
    int delay_ms;
} doom_t;

static doom_t doom_of(const scenario_t *scenario, fmq_rng_t *rng, const lists_t *seen)
{
    doom_t doom = {.lives_ms = 20 + (int)fmq_rng_below(rng, scenario->lives_ms - 20)};
    uint32_t how = (uint32_t)fmq_rng_below(rng, 4), round = 0;
    doom.delay_ms = (int)fmq_rng_below(rng, 20);
    while (round + 1 < scenario->rounds && (how == 1 ? seen[round].plan : seen[round].closed))
        round++;
    if (how == 0)
        return doom;
    doom.lives_ms += 2 * (int)scenario->lives_ms;
    snprintf(doom.list, sizeof doom.list, "journal/round-%06u/%s", round,
             how == 1 ? "plan" : "closed");
    return doom;
}

/* A client that has died is started again when it has been away for a while. */
typedef struct {
    int64_t since_ms;
    uint32_t from; /* the round in which it dies next */
} absence_t;

static void bring_back(federation_t *f, const scenario_t *scenario, absence_t *absence)
{
    if (!scenario->comes_back || !fake_client_gone(f->clients[scenario->dying - 1]))
        return;
    if (absence->since_ms == 0)
        absence->since_ms = fmq_clock_ms();
    if (fmq_clock_ms() - absence->since_ms < AWAY_MS)
        return;
    absence->from += 3;
    absence->since_ms = 0;
    fake_add(f, scenario->dying, FAKE_DYING, absence->from, 10);
}

/* Waits for the child up to its doom: its exit status, or -1. */
static int wait_child(federation_t *f, const scenario_t *scenario, absence_t *absence, pid_t child,
                      const doom_t *doom)
{
    int64_t end = fmq_clock_ms() + doom->lives_ms;
    bool met = false;
    int status = 0;
    char path[256];
    while (waitpid(child, &status, WNOHANG) == 0) {
        bring_back(f, scenario, absence);
        if (doom->list[0] && !met && access(test_path(path, f->folder, doom->list), F_OK) == 0) {
            met = true;
            end = fmq_clock_ms() + doom->delay_ms;
        }
        if (fmq_clock_ms() >= end) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
            return -1;
        }
        zclock_sleep(1);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The number of kills that it took. */
static int kill_often(federation_t *f, const scenario_t *scenario, lists_t *seen)
{
    fmq_rng_t rng;
    const char *seed = getenv("FEDMQ_KILL_SEED"); /* for other moments than those of every day */
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed ? (uint64_t)atoll(seed) : 2026});
    int kills = 0, status = -1;
    absence_t absence = {.from = 2};
    int64_t end = fmq_clock_ms() + LIMIT_MS;
    while (status < 0 && fmq_clock_ms() < end) {
        pid_t child = start_child(scenario, here(f, scenario), f);
        doom_t doom = {.lives_ms = STUCK_MS};
        if (kills < KILLS)
            doom = doom_of(scenario, &rng, seen);
        status = wait_child(f, scenario, &absence, child, &doom);
        kills += status < 0;
        observe(f, scenario->rounds, seen);
    }
    assert_int_equal(status, 0);
    return kills;
}

/* Who takes part when everybody is there whenever a round is planned. */
static void sample_all(const scenario_t *scenario, uint32_t who[ROUNDS_MAX])
{
    uint32_t all[FAKE_CLIENTS_MAX], chosen[FAKE_CLIENTS_MAX];
    fmq_server_settings_t settings = settings_of(scenario);
    for (uint32_t k = 0; k < scenario->clients; k++)
        all[k] = k + 1;
    for (uint32_t round = 0; round < scenario->rounds; round++) {
        size_t size = 0;
        fmq_sampling_t sampling = {.seed = settings.seed,
                                   .round = round,
                                   .candidates = all,
                                   .size = scenario->clients,
                                   .wanted =
                                       fmq_sampler_wanted(scenario->sample, -1, scenario->clients)};
        assert_int_equal(settings.sampler->choose(&sampling, chosen, &size, NULL), 0);
        who[round] = 0;
        for (size_t i = 0; i < size; i++)
            who[round] |= 1u << chosen[i];
    }
}

static void play(const char *name)
{
    federation_t f;
    const scenario_t *scenario = scenarios;
    while (strcmp(scenario->name, name) != 0)
        scenario++;
    lists_t seen[ROUNDS_MAX] = {{0}};
    uint32_t who[ROUNDS_MAX], expected[ROUNDS_MAX];
    open_over_tcp(&f, scenario);
    assert_true(kill_often(&f, scenario, seen) >= 5);
    for (uint32_t round = 0; round < scenario->rounds; round++)
        who[round] = seen[round].closed;
    if (scenario->deadline_ms == 0) {
        sample_all(scenario, expected);
        assert_memory_equal(who, expected, scenario->rounds * sizeof *who);
    }
    fake_check(&f, fake_expected(&f, who, scenario->rounds));
    fake_close(&f);
}

static void a_server_killed_at_many_moments_reaches_the_same_bytes(void **state)
{
    (void)state;
    play("all");
}

/* Killed in blocks before round 0, in blocks after rounds, and around the
 * checkpoints behind them. */
static void so_does_one_that_aligns_an_emulator(void **state)
{
    (void)state;
    play("aligning");
}

static void so_does_one_that_samples_its_clients(void **state)
{
    (void)state;
    play("sampled");
}

static void so_does_one_that_loses_a_client_and_gets_it_back(void **state)
{
    (void)state;
    play("returning");
}

/* One never answers, one dies for good: rounds are closed by a quorum, at the
 * deadline. */
static void one_that_goes_on_without_some_keeps_to_what_it_has_closed(void **state)
{
    (void)state;
    play("quorum");
}

int main(int argc, char **argv)
{
    if (argc == 5)
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
            if (strcmp(scenarios[i].name, argv[1]) == 0)
                return run_server(&scenarios[i], argv[2], argv[3], argv[4]);
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_killed_at_many_moments_reaches_the_same_bytes),
        cmocka_unit_test(so_does_one_that_aligns_an_emulator),
        cmocka_unit_test(so_does_one_that_samples_its_clients),
        cmocka_unit_test(so_does_one_that_loses_a_client_and_gets_it_back),
        cmocka_unit_test(one_that_goes_on_without_some_keeps_to_what_it_has_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
