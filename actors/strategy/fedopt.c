/*
 * fedopt.c - FedOpt (Reddi et al. 2021, "Adaptive Federated Optimization"): an
 * optimizer at the server, whose gradient is the state minus the clients' mean.
 *
 * FS-LLM gives fedopt.optimizer to torch.optim, so SGD, Adam and Adagrad are
 * torch's, with its names and defaults.  FedAdam, FedYogi (Yogi) and FedAdagrad
 * are the paper's algorithm 2: no correction of moments that begin at nothing,
 * second moments begin at eps^2, and eps is the paper's tau.  Arithmetic is in
 * double, state and moments are float.  Rounds without an update are no steps.
 */
#include "actors/strategy/fedopt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "actors/settings/table.h"
#include "actors/strategy/methods.h"
#include "base/real.h"

#define NODE "fedopt.optimizer"

/* What the paper's algorithm 2 has beside a second moment. */
#define PAPER .first = true, .from_eps = true, .beta1 = 0.9, .eps = 1e-3
#define YOGI  .second = FMQ_SECOND_SIGNED, .beta2 = 0.99, PAPER

static const fmq_fedopt_t kinds[] = {
    {.name = "SGD", .second = FMQ_SECOND_NONE},
    {.name = "Adam",
     .second = FMQ_SECOND_MEAN,
     .first = true,
     .corrected = true,
     .beta1 = 0.9,
     .beta2 = 0.999,
     .eps = 1e-8},
    {.name = "Adagrad", .second = FMQ_SECOND_SUM, .eps = 1e-10},
    {.name = "FedAdam", .second = FMQ_SECOND_MEAN, .beta2 = 0.99, PAPER},
    {.name = "FedYogi", YOGI},
    {.name = "FedAdagrad", .second = FMQ_SECOND_SUM, PAPER},
    {.name = "Yogi", YOGI},
};

static const double not_negative[2] = {0, 1e300};
static const double below_one[2] = {0, 1 - 1e-12};

#define TAKE(field)                                                                                \
    static int take_##field(const fmq_config_t *config, const char *key, void *out,                \
                            fmq_error_t *err)                                                      \
    {                                                                                              \
        return fmq_setting_real(config, key, not_negative, &((fmq_fedopt_t *)out)->field, err);    \
    }

TAKE(lr)
TAKE(momentum)
TAKE(dampening)
TAKE(weight_decay)
TAKE(eps)
TAKE(lr_decay)
TAKE(initial)

static int take_nesterov(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    return fmq_config_get_bool(config, key, &((fmq_fedopt_t *)out)->nesterov, err);
}

static int take_betas(const fmq_config_t *config, const char *key, void *out, fmq_error_t *err)
{
    fmq_fedopt_t *self = out;
    double betas[2];
    if (fmq_setting_betas(config, key, below_one, betas, err) < 0)
        return -1;
    self->beta1 = betas[0];
    self->beta2 = betas[1];
    return 0;
}

static const fmq_setting_t sgd_table[] = {{"type", fmq_setting_skip},
                                          {"lr", take_lr},
                                          {"momentum", take_momentum},
                                          {"dampening", take_dampening},
                                          {"weight_decay", take_weight_decay},
                                          {"nesterov", take_nesterov},
                                          {NULL, NULL}};
static const fmq_setting_t adaptive_table[] = {
    {"type", fmq_setting_skip},          {"lr", take_lr}, {"betas", take_betas}, {"eps", take_eps},
    {"weight_decay", take_weight_decay}, {NULL, NULL}};
static const fmq_setting_t adagrad_table[] = {{"type", fmq_setting_skip},
                                              {"lr", take_lr},
                                              {"eps", take_eps},
                                              {"lr_decay", take_lr_decay},
                                              {"initial_accumulator_value", take_initial},
                                              {"weight_decay", take_weight_decay},
                                              {NULL, NULL}};

static const fmq_setting_t *table_of(const fmq_fedopt_t *kind)
{
    if (kind->second == FMQ_SECOND_NONE)
        return sgd_table;
    return kind->first ? adaptive_table : adagrad_table;
}

static int read_kind(fmq_fedopt_t *out, const fmq_config_t *config, const fmq_fedopt_t *kind,
                     fmq_error_t *err)
{
    *out = *kind;
    out->lr = fmq_config_real(config, NODE ".lr");
    out->anneals = fmq_config_bool(config, "fedopt.annealing");
    out->gamma = fmq_config_real(config, "fedopt.annealing_gamma");
    out->step_size = fmq_config_int(config, "fedopt.annealing_step_size");
    if (fmq_settings_take(config, NODE, table_of(kind), out, err) < 0)
        return -1;
    if (out->nesterov && (out->momentum <= 0 || out->dampening != 0))
        return fmq_error_set(err, FMQ_ERR_CONFIG,
                             "%s: '" NODE ".nesterov' needs a momentum and no dampening",
                             fmq_config_origin(config, NODE ".nesterov"));
    if (out->from_eps && out->eps <= 0)
        return fmq_error_set(err, FMQ_ERR_CONFIG, "%s: '" NODE ".eps' must be above 0 with %s",
                             fmq_config_origin(config, NODE ".eps"), out->name);
    return 0;
}

int fmq_fedopt_read(fmq_fedopt_t *out, const fmq_config_t *config, fmq_error_t *err)
{
    if (!config) {
        *out = kinds[0];
        out->lr = 0.01;
        return 0;
    }
    const char *type = fmq_config_text(config, NODE ".type");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcasecmp(kinds[i].name, type) == 0)
            return read_kind(out, config, &kinds[i], err);
    return fmq_error_set(err, FMQ_ERR_UNSUPPORTED,
                         "%s: '" NODE ".type' is '%s'; optimizers of a server are SGD, Adam, "
                         "Adagrad (as in torch), FedAdam, FedYogi (or Yogi), FedAdagrad (as in the "
                         "paper)",
                         fmq_config_origin(config, NODE ".type"), type);
}

bool fmq_fedopt_keeps_first(const fmq_fedopt_t *self)
{
    return self->first || self->momentum > 0;
}

bool fmq_fedopt_keeps_second(const fmq_fedopt_t *self)
{
    return self->second != FMQ_SECOND_NONE;
}

double fmq_fedopt_second(const fmq_fedopt_t *self)
{
    return self->from_eps ? self->eps * self->eps : self->initial;
}

static double rate_of(const fmq_fedopt_t *self, uint64_t t)
{
    double rate = self->lr / (1 + (double)(t - 1) * self->lr_decay);
    if (!self->anneals)
        return rate;
    return rate * fmq_pow(self->gamma, (double)((t - 1) / (uint64_t)self->step_size));
}

static double next_second(const fmq_fedopt_t *self, double v, double g)
{
    double square = g * g;
    switch (self->second) {
    case FMQ_SECOND_NONE:
        break;
    case FMQ_SECOND_MEAN:
        return self->beta2 * v + (1 - self->beta2) * square;
    case FMQ_SECOND_SUM:
        return v + square;
    case FMQ_SECOND_SIGNED:
        if (v == square)
            return v;
        return v - (1 - self->beta2) * square * (v > square ? 1 : -1);
    }
    return 0;
}

/* torch.optim.SGD: the first step's buffer is the gradient itself. */
static void step_sgd(const fmq_fedopt_t *self, uint64_t t, uint64_t count, const float *mean,
                     float *x, float *m)
{
    double rate = rate_of(self, t);
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)x[i] - (double)mean[i] + self->weight_decay * (double)x[i];
        if (m) {
            m[i] = (float)(t == 1 ? g : self->momentum * (double)m[i] + (1 - self->dampening) * g);
            g = self->nesterov ? g + self->momentum * (double)m[i] : (double)m[i];
        }
        x[i] = (float)((double)x[i] - rate * g);
    }
}

void fmq_fedopt_step(const fmq_fedopt_t *self, uint64_t t, uint64_t count, const float *mean,
                     float *x, float *m, float *v)
{
    if (self->second == FMQ_SECOND_NONE) {
        step_sgd(self, t, count, mean, x, m);
        return;
    }
    double rate = rate_of(self, t);
    double first = self->corrected ? 1 - fmq_pow(self->beta1, (double)t) : 1;
    double second = self->corrected ? 1 - fmq_pow(self->beta2, (double)t) : 1;
    for (uint64_t i = 0; i < count; i++) {
        double g = (double)x[i] - (double)mean[i] + self->weight_decay * (double)x[i];
        v[i] = (float)next_second(self, (double)v[i], g);
        if (m)
            m[i] = (float)(self->beta1 * (double)m[i] + (1 - self->beta1) * g);
        double direction = (m ? (double)m[i] : g) / first;
        x[i] = (float)((double)x[i] - rate * direction / (sqrt((double)v[i] / second) + self->eps));
    }
}

/* The strategy: what the steps need is kept here and in checkpoints. */
typedef struct {
    fmq_fedopt_t how;
    const fmq_rule_t *rule;
    const fmq_schema_t *schema;
    float *m, *v;           /* owned; NULL: not kept */
    unsigned char steps[8]; /* taken so far, little endian */
} fedopt_t;

static void destroy(void *argument)
{
    fedopt_t *self = argument;
    free(self->m);
    free(self->v);
    free(self);
}

static int make_moments(fedopt_t *self, fmq_error_t *err)
{
    size_t size = (size_t)fmq_schema_elements(self->schema);
    bool first = fmq_fedopt_keeps_first(&self->how), second = fmq_fedopt_keeps_second(&self->how);
    self->m = first ? calloc(size ? size : 1, sizeof *self->m) : NULL;
    self->v = second ? calloc(size ? size : 1, sizeof *self->v) : NULL;
    if ((first && !self->m) || (second && !self->v))
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for moments of %zu elements", size);
    for (size_t i = 0; second && i < size; i++)
        self->v[i] = (float)fmq_fedopt_second(&self->how);
    return 0;
}

static int new (const fmq_strategy_setup_t *setup, void **out, fmq_error_t *err)
{
    fedopt_t *self = calloc(1, sizeof *self);
    if (!self)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for a strategy");
    self->rule = setup->rule;
    self->schema = setup->schema;
    if (fmq_fedopt_read(&self->how, setup->config, err) < 0 || make_moments(self, err) < 0) {
        destroy(self);
        return -1;
    }
    *out = self;
    return 0;
}

static void sections(void *argument, fmq_sections_t *out)
{
    fedopt_t *self = argument;
    if (self->m)
        (void)fmq_sections_add(out, FMQ_SECTION_METHOD "fedopt.m", self->schema, self->m);
    if (self->v)
        (void)fmq_sections_add(out, FMQ_SECTION_METHOD "fedopt.v", self->schema, self->v);
    (void)fmq_sections_add_bytes(out, FMQ_SECTION_METHOD "fedopt.steps", self->steps,
                                 sizeof self->steps, sizeof self->steps);
}

static uint64_t steps_of(const fedopt_t *self)
{
    uint64_t steps = 0;
    for (size_t i = 0; i < sizeof self->steps; i++)
        steps |= (uint64_t)self->steps[i] << 8 * i;
    return steps;
}

typedef struct {
    fedopt_t *self;
    float *state;
    uint64_t t;
} step_t;

static int take(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    const step_t *step = argument;
    const fedopt_t *self = step->self;
    (void)err;
    fmq_fedopt_step(&self->how, step->t, count, values, step->state + first,
                    self->m ? self->m + first : NULL, self->v ? self->v + first : NULL);
    return 0;
}

static fmq_step_t aggregate(void *argument, const fmq_strategy_host_t *host,
                            const fmq_updates_t *updates, float *state, fmq_error_t *err)
{
    fedopt_t *self = argument;
    step_t step = {.self = self, .state = state, .t = steps_of(self) + 1};
    (void)host;
    if (!updates)
        return FMQ_STEP_DONE;
    if (fmq_rule_run(self->rule, updates, take, &step, err) < 0)
        return FMQ_STEP_FAILED;
    for (size_t i = 0; i < sizeof self->steps; i++)
        self->steps[i] = (unsigned char)(step.t >> 8 * i);
    return FMQ_STEP_DONE;
}

const fmq_strategy_ops_t fmq_fedopt_ops = {
    .name = "fedopt",
    .help = "FedAvg with an optimizer at the server (fedopt.optimizer)",
    .create = new,
    .destroy = destroy,
    .aggregate = aggregate,
    .sections = sections};
