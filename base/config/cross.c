/*
 * cross.c - what no key can say alone: keys that must fit each other, and the
 * values in open nodes and lists of maps.  Each kind of rule is a table, and the
 * table of checks at the end is the order in which mistakes are told.
 */
#include <string.h>
#include <strings.h>

#include "base/config/config_private.h"
#include "base/config/keys.h"
#include "base/config/scalar.h"
#include "base/nearest.h"

/* A key whose value was refused holds another one, of which nothing can be said. */
static bool is_wrong(const fmq_config_t *self, const char *key)
{
    return fmq_mistakes_about(&self->mistakes, key);
}

/* Adds "<origin of key>: <key>: <formatted>", unless the key is wrong already. */
static void wrong(const fmq_config_t *self, fmq_mistakes_t *mistakes, const char *key,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

static void wrong(const fmq_config_t *self, fmq_mistakes_t *mistakes, const char *key,
                  const char *format, ...)
{
    char text[FMQ_ERROR_TEXT_MAX];
    const char *origin = fmq_config_origin(self, key);
    va_list args;
    if (is_wrong(self, key))
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fmq_mistakes_add(mistakes, strcmp(origin, "default") == 0 ? "configuration" : origin, "%s: %s",
                     key, text);
}

typedef struct {
    const char *path;
    fmq_key_type_t type;
    double least, most; /* least > most: unlimited */
    bool below_most;    /* most itself is not possible */
} rule_t;

/* Undeclared values, checked only when they are given. */
static const rule_t rules[] = {
    {"train.optimizer.momentum", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"train.optimizer.dampening", FMQ_KEY_REAL, 1, 0, false},
    {"train.optimizer.weight_decay", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"train.optimizer.eps", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"train.optimizer.nesterov", FMQ_KEY_BOOL, 1, 0, false},
    {"train.optimizer.betas.0", FMQ_KEY_REAL, 0, 1, true},
    {"train.optimizer.betas.1", FMQ_KEY_REAL, 0, 1, true},
    {"train.scheduler.warmup_steps", FMQ_KEY_INT, 0, FMQ_KEY_MANY, false},
    {"train.scheduler.total_steps", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
    {"train.scheduler.step_size", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
    {"train.scheduler.T_max", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
    {"train.scheduler.total_iters", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
    {"train.scheduler.gamma", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"train.scheduler.eta_min", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"train.scheduler.start_factor", FMQ_KEY_REAL, 0, 1, false},
    {"train.scheduler.end_factor", FMQ_KEY_REAL, 0, 1, false},
    {"data.splitter_args.0.alpha", FMQ_KEY_REAL, 1e-9, FMQ_KEY_MANY, false},
    {"llm.adapter.args.0.r", FMQ_KEY_INT, 1, 1024, false},
    {"llm.adapter.args.0.lora_alpha", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"llm.adapter.args.0.lora_dropout", FMQ_KEY_REAL, 0, 1, true},
    {"llm.adapter.args.0.fan_in_fan_out", FMQ_KEY_BOOL, 1, 0, false},
    {"llm.adapter.args.0.inference_mode", FMQ_KEY_BOOL, 1, 0, false},
    {"llm.offsite_tuning.emu_align.train.optimizer.momentum", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"llm.offsite_tuning.emu_align.train.optimizer.dampening", FMQ_KEY_REAL, 1, 0, false},
    {"llm.offsite_tuning.emu_align.train.optimizer.weight_decay", FMQ_KEY_REAL, 0, FMQ_KEY_MANY,
     false},
    {"llm.offsite_tuning.emu_align.train.optimizer.eps", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"llm.offsite_tuning.emu_align.train.optimizer.nesterov", FMQ_KEY_BOOL, 1, 0, false},
    {"llm.offsite_tuning.emu_align.train.optimizer.betas.0", FMQ_KEY_REAL, 0, 1, true},
    {"llm.offsite_tuning.emu_align.train.optimizer.betas.1", FMQ_KEY_REAL, 0, 1, true},
    {"llm.offsite_tuning.kwargs.0.drop_ratio", FMQ_KEY_REAL, 0, 1, true},
    {"llm.offsite_tuning.kwargs.0.ratio", FMQ_KEY_REAL, 0, 1, true},
    {"llm.offsite_tuning.kwargs.0.bits", FMQ_KEY_INT, 4, 8, false},
    {"llm.offsite_tuning.kwargs.0.group", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
    {"llm.offsite_tuning.kwargs.0.steps", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
    {"llm.offsite_tuning.kwargs.0.lr", FMQ_KEY_REAL, 0, FMQ_KEY_MANY, false},
    {"llm.offsite_tuning.kwargs.0.batch_size", FMQ_KEY_INT, 1, FMQ_KEY_MANY, false},
};

static void check_rule(const fmq_config_t *self, const rule_t *rule, fmq_mistakes_t *mistakes)
{
    const fmq_node_t *node = fmq_node_find(self->root, rule->path);
    if (!node)
        return;
    double value = 0;
    int64_t whole;
    bool truth;
    bool scalar = node->kind == FMQ_NODE_SCALAR;
    bool right = scalar && (rule->type == FMQ_KEY_BOOL  ? fmq_scalar_bool(node->text, &truth) == 0
                            : rule->type == FMQ_KEY_INT ? fmq_scalar_int(node->text, &whole) == 0
                                                        : true);
    if (right && rule->type != FMQ_KEY_BOOL)
        right = fmq_scalar_real(node->text, &value) == 0;
    if (!right)
        wrong(self, mistakes, rule->path, "'%.80s' is not %s",
              scalar ? node->text : "(several values)", fmq_key_type_name(rule->type));
    else if (rule->least <= rule->most && (value < rule->least || value > rule->most ||
                                           (rule->below_most && value >= rule->most)))
        wrong(self, mistakes, rule->path, "%s is out of range", node->text);
}

static void check_clients(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    int64_t clients = fmq_config_int(self, "federate.client_num");
    if (is_wrong(self, "federate.client_num"))
        return;
    if (clients == 0) {
        wrong(self, mistakes, "federate.client_num", "it is 0: say how many clients there are");
        return;
    }
    static const char *const bounded[] = {"federate.sample_client_num", "fedmq.min_clients",
                                          "federate.client_idx_for_local_train",
                                          "distribute.data_idx"};
    for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++) {
        int64_t value = fmq_config_int(self, bounded[i]);
        if (value > clients)
            wrong(self, mistakes, bounded[i],
                  "%lld is more than federate.client_num, which is %lld", (long long)value,
                  (long long)clients);
    }
    for (size_t i = 0; i < self->clients_size; i++)
        if (self->clients[i].client > clients)
            fmq_mistakes_add(mistakes, "configuration",
                             "client_%u: there are only %lld clients (federate.client_num)",
                             (unsigned)self->clients[i].client, (long long)clients);
}

static void check_shares(const fmq_config_t *self, const char *key, fmq_mistakes_t *mistakes)
{
    size_t size = fmq_config_size(self, key);
    double sum = 0;
    bool right = size == 2 || size == 3;
    for (size_t i = 0; i < size && right; i++) {
        char path[64];
        double share = 0;
        (void)snprintf(path, sizeof path, "%s.%zu", key, i);
        right = fmq_config_get_real(self, path, &share, NULL) == 0 && share >= 0 && share <= 1;
        sum += share;
    }
    if (!right || sum > 1 + 1e-6)
        wrong(self, mistakes, key,
              "it holds the shares of train, val and test: numbers from 0 to 1 with a sum of at "
              "most 1");
}

static void check_data(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    if (strchr(fmq_config_text(self, "data.type"), '@') &&
        !*fmq_config_text(self, "data.splitter") && !is_wrong(self, "data.splitter") &&
        !fmq_config_bool(self, "fedmq.own_data") && !is_wrong(self, "fedmq.own_data"))
        wrong(self, mistakes, "data.type", "data '%.80s' needs data.splitter: iid, lda or meta",
              fmq_config_text(self, "data.type"));
}

static void check_rate(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    double rate = fmq_config_real(self, "federate.sample_client_rate");
    if (rate <= 0 && rate != -1)
        wrong(self, mistakes, "federate.sample_client_rate", "%g is neither -1 nor above 0", rate);
    double heartbeat = fmq_config_real(self, "fedmq.heartbeat");
    double timeout = fmq_config_real(self, "fedmq.peer_timeout");
    if (timeout < 2 * heartbeat && !is_wrong(self, "fedmq.heartbeat"))
        wrong(self, mistakes, "fedmq.peer_timeout",
              "%g s is less than two heartbeats of %g s: "
              "living peers would be lost",
              timeout, heartbeat);
}

/* A word in the first map of llm.adapter.args must be one that is known. */
static bool check_adapter_word(const fmq_config_t *self, const char *path, const char *known,
                               fmq_mistakes_t *mistakes)
{
    const char *word = NULL;
    if (!fmq_node_find(self->root, path))
        return true;
    if (fmq_config_get_text(self, path, &word, NULL) == 0 &&
        (!*word || fmq_key_has_name(known, word)))
        return true;
    bool hub = word && strcasecmp(word, "adapterhub") == 0;
    wrong(self, mistakes, path, "'%.80s' is not built yet; '%s' is%s", word ? word : "no text",
          known, hub ? ", and has LoRA, IA3, prefix, prompt tuning and p-tuning as well" : "");
    return false;
}

/* Another package or method has other arguments, of which nothing is said. */
static void check_adapter_words(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    if (check_adapter_word(self, "llm.adapter.args.0.adapter_package", FMQ_KEY_ADAPTER_PACKAGES,
                           mistakes) &&
        check_adapter_word(self, "llm.adapter.args.0.adapter_method", FMQ_KEY_ADAPTER_METHODS,
                           mistakes)) {
        (void)check_adapter_word(self, "llm.adapter.args.0.bias", "none|all|lora_only", mistakes);
        (void)check_adapter_word(self, "llm.adapter.args.0.task_type", "CAUSAL_LM", mistakes);
    }
}

static void check_adapter(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    if (!fmq_config_bool(self, "llm.adapter.use"))
        return;
    check_adapter_words(self, mistakes);
}

/* True when eval.split holds that part. */
static bool is_measured(const fmq_config_t *self, const char *part, size_t length)
{
    const fmq_node_t *split = fmq_node_find(self->root, "eval.split");
    for (size_t i = 0; split && i < split->size; i++)
        if (split->items[i]->kind == FMQ_NODE_SCALAR && strlen(split->items[i]->text) == length &&
            strncmp(split->items[i]->text, part, length) == 0)
            return true;
    return false;
}

const char *fmq_config_unmeasured(const fmq_config_t *self)
{
    const char *key = fmq_config_text(self, "eval.best_res_update_round_wise_key");
    const char *dot = strrchr(key, '.');
    const char *name = dot ? dot + 1 : key;
    return is_measured(self, name, strcspn(name, "_")) ? NULL : name;
}

/* The metric that decides must be one that is measured: <part>_<what>, with
 * offsite tuning "emulator." or "plugin." before it. */
static void check_best(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    static const char path[] = "eval.best_res_update_round_wise_key";
    static const char names[] = "loss|avg_loss|token_loss|total";
    char nearest[FMQ_NEAREST_MAX] = "";
    if (!fmq_config_differs(self, fmq_key_find(path)) || is_wrong(self, "eval.split"))
        return;
    const char *key = fmq_config_text(self, path), *dot = strrchr(key, '.');
    const char *name = dot ? dot + 1 : key;
    size_t part = strcspn(name, "_");
    const char *what = name[part] ? name + part + 1 : "";
    bool offsite = fmq_config_bool(self, "llm.offsite_tuning.use");
    bool exact = offsite &&
                 (strcmp(what, "exact_match") == 0 || strcmp(what, "exact_total") == 0) &&
                 fmq_config_int(self, "fedmq.match_tokens") > 0;
    if (!fmq_key_has_choice(names, what) && !exact) {
        fmq_nearest_choice(names, what, nearest);
        wrong(self, mistakes, path,
              "'%.80s' is never measured: after train_, val_ or test_ comes "
              "one of %s%s%s%s",
              key, names, *nearest ? "; did you mean '" : "", nearest, *nearest ? "'?" : "");
    } else if (!is_measured(self, name, part)) {
        wrong(self, mistakes, path, "'%.80s' is never measured: eval.split has no '%.*s'", key,
              (int)part, name);
    } else if (dot && (!offsite ||
                       (strncmp(key, "emulator.", 9) != 0 && strncmp(key, "plugin.", 7) != 0))) {
        wrong(self, mistakes, path, "'%.80s' is never measured: %s", key,
              offsite ? "only emulator. and plugin. may stand before it"
                      : "nothing stands before it without llm.offsite_tuning.use");
    }
}

static void check_training(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    static const char *const needed[][2] = {
        {"warmup_step", "train.scheduler.warmup_steps"},
        {"warmup_step", "train.scheduler.total_steps"},
        {"warmup_noam", "train.scheduler.warmup_steps"},
        {"StepLR", "train.scheduler.step_size"},
        {"MultiStepLR", "train.scheduler.milestones"},
        {"ExponentialLR", "train.scheduler.gamma"},
        {"CosineAnnealingLR", "train.scheduler.T_max"},
    };
    const char *type = fmq_config_text(self, "train.scheduler.type");
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (strcmp(type, needed[i][0]) == 0 && !fmq_config_given(self, needed[i][1]))
            wrong(self, mistakes, "train.scheduler.type", "%s needs %s", type, needed[i][1]);
}

static void check_alignment(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    if (!fmq_config_bool(self, "llm.offsite_tuning.emu_align.use"))
        return;
    if (!fmq_config_bool(self, "llm.offsite_tuning.emu_align.initial_only") &&
        strcasecmp(fmq_config_text(self, "federate.method"), "local") == 0)
        wrong(self, mistakes, "federate.method",
              "FedBiOT aligns with what clients have trained, and with '%s' nobody sends that; set "
              "llm.offsite_tuning.emu_align.initial_only to True",
              fmq_config_text(self, "federate.method"));
}

static void check_offsite(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    if (!fmq_config_bool(self, "llm.offsite_tuning.use"))
        return;
    int64_t l = fmq_config_int(self, "llm.offsite_tuning.emu_l");
    int64_t r = fmq_config_int(self, "llm.offsite_tuning.emu_r");
    if (l >= r && !is_wrong(self, "llm.offsite_tuning.emu_l"))
        wrong(self, mistakes, "llm.offsite_tuning.emu_r",
              "the emulator replaces layers from emu_l = %lld up to, not including, emu_r = %lld: "
              "there is none",
              (long long)l, (long long)r);
    check_alignment(self, mistakes);
}

static void check_betas(const fmq_config_t *self, const char *key, fmq_mistakes_t *mistakes)
{
    if (fmq_node_find(self->root, key) && fmq_config_size(self, key) != 2)
        wrong(self, mistakes, key, "it must be two numbers, such as (0.9, 0.999)");
}

/* A list of one map; where fewer are allowed, of none too. */
static void check_one_map(const fmq_config_t *self, const char *key, fmq_mistakes_t *mistakes)
{
    const fmq_node_t *list = fmq_node_find(self->root, key);
    if (list->size != 1 || list->items[0]->kind != FMQ_NODE_MAP)
        wrong(self, mistakes, key, "it must be a list with one map");
}

static void check_at_most_one_map(const fmq_config_t *self, const char *key,
                                  fmq_mistakes_t *mistakes)
{
    if (fmq_node_find(self->root, key)->size > 0)
        check_one_map(self, key, mistakes);
}

#define OFFSITE "llm.offsite_tuning."

/* What a key's list looks like, where the switches say that it counts. */
static const struct {
    const char *switches[2]; /* NULL: none */
    const char *key;
    void (*check)(const fmq_config_t *self, const char *key, fmq_mistakes_t *mistakes);
} lists[] = {
    {{NULL}, "data.splits", check_shares},
    {{"llm.adapter.use"}, "llm.adapter.args", check_one_map},
    {{NULL}, "train.optimizer.betas", check_betas},
    {{OFFSITE "use"}, OFFSITE "kwargs", check_at_most_one_map},
    {{OFFSITE "use", OFFSITE "emu_align.use"}, OFFSITE "emu_align.data.splits", check_shares},
    {{OFFSITE "use", OFFSITE "emu_align.use"},
     OFFSITE "emu_align.train.optimizer.betas",
     check_betas},
};

static void check_lists(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        bool counts = true;
        for (size_t n = 0; n < 2 && lists[i].switches[n]; n++)
            counts = counts && fmq_config_bool(self, lists[i].switches[n]);
        if (counts)
            lists[i].check(self, lists[i].key, mistakes);
    }
}

static void check_rules(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        check_rule(self, &rules[i], mistakes);
}

void fmq_config_cross_check(const fmq_config_t *self, fmq_mistakes_t *mistakes)
{
    static void (*const checks[])(const fmq_config_t *self, fmq_mistakes_t *mistakes) = {
        check_rules,   check_clients, check_data,     check_rate,   check_lists,
        check_adapter, check_best,    check_training, check_offsite};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](self, mistakes);
}
