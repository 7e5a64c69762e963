/*
 * offsite.c - llm.offsite_tuning.*: what takes the model's place at clients,
 * and how the server aligns it.
 *
 * FS-LLM and FedBiOT give two of their names two meanings; which one counts
 * is decided here and nowhere else.  The alignment has an optimizer of its
 * own; the rest of its routine (batches, accumulation, clipping) is
 * training's.
 */
#include "actors/settings/settings.h"

#include <string.h>

#include "actors/settings/table.h"

#define OFFSITE "llm.offsite_tuning."
#define ALIGN   OFFSITE "emu_align."
#define KWARGS  OFFSITE "kwargs.0"

static const int64_t counted[2] = {1, INT32_MAX};

/* What the strategies' arguments fill. */
typedef struct {
    llm_emulator_spec_t *emulator;
    llm_train_options_t *distil;
} strategy_t;

/* A share of what is left out: all of it would leave nothing. */
static int take_share(const fmq_config_t *config, const char *key, double *out, fmq_error_t *err)
{
    static const double below_one[2] = {0, 0.999999};
    return fmq_setting_real(config, key, below_one, out, err);
}

static int take_drop_ratio(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    return take_share(config, key, &((strategy_t *)out)->emulator->drop_ratio, err);
}

static int take_ratio(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    return take_share(config, key, &((strategy_t *)out)->emulator->prune_ratio, err);
}

static int take_method(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    const char *word = NULL;
    if (fmq_config_get_text(config, key, &word, err) < 0)
        return -1;
    bool structured = strcmp(word, "structured") == 0;
    if (!structured && strcmp(word, "magnitude") != 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '%s' is '%s'; choose magnitude or structured",
                             fmq_config_origin(config, key), key, word);
    ((strategy_t *)out)->emulator->structured = structured;
    return 0;
}

static int take_bits(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    int64_t bits = 0;
    if (fmq_setting_int(config, key, counted, &bits, err) < 0)
        return -1;
    if (bits != 8 && bits != 4)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '%s' is %lld; choose 8 or 4",
                             fmq_config_origin(config, key), key, (long long)bits);
    ((strategy_t *)out)->emulator->bits = (uint32_t)bits;
    return 0;
}

static int take_group(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    int64_t group = 0;
    if (fmq_setting_int(config, key, counted, &group, err) < 0)
        return -1;
    ((strategy_t *)out)->emulator->group = (uint32_t)group;
    return 0;
}

static int take_steps(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    int64_t steps = 0;
    if (fmq_setting_int(config, key, counted, &steps, err) < 0)
        return -1;
    ((strategy_t *)out)->distil->steps = (uint64_t)steps;
    return 0;
}

static int take_lr(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    static const double positive[2] = {1e-30, 1e30};
    return fmq_setting_real(config, key, positive, &((strategy_t *)out)->distil->optimizer.lr, err);
}

static int take_batch_size(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    int64_t size = 0;
    if (fmq_setting_int(config, key, counted, &size, err) < 0)
        return -1;
    ((strategy_t *)out)->distil->batch_size = (uint32_t)size;
    return 0;
}

/* Of old files of FedBiOT; its code reads it nowhere. */
static int pass_over(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    (void)config, (void)key, (void)out, (void)err;
    return 0;
}

static const fmq_setting_t drop_layer_table[] = {
    {"drop_ratio", take_drop_ratio}, {"adapter_size", pass_over}, {NULL, NULL}};
static const fmq_setting_t pruning_table[] = {
    {"ratio", take_ratio}, {"method", take_method}, {"adapter_size", pass_over}, {NULL, NULL}};
static const fmq_setting_t quantization_table[] = {
    {"bits", take_bits}, {"group", take_group}, {"adapter_size", pass_over}, {NULL, NULL}};
static const fmq_setting_t distillation_table[] = {
    {"drop_ratio", take_drop_ratio}, {"steps", take_steps},       {"lr", take_lr},
    {"batch_size", take_batch_size}, {"adapter_size", pass_over}, {NULL, NULL}};

static const struct {
    const char *name;
    llm_emulator_strategy_t strategy;
    const fmq_setting_t *table;
} strategies[] = {{"drop_layer", LLM_DROP_LAYER, drop_layer_table},
                  {"noname", LLM_DROP_LAYER, drop_layer_table}, /* the same files' word */
                  {"pruning", LLM_PRUNING, pruning_table},
                  {"quantization", LLM_QUANTIZATION, quantization_table},
                  {"distillation", LLM_DISTILLATION, distillation_table}};

/* The strategy's arguments, of which the list holds one map or none. */
static int read_strategy(const fmq_config_t *config, strategy_t *out, fmq_error_t *err)
{
    const char *name = fmq_config_text(config, OFFSITE "strategy");
    size_t maps = fmq_config_size(config, OFFSITE "kwargs");
    if (maps > 1)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '" OFFSITE "kwargs' has %zu items; one map is taken",
                             fmq_config_origin(config, OFFSITE "kwargs"), maps);
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        if (strcmp(strategies[i].name, name) != 0)
            continue;
        out->emulator->strategy = strategies[i].strategy;
        return maps == 0 ? 0 : fmq_settings_take(config, KWARGS, strategies[i].table, out, err);
    }
    return fmq_error_set(err, FMQ_ERR_CONFIG,
                         "%s: '" OFFSITE "strategy' is '%s'; choose drop_layer, pruning, "
                         "quantization or distillation",
                         fmq_config_origin(config, OFFSITE "strategy"), name);
}

static int read_range(const fmq_config_t *config, llm_emulator_spec_t *emulator, fmq_error_t *err)
{
    int64_t l = fmq_config_int(config, OFFSITE "emu_l");
    int64_t r = fmq_config_int(config, OFFSITE "emu_r");
    if (l < 0 || r <= l || r > INT32_MAX)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: the emulator replaces layers from " OFFSITE "emu_l = %lld up to, "
                             "not including, emu_r = %lld: there is none",
                             fmq_config_origin(config, OFFSITE "emu_r"), (long long)l,
                             (long long)r);
    emulator->emu_l = (uint32_t)l;
    emulator->emu_r = (uint32_t)r;
    return 0;
}

/* The routine of every alignment: training's, with the steps and the optimizer
 * that are the alignment's own, at a constant rate. */
static int read_routine(const fmq_config_t *config, llm_train_options_t *routine, fmq_error_t *err)
{
    int64_t steps = 0;
    if (fmq_settings_train(config, routine, err) < 0 ||
        fmq_settings_optimizer(config, ALIGN "train.optimizer", &routine->optimizer, err) < 0 ||
        fmq_setting_int(config, ALIGN "train.local_update_steps", counted, &steps, err) < 0)
        return -1;
    routine->steps = (uint64_t)steps;
    routine->by_epoch = strcmp(fmq_config_text(config, ALIGN "train.batch_or_epoch"), "epoch") == 0;
    routine->schedule = (llm_schedule_t){.kind = LLM_SCHEDULE_NONE};
    routine->proximal_mu = 0;
    return 0;
}

static int read_public(const fmq_config_t *config, fmq_offsite_settings_t *out, fmq_error_t *err)
{
    double shares[3] = {0};
    if (fmq_setting_shares(config, ALIGN "data.splits", shares, err) < 0)
        return -1;
    out->public_root = fmq_config_text(config, ALIGN "data.root");
    out->public_type = fmq_config_text(config, ALIGN "data.type");
    out->public_train = shares[0];
    out->public_val = shares[1];
    return 0;
}

/* One-shot: distil, with a share of the language loss. */
static void weigh_once(const fmq_config_t *config, fmq_offsite_settings_t *out)
{
    out->first.sim_weight = fmq_config_real(config, ALIGN "train.kd_loss_weight");
    out->first.lm_weight = fmq_config_real(config, ALIGN "train.lm_loss_weight");
    out->first_blocks = 1;
    out->later = out->first;
}

/* FedBiOT: the similarity counts whole, kd_loss_weight is the divergence's
 * lambda, and lm_loss_weight is the clients' epsilon. */
static void weigh_bilevel(const fmq_config_t *config, fmq_offsite_settings_t *out)
{
    out->first.sim_weight = 1;
    out->first.kl_weight = fmq_config_real(config, ALIGN "train.kd_loss_weight");
    out->later = out->first;
    out->first.lm_weight = fmq_config_bool(config, ALIGN "init_enable_ground_truth") ? 1 : 0;
    out->later.lm_weight = fmq_config_bool(config, ALIGN "train.enable_ground_truth") ? 1 : 0;
    out->first_blocks = (uint32_t)fmq_config_int(config, ALIGN "train.initial_update_rounds");
    out->proximal = fmq_config_real(config, ALIGN "train.lm_loss_weight");
}

static int read_alignment(const fmq_config_t *config, fmq_offsite_settings_t *out, fmq_error_t *err)
{
    llm_align_options_t options = {
        .sim = strcmp(fmq_config_text(config, ALIGN "sim_loss"), "cos") == 0 ? LLM_SIM_COS
                                                                             : LLM_SIM_L2,
        .kl = strcmp(fmq_config_text(config, ALIGN "kl_divergence"), "logps") == 0 ? LLM_KL_LOGPS
                                                                                   : LLM_KL_RAW,
        .layerwise = fmq_config_bool(config, ALIGN "layerwise_distill"),
        .released = out->released,
        .recompute = fmq_settings_recompute(config),
    };
    if (read_routine(config, &options.train, err) < 0)
        return -1;
    out->bilevel = !fmq_config_bool(config, ALIGN "initial_only");
    out->restore_from = fmq_config_text(config, ALIGN "restore_from");
    out->save_to = fmq_config_text(config, ALIGN "save_to");
    out->exit_after_align = fmq_config_bool(config, ALIGN "exit_after_align");
    out->first = out->later = options;
    if (out->bilevel)
        weigh_bilevel(config, out);
    else
        weigh_once(config, out);
    if (out->first.sim_weight == 0 && out->first.kl_weight == 0 && out->first.lm_weight == 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '" ALIGN "train.kd_loss_weight' and lm_loss_weight are both 0: "
                             "there is nothing to align by",
                             fmq_config_origin(config, ALIGN "train.kd_loss_weight"));
    return 0;
}

/* A distilled student learns to give what the teacher's layers give. */
static int begin_distillation(const fmq_config_t *config, llm_align_options_t *out,
                              fmq_error_t *err)
{
    *out = (llm_align_options_t){.sim = LLM_SIM_L2, .sim_weight = 1};
    out->recompute = fmq_settings_recompute(config);
    if (fmq_settings_train(config, &out->train, err) < 0)
        return -1;
    out->train.optimizer =
        (llm_optimizer_t){.kind = LLM_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    out->train.schedule = (llm_schedule_t){.kind = LLM_SCHEDULE_NONE};
    out->train.steps = 500;
    out->train.by_epoch = false;
    out->train.proximal_mu = 0;
    return 0;
}

static int read_all(const fmq_config_t *config, fmq_offsite_settings_t *out, fmq_error_t *err)
{
    out->use = true;
    out->emulator =
        (llm_emulator_spec_t){.drop_ratio = 0.5, .prune_ratio = 0.5, .bits = 8, .group = 64};
    strategy_t strategy = {&out->emulator, &out->distil.train};
    if (fmq_settings_adapter(config, &out->emulator.adapter, err) < 0 ||
        begin_distillation(config, &out->distil, err) < 0 ||
        read_range(config, &out->emulator, err) < 0 || read_strategy(config, &strategy, err) < 0 ||
        read_public(config, out, err) < 0)
        return -1;
    out->align = fmq_config_bool(config, ALIGN "use");
    out->released = fmq_config_bool(config, "fedmq.released_fedbiot");
    out->full = strcmp(fmq_config_text(config, OFFSITE "eval_type"), "full") == 0;
    if (fmq_config_bool(config, OFFSITE "llm_generated.use")) {
        out->generated = fmq_config_real(config, OFFSITE "llm_generated.ratio");
        out->generated_tokens_max = (size_t)fmq_config_int(config, "llm.max_new_token");
    }
    return out->align ? read_alignment(config, out, err) : 0;
}

int fmq_settings_offsite(const fmq_config_t *config, fmq_offsite_settings_t *out, fmq_error_t *err)
{
    fmq_offsite_settings_t settings = {
        .public_root = "", .public_type = "", .restore_from = "", .save_to = ""};
    if (fmq_config_bool(config, OFFSITE "use") && read_all(config, &settings, err) < 0)
        return -1;
    *out = settings;
    return 0;
}
