/*
 * test_server_settings.c - what the configuration asks of the server.
 */
#include "actors_test.h"

#include "actors/server/settings.h"

/* The settings of YAML text, which must be read without a mistake. */
static fmq_server_settings_t read_yaml(fmq_config_t **config, const char *text)
{
    fmq_error_t err;
    fmq_server_settings_t settings;
    *config = fmq_config_new();
    if (fmq_config_parse(*config, "test", text, strlen(text), &err) < 0 ||
        fmq_server_settings_read(&settings, *config, &err) < 0)
        fail_msg("%s", err.text);
    return settings;
}

static void defaults_are_those_of_fs(void **state)
{
    (void)state;
    fmq_config_t *config;
    fmq_server_settings_t settings =
        read_yaml(&config, "federate: {client_num: 3}\ndata: {splitter: iid}\n");
    assert_int_equal(settings.rounds, 50);
    assert_int_equal(settings.clients, 3);
    assert_int_equal(settings.training, 3);
    assert_int_equal(settings.limits.min_ready, 3);
    assert_int_equal(settings.limits.quorum, 1);
    assert_int_equal(settings.limits.deadline_ms, 0);
    assert_int_equal(settings.limits.grace_ms, 10000);
    assert_string_equal(settings.sampler->name, "uniform");
    assert_string_equal(settings.rule->name, "fedavg");
    assert_int_equal(fmq_sampler_wanted(settings.sample_number, settings.sample_rate, 3), 3);
    assert_string_equal(settings.method->name, "fedavg");
    assert_false(settings.ignore_weight);
    assert_int_equal(settings.codec, FMQ_CODEC_F32);
    assert_int_equal(settings.eval_freq, 1);
    assert_int_equal(settings.forms_size, 3);
    assert_true(settings.raw);
    assert_string_equal(settings.best_key, "val_loss");
    assert_int_equal(settings.early_stop.patience, 5);
    assert_int_equal(settings.early_stop.mode, FMQ_EARLY_STOP_BEST);
    assert_false(settings.early_stop.larger);
    assert_int_equal(settings.save_freq, 0);
    assert_string_equal(settings.save_to, "");
    fmq_config_destroy(&config);
}

static void what_is_given_is_taken(void **state)
{
    (void)state;
    fmq_config_t *config;
    fmq_server_settings_t settings = read_yaml(
        &config, "seed: 7\n"
                 "data: {splitter: iid}\n"
                 "federate: {client_num: 10, total_round_num: 4, unseen_clients_rate: 0.25,\n"
                 "  sample_client_rate: 0.5, method: local, ignore_weight: True, save_freq: 2,\n"
                 "  save_to: models/x}\n"
                 "eval: {freq: 3, report: ['avg'], split: ['val'],\n"
                 "  best_res_update_round_wise_key: val_acc}\n"
                 "early_stop: {patience: 2, delta: 0.1, improve_indicator_mode: mean}\n"
                 "fedmq: {codec: bf16, min_clients: 4, round_deadline: 1.5, peer_timeout: 3}\n");
    assert_int_equal(settings.seed, 7);
    assert_int_equal(settings.rounds, 4);
    assert_int_equal(settings.training, 8);
    assert_int_equal(fmq_sampler_wanted(settings.sample_number, settings.sample_rate, 8), 4);
    assert_string_equal(settings.method->name, "local");
    assert_true(settings.ignore_weight);
    assert_int_equal(settings.save_freq, 2);
    assert_string_equal(settings.save_to, "models/x");
    assert_int_equal(settings.eval_freq, 3);
    assert_int_equal(settings.forms_size, 1);
    assert_string_equal(settings.forms[0]->name, "avg");
    assert_false(settings.raw);
    assert_true(settings.early_stop.larger);
    assert_int_equal(settings.early_stop.mode, FMQ_EARLY_STOP_MEAN);
    assert_int_equal(settings.early_stop.patience, 2);
    assert_int_equal(settings.codec, FMQ_CODEC_BF16);
    assert_int_equal(settings.limits.min_ready, 4);
    assert_int_equal(settings.limits.quorum, 4);
    assert_int_equal(settings.limits.deadline_ms, 1500);
    assert_int_equal(settings.limits.grace_ms, 3000);
    fmq_config_destroy(&config);
}

static void global_and_local_training_have_one_client(void **state)
{
    (void)state;
    fmq_config_t *config;
    fmq_server_settings_t settings =
        read_yaml(&config, "federate: {client_num: 5, method: global}\ndata: {splitter: iid}\n");
    assert_int_equal(settings.clients, 1);
    assert_int_equal(settings.limits.min_ready, 1);
    fmq_config_destroy(&config);
    settings = read_yaml(&config, "federate: {client_num: 5, client_idx_for_local_train: 2}\n"
                                  "data: {splitter: iid}\nfedmq: {min_clients: 3}\n");
    assert_int_equal(settings.clients, 1);
    assert_int_equal(settings.limits.min_ready, 1);
    fmq_config_destroy(&config);
}

static void somebody_always_trains(void **state)
{
    (void)state;
    fmq_config_t *config;
    fmq_server_settings_t settings =
        read_yaml(&config, "federate: {client_num: 1, unseen_clients_rate: 0.9}\n"
                           "data: {splitter: iid}\n");
    assert_int_equal(settings.training, 1);
    fmq_config_destroy(&config);
    settings = read_yaml(&config, "federate: {client_num: 8, unseen_clients_rate: 0.01}\n"
                                  "data: {splitter: iid}\n");
    assert_int_equal(settings.training, 7); /* at least one is unseen */
    fmq_config_destroy(&config);
}

static void no_split_to_evaluate_means_no_evaluation(void **state)
{
    (void)state;
    fmq_config_t *config;
    fmq_server_settings_t settings =
        read_yaml(&config, "federate: {client_num: 2}\ndata: {splitter: iid}\neval: {split: []}\n");
    assert_int_equal(settings.eval_freq, 0);
    fmq_config_destroy(&config);
}

/* With offsite tuning no metric is without a prefix: FS-LLM's key never met one. */
static void the_best_key_is_that_of_eval_type(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"llm: {offsite_tuning: {use: True}}", "emulator.val_loss"},
        {"llm: {offsite_tuning: {use: True, eval_type: full}}", "plugin.val_loss"},
        {"llm: {offsite_tuning: {use: False, eval_type: full}}", "val_loss"},
        {"llm: {offsite_tuning: {use: True, eval_type: full}}\n"
         "eval: {best_res_update_round_wise_key: emulator.test_loss}",
         "emulator.test_loss"},
        {"llm: {offsite_tuning: {use: True}}\n"
         "eval: {best_res_update_round_wise_key: plugin.test_exact_match}",
         "plugin.test_exact_match"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fmq_config_t *config;
        char text[512];
        (void)snprintf(text, sizeof text, "federate: {client_num: 3}\ndata: {splitter: iid}\n%s\n",
                       cases[i][0]);
        fmq_server_settings_t settings = read_yaml(&config, text);
        assert_string_equal(settings.best_key, cases[i][1]);
        assert_int_equal(settings.early_stop.larger, strstr(cases[i][1], "match") != NULL);
        fmq_config_destroy(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_fs),
        cmocka_unit_test(what_is_given_is_taken),
        cmocka_unit_test(the_best_key_is_that_of_eval_type),
        cmocka_unit_test(global_and_local_training_have_one_client),
        cmocka_unit_test(somebody_always_trains),
        cmocka_unit_test(no_split_to_evaluate_means_no_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
