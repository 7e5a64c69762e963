/*
 * test_settings.c - the configuration's words become the engine's options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/actors/settings_room.h"

/* A word may be refused by the configuration itself, or only by the
 * translation; said is what the former says. */
static fmq_error_t said;

static void given_roughly(const char *yaml)
{
    said = (fmq_error_t){0};
    fmq_config_parse(config, "given.yaml", yaml, strlen(yaml), &said);
}

/* The refusal, whoever says it, must name this word. */
static void assert_names(int result, const char *word)
{
    if (said.code != FMQ_OK)
        err = said;
    else
        assert_int_equal(result, -1);
    assert_true(err.code == FMQ_ERR_CONFIG || err.code == FMQ_ERR_UNSUPPORTED ||
                err.code == FMQ_ERR_LIMIT);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not name %s", err.text, word);
}

static llm_train_options_t train(void)
{
    llm_train_options_t options;
    if (fmq_settings_train(config, &options, &err) < 0)
        fail_msg("%s", err.text);
    return options;
}

static void training_defaults_are_those_of_fs_llm(void **state)
{
    (void)state;
    llm_train_options_t options = train();
    assert_int_equal(options.optimizer.kind, LLM_SGD);
    assert_true(options.optimizer.lr == 0.1);
    assert_int_equal(options.schedule.kind, LLM_SCHEDULE_NONE);
    assert_false(options.by_epoch);
    assert_int_equal(options.steps, 1);
    assert_int_equal(options.batch_size, 64);
    assert_true(options.shuffle);
    assert_false(options.drop_last);
    assert_true(options.grad_clip < 0);
    assert_int_equal(options.grad_accum, 1);
    assert_false(options.retry_on_nan);
    assert_true(options.proximal_mu == 0);
    assert_int_equal(options.seed, 0);
}

static void training_keys_reach_the_routine(void **state)
{
    (void)state;
    given("seed: 7\n"
          "train: {local_update_steps: 3, batch_or_epoch: epoch}\n"
          "dataloader: {batch_size: 4, shuffle: False, drop_last: True}\n"
          "grad: {grad_clip: 1.5, grad_accum_count: 8}\n"
          "fedmq: {label_smoothing: 0.1}\n"
          "llm: {retry_on_nan_loss: True}\n"
          "fedprox: {use: True, mu: 0.25}\n");
    llm_train_options_t options = train();
    assert_int_equal(options.seed, 7);
    assert_true(options.by_epoch);
    assert_int_equal(options.steps, 3);
    assert_int_equal(options.batch_size, 4);
    assert_false(options.shuffle);
    assert_true(options.drop_last);
    assert_true(options.grad_clip == 1.5);
    assert_true(options.label_smoothing == 0.1);
    assert_int_equal(options.grad_accum, 8);
    assert_true(options.retry_on_nan);
    assert_int_equal(options.retries_max, FMQ_SETTINGS_NAN_RETRIES_MAX);
    assert_true(options.proximal_mu == 0.25);
}

static void what_is_computed_again_is_chosen_by_name(void **state)
{
    (void)state;
    given("{}");
    assert_int_equal(fmq_settings_recompute(config), LLM_RECOMPUTE_AUTO);
    given("fedmq: {recompute: none}");
    assert_int_equal(fmq_settings_recompute(config), LLM_RECOMPUTE_NONE);
    given("fedmq: {recompute: norms}");
    assert_int_equal(fmq_settings_recompute(config), LLM_RECOMPUTE_NORMS);
    given("fedmq: {recompute: layers}");
    assert_int_equal(fmq_settings_recompute(config), LLM_RECOMPUTE_LAYERS);
}

/* Nothing but this is given. */
static void given_alone(const char *yaml)
{
    start_anew();
    given(yaml);
}

static fmq_compute_settings_t compute(void)
{
    fmq_compute_settings_t settings = {0};
    if (fmq_settings_compute(config, &settings, &err) < 0)
        fail_msg("%s", err.text);
    return settings;
}

static void gradient_checkpointing_is_another_name_for_whole_layers(void **state)
{
    (void)state;
    given("fedmq: {gradient_checkpointing: True}\n");
    assert_int_equal(fmq_settings_recompute(config), LLM_RECOMPUTE_LAYERS);
    llm_train_options_t options;
    assert_int_equal(fmq_settings_train(config, &options, &err), 0);
    given("fedmq: {recompute: norms}\n");
    assert_int_equal(fmq_settings_train(config, &options, &err), -1);
    assert_non_null(strstr(err.text, "leave one out"));
}

static void half_and_weights_say_where_and_in_what_is_computed(void **state)
{
    (void)state;
    fmq_compute_settings_t settings = compute();
    assert_string_equal(settings.device, "cpu");
    assert_false(settings.weights.given);
    assert_false(settings.lacks_gpu);
    given("llm: {adapter: {use: True}}\nuse_gpu: True\n"
          "train: {is_enable_half: True}\nfedmq: {weights: nf4}");
    settings = compute();
    assert_string_equal(settings.device, "cpu:bf16");
    assert_true(settings.weights.given && settings.weights.form == LLM_FORM_NF4);
    assert_true(settings.lacks_gpu);
    assert_non_null(strstr(settings.why, "cuda"));
}

static void a_whole_model_that_trains_has_no_frozen_weights(void **state)
{
    (void)state;
    fmq_compute_settings_t settings;
    given("fedmq: {weights: int4}");
    assert_names(fmq_settings_compute(config, &settings, &err), "fedmq.weights is int4");
}

static void a_gpu_that_is_required_is_missed(void **state)
{
    (void)state;
    fmq_compute_settings_t settings;
    given("use_gpu: True\nfedmq: {require_gpu: True}");
    assert_names(fmq_settings_compute(config, &settings, &err), "fedmq.require_gpu");
}

static void numbers_are_gpus_where_one_is_asked_for_and_else_the_cpus_workers(void **state)
{
    (void)state;
    given_alone("train: {data_para_dids: [0, 1, 2]}\ndevice: 1");
    fmq_compute_settings_t settings = compute();
    assert_int_equal(settings.team.size, 3);
    assert_string_equal(settings.team.names[2], "cpu");
    assert_int_equal(settings.devices.size, 1);
    assert_string_equal(settings.device, "cpu");
    assert_false(settings.lacks_gpu || settings.sharded);
    given_alone(
        "use_gpu: True\ndevice: [0, 1]\ntrain: {data_para_dids: [0, 1], is_enable_half: True}\n"
        "llm: {deepspeed: {use: True}}");
    settings = compute();
    assert_true(settings.lacks_gpu && settings.sharded);
    assert_non_null(strstr(settings.why, "cuda"));
    assert_int_equal(settings.devices.size, 2);
    assert_string_equal(settings.devices.names[1], "cpu:bf16");
    assert_int_equal(settings.team.size, 2);
    assert_string_equal(settings.team.names[1], "cpu:bf16");
}

static void a_device_that_is_named_is_used_as_it_is(void **state)
{
    (void)state;
    given_alone("device: [cpu, 'cpu:bf16']\ntrain: {data_para_dids: ['cpu:bf16']}");
    fmq_compute_settings_t settings = compute();
    assert_string_equal(settings.device, "cpu:bf16"); /* the only one of a team */
    given_alone("device: [cpu, 'cpu:bf16']");
    settings = compute();
    assert_int_equal(settings.devices.size, 2);
    assert_string_equal(settings.devices.names[0], "cpu");
    assert_string_equal(settings.devices.names[1], "cpu:bf16");
    given_alone("device: cpu\ntrain: {is_enable_half: True}");
    settings = compute();
    assert_string_equal(settings.device, "cpu:bf16");
    given_alone("use_gpu: True\ndevice: cpu");
    settings = compute();
    assert_true(settings.lacks_gpu);
    assert_string_equal(settings.why, "device is 'cpu'");
    given_alone("device: 'cuda:700'");
    settings = compute();
    assert_true(settings.lacks_gpu);
    assert_string_equal(settings.device, "cpu");
}

static void devices_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"device: gpu0", "there is no device 'gpu0'"},
        {"train: {data_para_dids: [0, tpu]}", "train.data_para_dids: there is no device 'tpu'"},
        {"train: {data_para_dids: [0.5, 1]}", "train.data_para_dids"},
        {"train: {data_para_dids: [-3]}", "-3 is no device's number"},
        {"device: 'cuda:1'\nuse_gpu: False", "use_gpu is False, but device names 'cuda:1"},
        {"train: {data_para_dids: ['cuda:1']}\nuse_gpu: False", "but train.data_para_dids names"},
        {"train: {data_para_dids: [0, 1]}\ndataloader: {batch_size: 1}",
         "names 2 devices, but a batch has 1 example and"},
        {"device: 'cuda:1'\nfedmq: {require_gpu: True}", "fedmq.require_gpu is True, but"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fmq_compute_settings_t settings;
        given_alone(texts[i][0]);
        assert_names(fmq_settings_compute(config, &settings, &err), texts[i][1]);
    }
}

static void a_proximal_weight_without_fedprox_is_off(void **state)
{
    (void)state;
    given("fedprox: {use: False, mu: 0.25}\n");
    assert_true(train().proximal_mu == 0);
}

static void adamw_has_torchs_defaults_and_takes_betas_as_a_tuple(void **state)
{
    (void)state;
    given("train:\n  optimizer:\n    type: AdamW\n    lr: 1e-4\n    betas: (0.9, 0.95)\n");
    llm_optimizer_t optimizer = train().optimizer;
    assert_int_equal(optimizer.kind, LLM_ADAMW);
    assert_true(optimizer.lr == 1e-4);
    assert_true(optimizer.beta1 == 0.9);
    assert_true(optimizer.beta2 == 0.95);
    assert_true(optimizer.eps == 1e-8);
    assert_true(optimizer.weight_decay == 0.01);
}

static void adam_has_no_weight_decay_unless_given(void **state)
{
    (void)state;
    given("train: {optimizer: {type: Adam, lr: 0.001, eps: 1e-6}}\n");
    llm_optimizer_t optimizer = train().optimizer;
    assert_int_equal(optimizer.kind, LLM_ADAM);
    assert_true(optimizer.weight_decay == 0);
    assert_true(optimizer.eps == 1e-6);
    assert_true(optimizer.beta2 == 0.999);
}

static void sgd_takes_momentum_and_nesterov(void **state)
{
    (void)state;
    given("train: {optimizer: {type: SGD, lr: 0.5, momentum: 0.9, nesterov: True,"
          " weight_decay: 0.1}}\n");
    llm_optimizer_t optimizer = train().optimizer;
    assert_true(optimizer.momentum == 0.9);
    assert_true(optimizer.nesterov);
    assert_true(optimizer.weight_decay == 0.1);
}

static void refused(const char *yaml, const char *word)
{
    llm_train_options_t before, options;
    memset(&options, 0x5a, sizeof options);
    before = options;
    given_roughly(yaml);
    int result = fmq_settings_train(config, &options, &err);
    assert_names(result, word);
    if (result < 0)
        assert_memory_equal(&before, &options, sizeof before);
}

static void an_unknown_keyword_of_an_optimizer_is_refused_by_name(void **state)
{
    (void)state;
    refused("train: {optimizer: {type: SGD, lr: 0.1, lars: 3}}\n", "train.optimizer.lars");
}

static void a_keyword_of_another_optimizer_is_refused(void **state)
{
    (void)state;
    refused("train: {optimizer: {type: SGD, lr: 0.1, betas: [0.9, 0.99]}}\n", "betas");
}

static void what_has_no_meaning_here_is_refused(void **state)
{
    (void)state;
    refused("train: {optimizer: {type: Adam, lr: 0.1, differentiable: True}}\n", "differentiable");
    start_anew();
    refused("train: {optimizer: {type: AdamW8bit, lr: 0.1, amsgrad: True}}\n", "amsgrad");
    start_anew();
    refused("train: {optimizer: {type: AdamW8bit, lr: 0.1, block_wise: False}}\n", "block_wise");
    start_anew();
    refused("train: {optimizer: {type: transformers.Adafactor, lr: 0.1}}\n", "relative_step");
    start_anew();
    refused("train: {optimizer: {type: Adafactor, decay_rate: -0.8}}\n", "beta2_decay");
}

static void further_optimizers_have_the_defaults_of_their_classes(void **state)
{
    (void)state;
    given("train: {optimizer: {type: Adagrad, lr: 0.1, lr_decay: 0.5, maximize: True,"
          " initial_accumulator_value: 2}}\n");
    llm_optimizer_t how = train().optimizer;
    assert_true(how.kind == LLM_ADAGRAD && how.eps == 1e-10 && how.maximize);
    assert_true(how.lr_decay == 0.5 && how.initial_accumulator == 2);
    start_anew();
    given("train: {optimizer: {type: RMSprop, lr: 0.1, centered: True}}\n");
    how = train().optimizer;
    assert_true(how.kind == LLM_RMSPROP && how.alpha == 0.99 && how.eps == 1e-8 && how.centered);
    start_anew();
    given("train: {optimizer: {type: AdamW8bit, lr: 0.1}}\n");
    how = train().optimizer;
    assert_true(how.kind == LLM_ADAMW_8BIT && how.min_8bit_size == 4096);
    assert_true(how.weight_decay == 0.01 && how.beta2 == 0.999);
}

static void either_adafactor_has_its_classs_arguments(void **state)
{
    (void)state;
    given("train: {optimizer: {type: Adafactor, lr: 0.02, d: 2, eps: [None, 0.01]}}\n");
    llm_optimizer_t how = train().optimizer;
    assert_true(how.kind == LLM_ADAFACTOR && how.eps == 0x1p-23 && how.eps2 == 0.01);
    assert_true(how.clip == 2 && how.beta2_decay == -0.8 && !how.relative_step);
    start_anew();
    given("train: {optimizer: {type: transformers.Adafactor, beta1: None, decay_rate: -0.5}}\n");
    how = train().optimizer;
    assert_true(how.kind == LLM_ADAFACTOR_HF && how.eps == 1e-30 && how.eps2 == 1e-3);
    assert_true(how.scale_parameter && how.relative_step && !how.warmup_init);
    assert_true(how.beta1 == 0 && how.beta2_decay == -0.5 && how.clip == 1);
}

static void an_unknown_optimizer_names_those_that_are_known(void **state)
{
    (void)state;
    llm_optimizer_t optimizer;
    given_roughly("fedopt: {optimizer: {type: Yogi, lr: 0.1}}\n");
    assert_int_equal(fmq_settings_optimizer(config, "fedopt.optimizer", &optimizer, &err), -1);
    assert_int_equal(err.code, FMQ_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "AdamW"));
    assert_non_null(strstr(err.text, "given.yaml:1:"));
}

static void betas_outside_their_range_are_refused(void **state)
{
    (void)state;
    refused("train: {optimizer: {type: Adam, lr: 0.1, betas: [0.9, 1.0]}}\n", "betas");
}

static void nesterov_without_momentum_is_refused(void **state)
{
    (void)state;
    refused("train: {optimizer: {type: SGD, lr: 0.1, nesterov: True}}\n", "momentum");
}

static void schedules_take_torchs_keywords(void **state)
{
    (void)state;
    given("train: {scheduler: {type: warmup_step, warmup_steps: 10, total_steps: 100}}\n");
    llm_schedule_t schedule = train().schedule;
    assert_int_equal(schedule.kind, LLM_SCHEDULE_WARMUP_STEP);
    assert_int_equal(schedule.warmup, 10);
    assert_int_equal(schedule.total, 100);
}

static void milestones_are_a_list(void **state)
{
    (void)state;
    given("train: {scheduler: {type: MultiStepLR, milestones: [3, 7, 11], gamma: 0.5}}\n");
    llm_schedule_t schedule = train().schedule;
    assert_int_equal(schedule.kind, LLM_SCHEDULE_MULTISTEP);
    assert_int_equal(schedule.milestones_size, 3);
    assert_int_equal(schedule.milestones[2], 11);
    assert_true(schedule.gamma == 0.5);
}

static void cosine_and_linear_have_torchs_defaults(void **state)
{
    (void)state;
    given("train: {scheduler: {type: CosineAnnealingLR, T_max: 20}}\n");
    assert_int_equal(train().schedule.t_max, 20);
    assert_true(train().schedule.eta_min == 0);
    start_anew();
    given("train: {scheduler: {type: LinearLR}}\n");
    assert_true(train().schedule.start_factor == 1.0 / 3);
    assert_true(train().schedule.end_factor == 1);
    assert_int_equal(train().schedule.total, 5);
}

static void one_cycle_counts_its_steps_as_torch_does(void **state)
{
    (void)state;
    given("train: {optimizer: {type: AdamW}, scheduler: {type: OneCycleLR, max_lr: 0.2, epochs: 3, "
          "steps_per_epoch: 7, anneal_strategy: linear}}\n");
    llm_schedule_t schedule = train().schedule;
    assert_int_equal(schedule.kind, LLM_SCHEDULE_ONE_CYCLE);
    assert_int_equal(schedule.total, 21);
    assert_true(schedule.cycle.max_lr == 0.2 && schedule.cycle.pct_start == 0.3);
    assert_true(schedule.cycle.div_factor == 25 && schedule.cycle.final_div_factor == 1e4);
    assert_true(schedule.cycle.base_momentum == 0.85 && schedule.cycle.max_momentum == 0.95);
    assert_true(schedule.cycle.linear && schedule.cycle.cycle_momentum);
    assert_false(schedule.cycle.three_phase);
}

static void one_cycle_without_its_steps_or_rate_is_refused(void **state)
{
    (void)state;
    refused("train: {scheduler: {type: OneCycleLR, max_lr: 1, total_steps: 3, anneal_strategy: "
            "sine}}\n",
            "cos or linear");
    start_anew();
    refused("train: {scheduler: {type: OneCycleLR, max_lr: 0.2, epochs: 3}}\n", "total_steps");
    start_anew();
    refused("train: {scheduler: {type: OneCycleLR, total_steps: 3}}\n", "max_lr");
}

static void constant_polynomial_and_restarts_have_torchs_defaults(void **state)
{
    (void)state;
    given("train: {scheduler: {type: ConstantLR}}\n");
    assert_true(train().schedule.start_factor == 1.0 / 3 && train().schedule.total == 5);
    start_anew();
    given("train: {scheduler: {type: PolynomialLR, power: 2}}\n");
    assert_true(train().schedule.power == 2 && train().schedule.total == 5);
    start_anew();
    given("train: {scheduler: {type: CosineAnnealingWarmRestarts, T_0: 4}}\n");
    assert_true(train().schedule.t_max == 4 && train().schedule.t_mult == 1);
    assert_int_equal(train().schedule.kind, LLM_SCHEDULE_RESTARTS);
}

static void a_schedule_without_what_it_needs_is_refused(void **state)
{
    (void)state;
    refused("train: {scheduler: {type: StepLR, gamma: 0.5}}\n", "train.scheduler.step_size");
}

static void a_keyword_of_another_schedule_is_refused(void **state)
{
    (void)state;
    refused("train: {scheduler: {type: ExponentialLR, gamma: 0.5, T_max: 3}}\n", "T_max");
}

static llm_adapter_spec_t adapter(void)
{
    llm_adapter_spec_t spec;
    if (fmq_settings_adapter(config, &spec, &err) < 0)
        fail_msg("%s", err.text);
    return spec;
}

static void without_an_adapter_the_whole_model_is_trained(void **state)
{
    (void)state;
    assert_int_equal(adapter().kind, LLM_ADAPTER_FULL);
}

static void an_adapter_without_arguments_is_pefts_lora(void **state)
{
    (void)state;
    given("llm: {adapter: {use: True}}\n");
    llm_adapter_spec_t spec = adapter();
    assert_int_equal(spec.kind, LLM_ADAPTER_LORA);
    assert_int_equal(spec.rank, 8);
    assert_true(spec.alpha == 8);
    assert_true(spec.dropout == 0);
    assert_int_equal(spec.targets, 0);
}

static void lora_arguments_reach_the_adapter(void **state)
{
    (void)state;
    given("llm:\n"
          "  adapter:\n"
          "    use: True\n"
          "    args: [{'adapter_package': 'peft', 'adapter_method': 'lora', 'r': 4,"
          " 'lora_alpha': 16, 'lora_dropout': 0.05, 'target_modules': ['q_proj', 'o_proj']}]\n");
    llm_adapter_spec_t spec = adapter();
    assert_int_equal(spec.rank, 4);
    assert_true(spec.alpha == 16);
    assert_true(spec.dropout == 0.05f);
    assert_int_equal(spec.targets, 2);
    assert_string_equal(spec.target[0], "q_proj");
    assert_string_equal(spec.target[1], "o_proj");
}

static void arguments_of_loras_variants_reach_the_adapter(void **state)
{
    (void)state;
    given("llm: {adapter: {use: True, args: [{adapter_method: LoRA, use_rslora: True, use_dora: "
          "True, bias: all, modules_to_save: [lm_head], exclude_modules: '.*down', "
          "target_modules: '.*_proj', rank_pattern: {'^layers.1.mlp': 2}, alpha_pattern: {q_proj: "
          "2.5}, init_lora_weights: False}]}}\n");
    llm_adapter_spec_t spec = adapter();
    assert_true(spec.rslora && spec.dora);
    assert_int_equal(spec.rank, 8);
    assert_int_equal(spec.bias, LLM_BIAS_ALL);
    assert_int_equal(spec.init, LLM_INIT_RANDOM);
    assert_string_equal(spec.expression, ".*_proj");
    assert_string_equal(spec.excluded.expression, ".*down");
    assert_string_equal(spec.saved.name[0], "lm_head");
    assert_string_equal(spec.ranks.at[0].expression, "^layers.1.mlp");
    assert_true(spec.ranks.at[0].value == 2 && spec.alphas.at[0].value == 2.5f);
}

static void ia3s_arguments_reach_the_adapter(void **state)
{
    (void)state;
    given("llm: {adapter: {use: True, args: [{adapter_method: ia3, target_modules: [k_proj, "
          "down_proj], feedforward_modules: [down_proj]}]}}\n");
    llm_adapter_spec_t spec = adapter();
    assert_int_equal(spec.kind, LLM_ADAPTER_IA3);
    assert_int_equal(spec.targets, 2);
    assert_true(spec.feedforward_given);
    assert_string_equal(spec.feedforward.name[0], "down_proj");
}

static void offsite_tuning_has_products_of_low_rank_alone(void **state)
{
    (void)state;
    static const char *const refused[][2] = {{"{adapter_method: ia3}", "ia3"},
                                             {"{use_dora: True}", "use_dora"},
                                             {"{bias: all}", "bias"},
                                             {"{modules_to_save: [lm_head]}", "modules_to_save"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char yaml[256];
        llm_adapter_spec_t spec;
        snprintf(yaml, sizeof yaml,
                 "llm: {offsite_tuning: {use: True}, adapter: {use: True, args: [%s]}}\n",
                 refused[i][0]);
        start_anew();
        given_roughly(yaml);
        assert_names(fmq_settings_adapter(config, &spec, &err), refused[i][1]);
    }
}

static void one_target_may_stand_without_a_list(void **state)
{
    (void)state;
    given("llm: {adapter: {use: True, args: [{r: 2, target_modules: c_attn}]}}\n");
    llm_adapter_spec_t spec = adapter();
    assert_int_equal(spec.targets, 1);
    assert_string_equal(spec.target[0], "c_attn");
}

static void layers_to_transform_are_an_index_or_a_list(void **state)
{
    (void)state;
    static const struct {
        const char *args;
        bool some, has[4];
    } cases[] = {{"{layers_to_transform: 0}", true, {true, false, false, false}},
                 {"{layers_to_transform: [3, 1]}", true, {false, true, false, true}},
                 {"{layers_to_transform: None}", false, {true, true, true, true}},
                 {"{r: 2, layers_pattern: None}", false, {true, true, true, true}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, "llm: {adapter: {use: True, args: [%s]}}\n", cases[i].args);
        start_anew();
        given(yaml);
        llm_adapter_spec_t spec = adapter();
        assert_int_equal(spec.layers.some, cases[i].some);
        for (uint32_t layer = 0; layer < 4; layer++)
            assert_int_equal(llm_layer_set_has(&spec.layers, layer), cases[i].has[layer]);
    }
}

static void no_adapter_for(const char *args, const char *word)
{
    char yaml[512];
    llm_adapter_spec_t spec;
    snprintf(yaml, sizeof yaml, "llm: {adapter: {use: True, args: [%s]}}\n", args);
    start_anew();
    given_roughly(yaml);
    assert_names(fmq_settings_adapter(config, &spec, &err), word);
}

static void adapter_arguments_that_are_not_built_are_refused_by_name(void **state)
{
    (void)state;
    no_adapter_for("{r: 2, lora_rank: 3}", "lora_rank");
    no_adapter_for("{use_qalora: True}", "use_qalora");
    no_adapter_for("{bias: some}", "bias");
    no_adapter_for("{init_lora_weights: pissa}", "init_lora_weights");
    no_adapter_for("{rank_pattern: {q_proj: 0}}", "rank_pattern");
    no_adapter_for("{rank_pattern: [4]}", "rank_pattern");
    no_adapter_for("{num_virtual_tokens: 4}", "num_virtual_tokens");
    no_adapter_for("{adapter_method: ia3, r: 4}", "args.0.r");
    no_adapter_for("{adapter_method: adalora}", "adalora");
    no_adapter_for("{adapter_method: prefix}", "num_virtual_tokens");
    no_adapter_for("{adapter_method: prompt, num_virtual_tokens: 1025}", "num_virtual_tokens");
    no_adapter_for("{adapter_method: prompt, num_virtual_tokens: 4, prefix_projection: True}",
                   "prefix_projection");
    no_adapter_for("{adapter_method: prompt, num_virtual_tokens: 4, tokenizer_kwargs: {a: 1}}",
                   "tokenizer_kwargs");
    no_adapter_for("{adapter_method: prompt, num_virtual_tokens: 4, token_dim: 8}", "token_dim");
    no_adapter_for("{adapter_method: prefix, num_virtual_tokens: 4, init_weights: ones}", "zero");
    no_adapter_for("{adapter_method: prefix, num_virtual_tokens: 4, "
                   "num_transformer_submodules: 2}",
                   "num_transformer_submodules");
    no_adapter_for("{adapter_method: p-tuning, num_virtual_tokens: 4, encoder_dropout: 1.0}",
                   "encoder_dropout");
    no_adapter_for("{adapter_method: p-tuning, num_virtual_tokens: 4, encoder_num_layers: 9}",
                   "encoder_num_layers");
    no_adapter_for("{adapter_package: adapterhub}", "adapterhub");
    no_adapter_for("{r: 0}", "'r'");
    no_adapter_for("{layers_to_transform: -1}", "layers_to_transform");
    no_adapter_for("{layers_to_transform: [0, 1024]}", "layers_to_transform");
    no_adapter_for("{layers_to_transform: [all]}", "layers_to_transform");
    no_adapter_for("{layers_pattern: blocks}", "layers_pattern");
    no_adapter_for("{lora_dropout: 1.0}", "lora_dropout");
    no_adapter_for("{r: 2}, {r: 4}", "more than one");
}

/* The lines of FS-LLM's page, and all that PEFT's classes take. */
static const struct {
    const char *args;
    llm_adapter_spec_t spec;
} with_tokens[] = {
    {"{'adapter_package': 'peft', 'adapter_method': 'prefix', 'prefix_projection': False, "
     "'num_virtual_tokens': 20}",
     {.kind = LLM_ADAPTER_PREFIX, .virtual_tokens = {.count = 20, .layers = 2}}},
    {"{'adapter_package': 'peft', 'adapter_method': 'p-tuning', 'encoder_reparameterization_type': "
     "'MLP', 'encoder_dropout': 0.1, 'num_virtual_tokens': 20}",
     {.kind = LLM_ADAPTER_P_TUNING,
      .virtual_tokens = {.count = 20, .encoder = LLM_ENCODER_MLP, .layers = 2, .dropout = 0.1f}}},
    {"{'adapter_package': 'peft', 'adapter_method': 'prompt', 'prompt_tuning_init': 'RANDOM', "
     "'num_virtual_tokens': 20}",
     {.kind = LLM_ADAPTER_PROMPT, .virtual_tokens = {.count = 20, .layers = 2}}},
    {"{adapter_method: Prefix, prefix_projection: True, num_virtual_tokens: 3, "
     "encoder_hidden_size: 7, init_weights: zero, task_type: CAUSAL_LM}",
     {.kind = LLM_ADAPTER_PREFIX,
      .virtual_tokens = {.count = 3,
                         .encoder = LLM_ENCODER_MLP,
                         .hidden = 7,
                         .layers = 2,
                         .init = LLM_VIRTUAL_ZERO}}},
    {"{adapter_method: p-tuning, num_virtual_tokens: 3, encoder_reparameterization_type: LSTM, "
     "encoder_num_layers: 3, encoder_hidden_size: None, num_transformer_submodules: 1}",
     {.kind = LLM_ADAPTER_P_TUNING,
      .virtual_tokens = {.count = 3, .encoder = LLM_ENCODER_LSTM, .layers = 3}}},
    {"{adapter_method: prompt, num_virtual_tokens: 3, prompt_tuning_init: SAMPLE_VOCAB}",
     {.kind = LLM_ADAPTER_PROMPT,
      .virtual_tokens = {.count = 3, .layers = 2, .init = LLM_VIRTUAL_VOCABULARY}}},
    {"{adapter_method: prompt, num_virtual_tokens: 3, prompt_tuning_init: TEXT, "
     "prompt_tuning_init_text: 'Say it', tokenizer_name_or_path: some/model}",
     {.kind = LLM_ADAPTER_PROMPT,
      .virtual_tokens = {.count = 3,
                         .layers = 2,
                         .init = LLM_VIRTUAL_TEXT,
                         .text = "Say it",
                         .tokenizer = "some/model"}}},
};

static void virtual_tokens_are_read_with_pefts_arguments(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof with_tokens / sizeof *with_tokens; i++) {
        char yaml[512];
        llm_adapter_spec_t spec;
        const llm_virtual_spec_t *wanted = &with_tokens[i].spec.virtual_tokens;
        snprintf(yaml, sizeof yaml, "llm: {adapter: {use: True, args: [%s]}}\n",
                 with_tokens[i].args);
        start_anew();
        given(yaml);
        if (fmq_settings_adapter(config, &spec, &err) < 0)
            fail_msg("%s", err.text);
        const llm_virtual_spec_t *found = &spec.virtual_tokens;
        assert_int_equal(spec.kind, with_tokens[i].spec.kind);
        assert_int_equal(found->count, wanted->count);
        assert_int_equal(found->encoder, wanted->encoder);
        assert_int_equal(found->hidden, wanted->hidden);
        assert_int_equal(found->layers, wanted->layers);
        assert_int_equal(found->init, wanted->init);
        assert_true(found->dropout == wanted->dropout);
        assert_string_equal(found->text, wanted->text);
        assert_string_equal(found->tokenizer, wanted->tokenizer);
    }
}

static fmq_split_settings_t split(void)
{
    fmq_split_settings_t out;
    if (fmq_settings_split(config, &out, &err) < 0)
        fail_msg("%s", err.text);
    return out;
}

static void the_split_is_read_with_its_arguments(void **state)
{
    (void)state;
    given("federate: {client_num: 8}\n"
          "data: {splits: [0.9, 0.05, 0.05], splitter: lda, splitter_args: [{alpha: 0.1}]}\n");
    fmq_split_settings_t out = split();
    assert_true(out.train == 0.9);
    assert_true(out.val == 0.05);
    assert_int_equal(out.how, LLM_SPLIT_LDA);
    assert_true(out.alpha == 0.1);
    assert_int_equal(out.parts, 8);
    assert_int_equal(out.clients, 8);
    assert_int_equal(out.only, 0);
}

static void global_gives_everything_to_one_client(void **state)
{
    (void)state;
    given("federate: {client_num: 8, method: global}\ndata: {splitter: meta}\n");
    assert_int_equal(split().parts, 1);
    assert_int_equal(split().clients, 1);
}

static void one_client_of_many_is_kept_for_local_training(void **state)
{
    (void)state;
    given("federate: {client_num: 8, client_idx_for_local_train: 3}\ndata: {splitter: iid}\n");
    assert_int_equal(split().parts, 8);
    assert_int_equal(split().only, 3);
    assert_int_equal(split().clients, 1);
}

static void no_split_for(const char *yaml, const char *word)
{
    fmq_split_settings_t out;
    start_anew();
    given_roughly(yaml);
    assert_names(fmq_settings_split(config, &out, &err), word);
}

static void impossible_splits_are_refused(void **state)
{
    (void)state;
    no_split_for("data: {splitter: iid}\n", "federate.client_num");
    no_split_for("federate: {client_num: 2}\n", "data.splitter");
    no_split_for("federate: {client_num: 2}\ndata: {splitter: iid, splits: [0.9, 0.2, 0.1]}\n",
                 "data.splits");
    no_split_for("federate: {client_num: 2}\ndata: {splitter: iid, splits: [0.9]}\n",
                 "data.splits");
    no_split_for("federate: {client_num: 2}\ndata: {splitter: lda, splitter_args: [{beta: 1}]}\n",
                 "beta");
    no_split_for("federate: {client_num: 2, client_idx_for_local_train: 3}\n"
                 "data: {splitter: iid}\n",
                 "client_idx_for_local_train");
}

static void times_are_given_in_milliseconds(void **state)
{
    (void)state;
    uint32_t heartbeat = 0, timeout = 0;
    given("fedmq: {heartbeat: 0.25, peer_timeout: 3}\n");
    fmq_settings_times(config, &heartbeat, &timeout);
    assert_int_equal(heartbeat, 250);
    assert_int_equal(timeout, 3000);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void a_round_uses_so_many_examples_at_most(void **state)
{
    (void)state;
    llm_train_options_t batches = {.steps = 3, .grad_accum = 2, .batch_size = 4};
    assert_int_equal(fmq_settings_samples_max(&batches, 0), 24);
    assert_int_equal(fmq_settings_samples_max(&batches, 10), 30); /* three passes */
    assert_int_equal(fmq_settings_samples_max(&batches, 500), 500);
    llm_train_options_t epochs = {.by_epoch = true, .steps = 3, .grad_accum = 2, .batch_size = 4};
    assert_int_equal(fmq_settings_samples_max(&epochs, 10), 30);
    assert_int_equal(fmq_settings_samples_max(&epochs, 0), 0);
    epochs.steps = UINT64_MAX;
    assert_true(fmq_settings_samples_max(&epochs, 2) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(training_defaults_are_those_of_fs_llm),
        CASE(training_keys_reach_the_routine),
        CASE(a_round_uses_so_many_examples_at_most),
        CASE(what_is_computed_again_is_chosen_by_name),
        CASE(gradient_checkpointing_is_another_name_for_whole_layers),
        CASE(half_and_weights_say_where_and_in_what_is_computed),
        CASE(a_whole_model_that_trains_has_no_frozen_weights),
        CASE(a_gpu_that_is_required_is_missed),
        CASE(numbers_are_gpus_where_one_is_asked_for_and_else_the_cpus_workers),
        CASE(a_device_that_is_named_is_used_as_it_is),
        CASE(devices_that_cannot_be_meant_are_refused),
        CASE(a_proximal_weight_without_fedprox_is_off),
        CASE(adamw_has_torchs_defaults_and_takes_betas_as_a_tuple),
        CASE(adam_has_no_weight_decay_unless_given),
        CASE(sgd_takes_momentum_and_nesterov),
        CASE(an_unknown_keyword_of_an_optimizer_is_refused_by_name),
        CASE(a_keyword_of_another_optimizer_is_refused),
        CASE(what_has_no_meaning_here_is_refused),
        CASE(further_optimizers_have_the_defaults_of_their_classes),
        CASE(either_adafactor_has_its_classs_arguments),
        CASE(an_unknown_optimizer_names_those_that_are_known),
        CASE(betas_outside_their_range_are_refused),
        CASE(nesterov_without_momentum_is_refused),
        CASE(schedules_take_torchs_keywords),
        CASE(milestones_are_a_list),
        CASE(cosine_and_linear_have_torchs_defaults),
        CASE(one_cycle_counts_its_steps_as_torch_does),
        CASE(one_cycle_without_its_steps_or_rate_is_refused),
        CASE(constant_polynomial_and_restarts_have_torchs_defaults),
        CASE(a_schedule_without_what_it_needs_is_refused),
        CASE(a_keyword_of_another_schedule_is_refused),
        CASE(without_an_adapter_the_whole_model_is_trained),
        CASE(an_adapter_without_arguments_is_pefts_lora),
        CASE(lora_arguments_reach_the_adapter),
        CASE(arguments_of_loras_variants_reach_the_adapter),
        CASE(ia3s_arguments_reach_the_adapter),
        CASE(offsite_tuning_has_products_of_low_rank_alone),
        CASE(one_target_may_stand_without_a_list),
        CASE(layers_to_transform_are_an_index_or_a_list),
        CASE(adapter_arguments_that_are_not_built_are_refused_by_name),
        CASE(virtual_tokens_are_read_with_pefts_arguments),
        CASE(the_split_is_read_with_its_arguments),
        CASE(global_gives_everything_to_one_client),
        CASE(one_client_of_many_is_kept_for_local_training),
        CASE(impossible_splits_are_refused),
        CASE(times_are_given_in_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
