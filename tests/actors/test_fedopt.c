/*
 * test_fedopt.c - the server optimizer against the formulas in NumPy
 * (scripts/goldens/make_strategy_goldens.py), and what it keeps in a checkpoint.
 */
#include "actors_test.h"

#include <math.h>

#include "actors/strategy/fedopt.h"
#include "actors/strategy/strategy.h"

#define ROUNDS 6
#define SIZE   9

typedef struct {
    FILE *file;
    fmq_config_t *config;
    char name[64];
    double x[SIZE], mean[ROUNDS][SIZE], next[ROUNDS][SIZE];
} case_t;

static void read_row(case_t *c, double row[SIZE])
{
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(fscanf(c->file, "%lf", &row[i]), 1);
}

/* "case NAME KEY=VALUE ...": the next of the file, or false. */
static bool next_case(case_t *c)
{
    char line[1024], *rest;
    do {
        if (!fgets(line, sizeof line, c->file))
            return false;
    } while (strncmp(line, "case ", 5) != 0);
    fmq_config_destroy(&c->config);
    c->config = fmq_config_new();
    (void)strtok_r(line, " \n", &rest);
    (void)snprintf(c->name, sizeof c->name, "%s", strtok_r(NULL, " \n", &rest));
    for (char *pair; (pair = strtok_r(NULL, " \n", &rest));) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        assert_int_equal(fmq_config_set(c->config, pair, value, NULL), 0);
    }
    read_row(c, c->x);
    for (int t = 0; t < ROUNDS; t++) {
        read_row(c, c->mean[t]);
        read_row(c, c->next[t]);
    }
    return true;
}

static case_t open_cases(void)
{
    case_t c = {.file = fopen(FEDMQ_SOURCE_DIR "/tests/actors/goldens/fedopt.txt", "r")};
    assert_non_null(c.file);
    return c;
}

static void close_cases(case_t *c)
{
    fmq_config_destroy(&c->config);
    (void)fclose(c->file);
}

static void every_optimizer_is_the_formula(void **state)
{
    (void)state;
    case_t c = open_cases();
    int cases = 0;
    for (; next_case(&c); cases++) {
        fmq_fedopt_t how;
        fmq_error_t err;
        if (fmq_fedopt_read(&how, c.config, &err) < 0)
            fail_msg("%s: %s", c.name, err.text);
        float x[SIZE], m[SIZE] = {0}, v[SIZE], mean[SIZE];
        for (int i = 0; i < SIZE; i++) {
            x[i] = (float)c.x[i];
            v[i] = (float)fmq_fedopt_second(&how);
        }
        for (int t = 0; t < ROUNDS; t++) {
            for (int i = 0; i < SIZE; i++)
                mean[i] = (float)c.mean[t][i];
            fmq_fedopt_step(&how, (uint64_t)t + 1, SIZE, mean, x,
                            fmq_fedopt_keeps_first(&how) ? m : NULL,
                            fmq_fedopt_keeps_second(&how) ? v : NULL);
            for (int i = 0; i < SIZE; i++)
                if (!(fabs((double)x[i] - c.next[t][i]) <= 2e-6 * (1 + fabs(c.next[t][i]))))
                    fail_msg("%s, round %d, element %d: %.9g, NumPy has %.9g", c.name, t, i,
                             (double)x[i], c.next[t][i]);
        }
    }
    assert_int_equal(cases, 11);
    close_cases(&c);
}

/* One update, the mean itself. */
static int read_mean(void *argument, size_t index, uint64_t first, uint64_t count, float *values,
                     fmq_error_t *err)
{
    const double *mean = argument;
    (void)index, (void)err;
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)mean[first + i];
    return 0;
}

static fmq_schema_t *a_schema(void)
{
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    assert_int_equal(fmq_schema_add(schema, "w", 1, (const uint64_t[]){SIZE}, NULL), 0);
    return schema;
}

/* Rounds from .. to of a case. */
static void play(const fmq_strategy_t *strategy, case_t *c, int from, int to, float *x)
{
    for (int t = from; t < to; t++) {
        fmq_updates_t updates = {1, NULL, SIZE, read_mean, c->mean[t]};
        assert_int_equal(fmq_strategy_aggregate(strategy, NULL, &updates, x, NULL), FMQ_STEP_DONE);
        assert_int_equal(fmq_strategy_aggregate(strategy, NULL, NULL, x, NULL), FMQ_STEP_DONE);
    }
}

/* A run that is cut in the middle goes on to the same bytes from its checkpoint, and rounds
 * without an update are no steps. */
static void its_moments_survive_in_a_checkpoint(void **state)
{
    (void)state;
    char folder[64], path[256];
    test_folder_make(folder);
    case_t c = open_cases();
    fmq_schema_t *schema = a_schema();
    while (next_case(&c)) {
        const fmq_strategy_setup_t setup = {
            .method = fmq_strategy_find("FedOpt", NULL), .config = c.config, .schema = schema};
        float whole[SIZE], x[SIZE], back[SIZE] = {0};
        fmq_strategy_t first, second;
        fmq_checkpoint_t mark = {.run = "00112233445566778899aabbccddeeff"};
        for (int i = 0; i < SIZE; i++)
            whole[i] = x[i] = (float)c.x[i];
        assert_int_equal(fmq_strategy_open(&first, &setup, NULL), 0);
        play(&first, &c, 0, ROUNDS, whole);
        fmq_strategy_close(&first);
        assert_int_equal(fmq_strategy_open(&first, &setup, NULL), 0);
        assert_int_equal(fmq_strategy_open(&second, &setup, NULL), 0);
        play(&first, &c, 0, 3, x);
        fmq_sections_t from = {0}, to = {0};
        (void)fmq_sections_add(&from, FMQ_SECTION_STATE, schema, x);
        fmq_strategy_sections(&first, &from);
        (void)fmq_sections_add(&to, FMQ_SECTION_STATE, schema, back);
        fmq_strategy_sections(&second, &to);
        test_path(path, folder, "file");
        assert_int_equal(fmq_checkpoint_save(path, &mark, &from, NULL), 0);
        assert_int_equal(fmq_checkpoint_load(path, &to, &mark, NULL), 0);
        play(&second, &c, 3, ROUNDS, back);
        assert_memory_equal(back, whole, sizeof whole);
        fmq_strategy_close(&first);
        fmq_strategy_close(&second);
    }
    close_cases(&c);
    fmq_schema_destroy(&schema);
    test_folder_remove(folder);
}

static void what_an_optimizer_does_not_know_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {{"fedopt.optimizer.momentum", "-1"},
                                           {"fedopt.optimizer.nesterov", "True"},
                                           {"fedopt.optimizer.betas", "(0.9, 0.99)"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fmq_config_t *config = fmq_config_new();
        fmq_fedopt_t how;
        fmq_error_t err = {0};
        (void)fmq_config_set(config, wrong[i][0], wrong[i][1], NULL);
        assert_int_equal(fmq_fedopt_read(&how, config, &err), -1);
        assert_non_null(strstr(err.text, "fedopt.optimizer"));
        fmq_config_destroy(&config);
    }
}

static void methods_are_found_by_name_in_any_case(void **state)
{
    (void)state;
    fmq_error_t err;
    fmq_config_t *config = fmq_config_new();
    assert_string_equal(fmq_strategy_find("FedAvg", NULL)->name, "fedavg");
    assert_string_equal(fmq_strategy_find("Ditto", NULL)->name, "ditto");
    assert_null(fmq_strategy_find("fedsgdx", &err));
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "fedavg, fedopt, ditto, local, global"));
    assert_int_equal(fmq_config_set(config, "fedopt.use", "True", NULL), 0);
    assert_string_equal(fmq_strategy_of(config, NULL)->name, "fedopt");
    assert_int_equal(fmq_config_set(config, "federate.method", "local", NULL), 0);
    assert_string_equal(fmq_strategy_of(config, NULL)->name, "local");
    fmq_config_destroy(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_is_the_formula),
        cmocka_unit_test(its_moments_survive_in_a_checkpoint),
        cmocka_unit_test(what_an_optimizer_does_not_know_is_refused),
        cmocka_unit_test(methods_are_found_by_name_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
