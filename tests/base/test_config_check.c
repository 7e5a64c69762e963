/*
 * test_config_check.c - what can run, what is refused, and what is only warned about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fedmq/base/config.h"

#define RUNNABLE "federate: {client_num: 3}\n"

typedef struct {
    char text[8192];
} lines_t;

static void keep_line(void *argument, fmq_log_level_t level, const char *line)
{
    (void)level;
    lines_t *lines = argument;
    size_t used = strlen(lines->text);
    (void)snprintf(lines->text + used, sizeof lines->text - used, "%s\n", line);
}

/* Checks RUNNABLE plus text; the report goes to *report_p, which is freed by
 * the caller, and warnings to lines (may be NULL). */
static int check(const char *text, char **report_p, lines_t *lines)
{
    size_t size = 0;
    fmq_error_t err = {0};
    FILE *out = open_memstream(report_p, &size);
    fmq_config_t *config = fmq_config_new();
    fmq_log_t *log = fmq_log_new(keep_line, lines, FMQ_LOG_DEBUG);
    (void)fmq_config_parse(config, "base", RUNNABLE, strlen(RUNNABLE), &err);
    if (fmq_config_parse(config, "t", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    int rc = fmq_config_check(config, out, lines ? log : NULL, &err);
    (void)fclose(out);
    assert_int_equal(rc == 0, (*report_p)[0] == '\0');
    fmq_log_destroy(&log);
    fmq_config_destroy(&config);
    return rc;
}

static void accept(const char *text)
{
    char *report = NULL;
    if (check(text, &report, NULL) < 0)
        fail_msg("%s: %s", text, report);
    free(report);
}

static void refuse(const char *text, const char *message)
{
    char *report = NULL;
    if (check(text, &report, NULL) == 0 || !strstr(report, message))
        fail_msg("%s: '%s' is not in: %s", text, message, report);
    free(report);
}

static void what_fedmq_does_not_do_is_refused(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"federate: {use_ss: True}", "t:1:12: federate.use_ss: fedmq does not act on 'True'"},
        {"asyn: {use: True}", "asyn.use"},
        {"quantization: {method: uniform}", "quantization.method"},
        {"nbafl: {use: True}", "nbafl.use"},
        {"fedswa: {use: True}", "fedswa.use"},
        {"llm: {accelerator: {use: True}}", "llm.accelerator.use"},
        {"wandb: {use: True}", "wandb.use"},
        {"finetune: {before_eval: True}", "finetune.before_eval"},
        {"personalization: {local_param: [lora]}", "personalization.local_param"},
        {"regularizer: {type: proximal_regularizer}", "see fedprox"},
        {"attack: {attack_method: gaussian}", "attack.attack_method: fedmq does not act on"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuse(texts[i][0], texts[i][1]);
}

static void rules_and_methods_that_are_not_there_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"aggregator: {robust_rule: krum}",
                                        "federate: {method: FedSGD}", "federate: {sampler: group}",
                                        "fedopt: {optimizer: {type: Lion}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fmq_config_t *config = fmq_config_new();
        fmq_error_t err = {0};
        assert_int_equal(fmq_config_parse(config, "t", texts[i], strlen(texts[i]), &err), -1);
        assert_non_null(strstr(err.text, "is none of"));
        fmq_config_destroy(&config);
    }
}

/* 0: text is right with these offers; -1 with the first mistake. */
static int merge(const fmq_config_offers_t *offers, const char *text, fmq_error_t *err)
{
    fmq_config_t *config = fmq_config_new();
    fmq_config_set_offers(config, offers);
    int rc = fmq_config_parse(config, "t", text, strlen(text), err);
    fmq_config_destroy(&config);
    return rc;
}

static void what_is_offered_may_be_chosen(void **state)
{
    (void)state;
    static const int thing = 3;
    static const fmq_config_offer_t items[] = {{"federate.sampler", "in-turn", "help", &thing},
                                               {"fedmq.extension", "momentum", "help", NULL}};
    const fmq_config_offers_t offers = {items, 2};
    static const char text[] =
        "federate: {sampler: in-turn}\nfedmq: {extension: {momentum: 0.5}}\n";
    fmq_error_t err = {0};
    double momentum = 0;
    assert_int_equal(merge(NULL, text, &err), -1);
    assert_non_null(strstr(err.text, "'in-turn' is none of uniform; what an extension has needs"));
    assert_int_equal(merge(NULL, "fedmq: {extension: {momentum: 0.5}}", &err), -1);
    assert_non_null(strstr(err.text, "the extensions that are loaded know nothing here"));
    assert_int_equal(merge(&offers, "federate: {sampler: in-turm}", &err), -1);
    assert_non_null(strstr(err.text, "none of uniform|in-turn; did you mean 'in-turn'?"));
    assert_int_equal(merge(&offers, "fedmq: {codec: in-turn}", &err), -1);
    assert_int_equal(merge(&offers, "fedmq: {extension: {speed: 0.5}}", &err), -1);
    assert_non_null(strstr(err.text, "the extensions that are loaded know momentum here"));

    fmq_config_t *config = fmq_config_new();
    fmq_config_set_offers(config, &offers);
    assert_int_equal(fmq_config_parse(config, "t", text, strlen(text), &err), 0);
    fmq_config_t *view = fmq_config_for_client(config, 3, &err);
    assert_ptr_equal(fmq_config_offered(view, "federate.sampler", "in-turn"), &thing);
    assert_null(fmq_config_offered(view, "federate.sampler", "uniform"));
    assert_null(fmq_config_offered(view, "fedmq.codec", "in-turn"));
    assert_int_equal(fmq_config_get_real(view, "fedmq.extension.momentum", &momentum, &err), 0);
    assert_true(momentum > 0.4 && momentum < 0.6);
    fmq_config_destroy(&view);
    fmq_config_destroy(&config);
}

static void a_default_that_is_written_out_is_never_a_problem(void **state)
{
    (void)state;
    accept("federate: {use_ss: False, sampler: uniform, join_in_info: []}");
    accept("quantization: {method: none}\naggregator: {robust_rule: 'fedavg'}");
    accept("data: {subsample: 1}\nwandb: {use: no}");
    accept("personalization: {local_param: ()}");
}

static void children_of_a_switched_off_node_never_stop_a_run(void **state)
{
    (void)state;
    accept("llm: {offsite_tuning: {use: False, emu_l: 3, emu_align: {use: True}}}");
    accept("asyn: {use: False, aggregator: time_up}");
    accept("vertical: {use: False, algo: xgb}");
    accept("nbafl: {use: False, epsilon: 3}");
    accept("fedopt: {optimizer: {lr: 3, momentum: 0.9}}");
}

static void methods_that_are_acted_on_pass(void **state)
{
    (void)state;
    accept("federate: {method: FedAvg}");
    accept("federate: {method: fedavg}");
    accept("federate: {method: local}");
    accept("federate: {method: global}");
    accept("federate: {method: FedOpt}\nfedopt: {use: True, optimizer: {type: Adam, betas: "
           "[0.9, 0.99]}}");
    accept(
        "federate: {method: Ditto}\npersonalization: {regular_weight: 0.5, local_update_steps: 3}");
    accept("aggregator: {robust_rule: median}");
    accept("fedprox: {use: True, mu: 0.1}");
    accept("federate: {mode: distributed}\ndistribute: {use: True, role: server}");
}

static void keys_must_fit_each_other(void **state)
{
    (void)state;
    refuse("federate: {client_num: 0}", "t:1:12: federate.client_num: it is 0");
    refuse("federate: {sample_client_num: 4}",
           "t:1:12: federate.sample_client_num: 4 is more than federate.client_num, which is 3");
    refuse("federate: {sample_client_rate: 0}", "0 is neither -1 nor above 0");
    refuse("federate: {sample_client_rate: -0.5}", "-0.5 is neither -1 nor above 0");
    refuse("fedmq: {min_clients: 4}", "fedmq.min_clients: 4 is more than");
    refuse("distribute: {data_idx: 4}", "distribute.data_idx: 4 is more than");
    refuse("client_4: {seed: 1}", "client_4: there are only 3 clients");
    refuse("data: {type: 'alpaca@llm'}", "t:1:8: data.type: data 'alpaca@llm' needs data.splitter");
    refuse("fedmq: {heartbeat: 6}", "less than two heartbeats");
    accept("federate: {sample_client_num: 3}");
    accept("federate: {sample_client_rate: 0.5}");
    accept("data: {type: 'alpaca@llm', splitter: iid}");
    accept("data: {type: 'alpaca@llm'}\nfedmq: {own_data: True}");
    accept("client_3: {seed: 1}");
}

static void splits_are_shares(void **state)
{
    (void)state;
    accept("data: {splits: [0.8, 0.1, 0.1]}");
    accept("data: {splits: [1, 0, 0]}");
    accept("data:\n  splits: (.5, .25)\n");
    refuse("data: {splits: [0.9, 0.2, 0.1]}", "data.splits");
    refuse("data: {splits: [0.9, -0.2, 0.1]}", "data.splits");
    refuse("data: {splits: [0.9]}", "data.splits");
    refuse("data: {splits: [a, b, c]}", "data.splits");
    refuse("data: {splits: [[1], 0, 0]}", "data.splits");
}

static void adapters_are_one_map_of_known_arguments(void **state)
{
    (void)state;
    accept("llm: {adapter: {use: True}}");
    accept("llm: {adapter: {use: True, args: [{adapter_package: peft, adapter_method: lora, r: 8, "
           "lora_alpha: 16, lora_dropout: 0.05, bias: none, task_type: CAUSAL_LM}]}}");
    accept("llm: {adapter: {use: True, args: [{adapter_method: LoRA, bias: None}]}}");
    refuse("llm: {adapter: {use: True, args: []}}", "a list with one map");
    refuse("llm: {adapter: {use: True, args: [{r: 8}, {r: 9}]}}", "a list with one map");
    refuse("llm: {adapter: {use: True, args: [{r: 0}]}}", "args.0.r: 0 is out of range");
    refuse("llm: {adapter: {use: True, args: [{r: 2.5}]}}", "'2.5' is not a whole number");
    refuse("llm: {adapter: {use: True, args: [{r: [8]}]}}", "(several values)");
    refuse("llm: {adapter: {use: True, args: [{lora_dropout: 1}]}}", "lora_dropout: 1 is out of");
    refuse("llm: {adapter: {use: True, args: [{adapter_method: adalora}]}}",
           "'adalora' is not built yet; 'lora|ia3|prompt|p-tuning|prefix' is");
    /* Its own arguments are not taken for mistakes; while it is off nothing is said. */
    refuse("llm: {adapter: {use: True, args: [{adapter_package: peft, adapter_method: adalora, "
           "target_r: 20, bias: all}]}}",
           "'adalora' is not built yet");
    refuse("llm: {adapter: {use: True, args: [{adapter_package: adapterhub, adapter_method: ia_3, "
           "leave_out: [1]}]}}",
           "'adapterhub' is not built yet; 'peft' is");
    accept(
        "llm: {adapter: {use: False, args: [{adapter_method: prompt, num_virtual_tokens: 20}]}}");
    refuse("llm: {adapter: {use: True, args: [{adapter_package: adapterhub}]}}",
           "'adapterhub' is not built yet; 'peft' is");
    refuse("llm: {adapter: {use: True, args: [{bias: some}]}}", "lora_only' is");
}

static void optimizers_and_schedulers_have_what_they_need(void **state)
{
    (void)state;
    accept("train: {optimizer: {type: AdamW, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1}}");
    accept("train: {optimizer: {momentum: 0.9, nesterov: True, dampening: 0}}");
    accept("train: {scheduler: {type: warmup_step, warmup_steps: 3, total_steps: 30}}");
    refuse("train: {optimizer: {betas: [0.9]}}", "must be two numbers");
    refuse("train: {optimizer: {betas: 0.9}}", "must be two numbers");
    refuse("train: {optimizer: {betas: [0.9, 1.0]}}", "train.optimizer.betas.1: 1.0 is out of");
    refuse("train: {optimizer: {weight_decay: heavy}}", "'heavy' is not a number");
    refuse("train: {optimizer: {nesterov: 3}}", "'3' is not True or False");
    refuse("train: {scheduler: {type: warmup_step, warmup_steps: 3}}",
           "needs train.scheduler.total");
    refuse("train: {scheduler: {type: CosineAnnealingLR}}", "needs train.scheduler.T_max");
}

static void keys_without_effect_give_one_warning_each(void **state)
{
    (void)state;
    char *report = NULL;
    lines_t lines = {""};
    assert_int_equal(check("cfg_file: x\nfederate: {process_num: 2}\n"
                           "criterion: {type: CrossEntropyLoss}\neval: {count_flops: False}\n"
                           "dataloader: {num_workers: 0}\ndata: {batch_size: 3}\n",
                           &report, &lines),
                     0);
    free(report);
    assert_non_null(strstr(lines.text, "warning config key-without-effect key=cfg_file value=x"));
    assert_non_null(strstr(lines.text, "key=federate.process_num"));
    assert_non_null(strstr(lines.text, "key=data.batch_size"));
    assert_null(strstr(lines.text, "criterion")); /* says what fedmq does anyway */
    assert_null(strstr(lines.text, "count_flops"));
    assert_null(strstr(lines.text, "num_workers")); /* its default */
    size_t count = 0;
    for (const char *c = lines.text; *c; c++)
        count += *c == '\n';
    assert_int_equal(count, 3);
}

static void offsite_tuning_needs_layers_shares_and_one_map(void **state)
{
    (void)state;
    accept("llm: {offsite_tuning: {use: True, emu_l: 0, emu_r: 30, kwargs: [{drop_ratio: 0.2}]}}");
    accept("llm: {offsite_tuning: {use: True, kwargs: [{}]}}");
    refuse("llm: {offsite_tuning: {use: True, emu_l: 4, emu_r: 4}}",
           "t:1:45: llm.offsite_tuning.emu_r: the emulator replaces layers from emu_l = 4");
    refuse("llm: {offsite_tuning: {use: True, kwargs: [{drop_ratio: 1}]}}", "drop_ratio: 1 is out");
    refuse("llm: {offsite_tuning: {use: True, kwargs: [{ratio: 0.1}, {ratio: 0.2}]}}",
           "a list with one map");
    refuse("llm: {offsite_tuning: {use: True, emu_align: {use: True, data: {splits: [2, 1]}}}}",
           "emu_align.data.splits");
    refuse("llm: {offsite_tuning: {use: True, emu_align: {use: True, train: {optimizer: {betas: "
           "[0.9]}}}}}",
           "must be two numbers");
    refuse("federate: {method: local}\n"
           "llm: {offsite_tuning: {use: True, emu_align: {use: True, initial_only: False}}}",
           "initial_only to True");
    accept("federate: {method: local}\nllm: {offsite_tuning: {use: True, emu_align: {use: True}}}");
}

static void a_device_is_a_number_a_name_or_a_list_of_them(void **state)
{
    (void)state;
    static const char *const right[] = {"device: 3", "device: cpu", "device: 'cuda:1'",
                                        "device: [cpu, 'cpu:bf16']", "device: '[0, 1]'"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        accept(right[i]);
    static const char *const wrong[][2] = {
        {"device: True", "device: 'True' is neither a GPU's number nor a device's name"},
        {"device: 1.5", "device: '1.5' is neither"},
        {"device: []", "device: the list of devices is empty"},
        {"device: [0, {a: 1}]", "device: '(several)' is neither"},
        {"device: -2", "device: -2 is out of range: -1 to 1023"},
        {"device: [0, 1024]", "device: 1024 is out of range"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fmq_error_t err = {0};
        fmq_config_t *config = fmq_config_new();
        assert_int_equal(fmq_config_parse(config, "t", wrong[i][0], strlen(wrong[i][0]), &err), -1);
        if (!strstr(err.text, wrong[i][1]))
            fail_msg("%s: %s", wrong[i][0], err.text);
        fmq_config_destroy(&config);
    }
}

static void keys_that_another_key_makes_idle_give_a_warning(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"llm: {offsite_tuning: {emu_align: {use: True}}}",
         "key=llm.offsite_tuning.emu_align.use value=True at=t:1:36 "
         "why=\"It needs llm.offsite_tuning.use True.\""},
        {"llm: {offsite_tuning: {use: True, emu_align: {initial_only: False}}}",
         "It needs llm.offsite_tuning.emu_align.use True."},
        {"llm: {offsite_tuning: {use: True, emu_align: {sim_loss: cos}}}", NULL},
        {"llm: {offsite_tuning: {use: True, emu_align: {use: True, kl_divergence: logps}}}",
         "It needs llm.offsite_tuning.emu_align.initial_only False."},
        {"fedmq: {released_fedbiot: True}", "It needs llm.offsite_tuning.use True."},
        {"fedmq: {released_fedbiot: True}\n"
         "llm: {offsite_tuning: {use: True, emu_align: {use: True}}}",
         "key=fedmq.released_fedbiot"},
        {"fedmq: {released_fedbiot: True}\n"
         "llm: {offsite_tuning: {use: True, emu_align: {use: True, initial_only: False}}}",
         NULL},
        {"fedmq: {layer_cache: /tmp}", "key=fedmq.layer_cache"},
        {"device: 1", "key=device value=1 at=t:1:1 why=\"It needs use_gpu True.\""},
        {"device: [0, 1]", "key=device value=(several)"},
        {"device: 1\nuse_gpu: True", NULL},
        {"device: 'cuda:1'\nfedmq: {require_gpu: True}", NULL},
        {"fedmq: {require_gpu: True}", "key=fedmq.require_gpu"},
        {"llm: {max_new_token: 3}", "key=llm.max_new_token"},
        {"llm: {offsite_tuning: {emu_l: 3}}", NULL},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *report = NULL;
        lines_t lines = {""};
        assert_int_equal(check(texts[i][0], &report, &lines), 0);
        free(report);
        if (texts[i][1] ? !strstr(lines.text, texts[i][1]) : lines.text[0] != '\0')
            fail_msg("%s: %s", texts[i][0], lines.text);
    }
}

static void words_that_nobody_reads_are_taken_with_a_warning(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"llm: {offsite_tuning: {use: True, strategy: noname}}",
         "key=llm.offsite_tuning.strategy value=noname at=t:1:35 why=\"Nobody reads 'noname'; the "
         "default, 'drop_layer', is what counts.\""},
        {"llm: {offsite_tuning: {use: True, kwargs: [{adapter_size: 2}]}}",
         "Nobody reads 'adapter_size'."},
        {"llm: {offsite_tuning: {use: True, feature_alignment: train}}",
         "key=llm.offsite_tuning.feature_alignment value=train"},
        {"eval: {metrics: [loss, acc]}", "key=eval.metrics value=acc at=t:1:24"},
        {"eval: {metrics: [loss]}", NULL},
        {"llm: {offsite_tuning: {strategy: noname, kwargs: [{adapter_size: 2}]}}", NULL},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *report = NULL;
        lines_t lines = {""};
        assert_int_equal(check(texts[i][0], &report, &lines), 0);
        free(report);
        if (texts[i][1] ? !strstr(lines.text, texts[i][1]) : lines.text[0] != '\0')
            fail_msg("%s: %s", texts[i][0], lines.text);
    }
}

static void other_words_are_still_refused_with_the_nearest(void **state)
{
    (void)state;
    static const char text[] = "eval: {metrics: [los]}\n"
                               "llm: {offsite_tuning: {strategy: nonam, kwargs: [{drop: 1}]}}\n";
    fmq_error_t err;
    char *report = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&report, &size);
    fmq_config_t *config = fmq_config_new();
    assert_int_equal(fmq_config_parse(config, "t", text, sizeof text - 1, &err), -1);
    assert_int_equal(fmq_config_check(config, out, NULL, &err), -1);
    (void)fclose(out);
    assert_non_null(strstr(report, "eval.metrics: 'los' is none of"));
    assert_non_null(strstr(report, "did you mean 'loss'?"));
    assert_non_null(strstr(report, "'nonam' is none of"));
    assert_non_null(strstr(report, "'drop' is none of"));
    free(report);
    fmq_config_destroy(&config);
}

static void the_metric_that_decides_is_one_that_is_measured(void **state)
{
    (void)state;
    char *report = NULL;
    lines_t lines = {""};
    accept("eval: {best_res_update_round_wise_key: test_avg_loss}");
    accept("eval: {split: [train, val], best_res_update_round_wise_key: train_token_loss}");
    accept("eval: {split: [test]}"); /* FS-LLM's default is val_loss all the same */
    accept("llm: {offsite_tuning: {use: True}}\n"
           "eval: {best_res_update_round_wise_key: plugin.test_loss}");
    accept("llm: {offsite_tuning: {use: True}}\nfedmq: {match_tokens: 3}\n"
           "eval: {best_res_update_round_wise_key: plugin.test_exact_match}");
    refuse("eval: {best_res_update_round_wise_key: val_los}", "did you mean 'loss'?");
    refuse("eval: {best_res_update_round_wise_key: val_acc}", "'val_acc' is never measured");
    refuse("eval: {split: [val], best_res_update_round_wise_key: test_loss}",
           "t:1:22: eval.best_res_update_round_wise_key: 'test_loss' is never measured: eval.split "
           "has no 'test'");
    refuse("eval: {best_res_update_round_wise_key: emulator.val_loss}", "nothing stands before it");
    refuse("llm: {offsite_tuning: {use: True}}\n"
           "eval: {best_res_update_round_wise_key: student.val_loss}",
           "only emulator. and plugin.");
    assert_int_equal(
        check("eval: {split: [test], best_res_update_round_wise_key: val_loss}", &report, &lines),
        0);
    free(report);
    assert_non_null(strstr(lines.text, "eval.split has no 'val': no best state is kept"));
}

static void a_check_can_be_repeated(void **state)
{
    (void)state;
    fmq_error_t first, second;
    fmq_config_t *config = fmq_config_new();
    assert_int_equal(fmq_config_set(config, "seed", "x", &first), -1);
    assert_int_equal(fmq_config_check(config, NULL, NULL, &first), -1);
    assert_int_equal(fmq_config_check(config, NULL, NULL, &second), -1);
    assert_string_equal(first.text, second.text);
    fmq_config_destroy(&config);
}

static void what_is_not_acted_on_can_be_listed(void **state)
{
    (void)state;
    static const char text[] = "cfg_file: x\nasyn: {use: True}\nseed: 3\nhpo: {x: 1}\n";
    char *list = NULL;
    size_t size = 0;
    fmq_error_t err;
    FILE *out = open_memstream(&list, &size);
    fmq_config_t *config = fmq_config_new();
    assert_int_equal(fmq_config_parse(config, "t", text, sizeof text - 1, &err), 0);
    fmq_config_print_inert(config, out);
    (void)fclose(out);
    assert_non_null(strstr(list, "t:1:1: cfg_file: x: no effect: "));
    assert_non_null(strstr(list, "t:2:8: asyn.use: True: refused: "));
    assert_non_null(strstr(list, "t:4:7: hpo.x: 1: refused: "));
    assert_null(strstr(list, "seed"));
    free(list);
    fmq_config_destroy(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fedmq_does_not_do_is_refused),
        cmocka_unit_test(rules_and_methods_that_are_not_there_are_refused_by_name),
        cmocka_unit_test(what_is_offered_may_be_chosen),
        cmocka_unit_test(a_default_that_is_written_out_is_never_a_problem),
        cmocka_unit_test(children_of_a_switched_off_node_never_stop_a_run),
        cmocka_unit_test(methods_that_are_acted_on_pass),
        cmocka_unit_test(keys_must_fit_each_other),
        cmocka_unit_test(splits_are_shares),
        cmocka_unit_test(adapters_are_one_map_of_known_arguments),
        cmocka_unit_test(optimizers_and_schedulers_have_what_they_need),
        cmocka_unit_test(keys_without_effect_give_one_warning_each),
        cmocka_unit_test(offsite_tuning_needs_layers_shares_and_one_map),
        cmocka_unit_test(a_device_is_a_number_a_name_or_a_list_of_them),
        cmocka_unit_test(keys_that_another_key_makes_idle_give_a_warning),
        cmocka_unit_test(words_that_nobody_reads_are_taken_with_a_warning),
        cmocka_unit_test(other_words_are_still_refused_with_the_nearest),
        cmocka_unit_test(the_metric_that_decides_is_one_that_is_measured),
        cmocka_unit_test(a_check_can_be_repeated),
        cmocka_unit_test(what_is_not_acted_on_can_be_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
