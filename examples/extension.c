/*
 * extension.c - a method, a rule, a sampler, a splitter and a codec of one's own, in a file.
 *
 *     cc -shared -fPIC -o extension.so extension.c
 *     fedmq run --load extension.so --cfg my.yaml federate.method heavy-ball
 *         fedmq.extension.momentum 0.5 federate.sampler in-turn data.splitter stripes fedmq.codec
 * q8
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/extend/extension.h"

/* A method: FedAvg with a heavy ball (FedAvgM, Hsu et al. 2019).  m = momentum m + (mean - x),
 * x = x + m; m is kept in checkpoints, so that a killed run goes on as if nothing had been. */
typedef struct {
    const fmq_rule_t *rule;
    const fmq_schema_t *schema;
    float *moments; /* owned, of schema's elements */
    float momentum;
} ball_t;

static void ball_destroy(void *argument)
{
    ball_t *self = argument;
    free(self->moments);
    free(self);
}

static int ball_create(const fmq_strategy_setup_t *setup, void **out, fmq_error_t *err)
{
    double momentum = 0.9;
    const char *key = "fedmq.extension.momentum";
    if (fmq_config_given(setup->config, key) &&
        fmq_config_get_real(setup->config, key, &momentum, err) < 0)
        return -1;
    if (!(momentum >= 0 && momentum < 1))
        return fmq_error_set(err, FMQ_ERR_CONFIG, "'%s' is %g, it must lie in [0, 1)", key,
                             momentum);
    ball_t *self = calloc(1, sizeof *self);
    float *moments = calloc((size_t)fmq_schema_elements(setup->schema), sizeof *moments);
    if (!self || !moments) {
        free(self);
        free(moments);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory for the moments");
    }
    *self = (ball_t){setup->rule, setup->schema, moments, (float)momentum};
    *out = self;
    return 0;
}

typedef struct {
    ball_t *ball;
    float *state;
} roll_t;

/* values: what the clients' updates come to from element `first` on. */
static int roll(void *argument, uint64_t first, uint64_t count, float *values, fmq_error_t *err)
{
    const roll_t *self = argument;
    float *m = self->ball->moments + first, *x = self->state + first;
    (void)err;
    for (uint64_t i = 0; i < count; i++) {
        m[i] = self->ball->momentum * m[i] + (values[i] - x[i]);
        x[i] += m[i];
    }
    return 0;
}

static fmq_step_t ball_aggregate(void *argument, const fmq_strategy_host_t *host,
                                 const fmq_updates_t *updates, float *state, fmq_error_t *err)
{
    ball_t *self = argument;
    roll_t all = {self, state};
    (void)host;
    if (!updates)
        return FMQ_STEP_DONE;
    return fmq_rule_run(self->rule, updates, roll, &all, err) < 0 ? FMQ_STEP_FAILED : FMQ_STEP_DONE;
}

static void ball_sections(void *argument, fmq_sections_t *out)
{
    ball_t *self = argument;
    (void)fmq_sections_add(out, "method.heavy-ball", self->schema, self->moments);
}

static const fmq_strategy_ops_t heavy_ball = {.name = "heavy-ball",
                                              .help = "FedAvg with momentum at the server",
                                              .create = ball_create,
                                              .destroy = ball_destroy,
                                              .aggregate = ball_aggregate,
                                              .sections = ball_sections};

/* A rule: the middle of the least and the greatest of every coordinate. */
static size_t midrange_scratch(size_t updates)
{
    (void)updates;
    return 2 * FMQ_RULE_RANGE_MAX * sizeof(float);
}

static int midrange_fold(const fmq_updates_t *updates, uint64_t first, uint64_t count,
                         void *scratch, float *out, fmq_error_t *err)
{
    float *values = scratch, *most = values + FMQ_RULE_RANGE_MAX;
    for (size_t i = 0; i < updates->size; i++) {
        if (updates->read(updates->argument, i, first, count, values, err) < 0)
            return -1;
        for (uint64_t j = 0; j < count; j++) {
            out[j] = i == 0 || values[j] < out[j] ? values[j] : out[j];
            most[j] = i == 0 || values[j] > most[j] ? values[j] : most[j];
        }
    }
    for (uint64_t j = 0; j < count; j++)
        out[j] = out[j] / 2 + most[j] / 2;
    return 0;
}

static const fmq_rule_t midrange = {"midrange", "the middle of the least and the greatest",
                                    midrange_scratch, midrange_fold};

/* A sampler: the clients take turns. */
static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int in_turn_choose(const fmq_sampling_t *sampling, uint32_t *chosen, size_t *count,
                          fmq_error_t *err)
{
    size_t size = sampling->size, wanted = sampling->wanted < size ? sampling->wanted : size;
    uint32_t *all = malloc((size ? size : 1) * sizeof *all);
    if (!all)
        return fmq_error_set(err, FMQ_ERR_NOMEM, "no memory to sample %zu clients", size);
    if (size > 0)
        memcpy(all, sampling->candidates, size * sizeof *all);
    qsort(all, size, sizeof *all, by_number);
    for (size_t i = 0; i < wanted; i++)
        chosen[i] = all[((size_t)sampling->round * wanted + i) % size];
    qsort(chosen, wanted, sizeof *chosen, by_number);
    *count = wanted;
    free(all);
    return 0;
}

static const fmq_sampler_t in_turn = {
    "in-turn", "clients take turns, in the order of their numbers", in_turn_choose};

/* A splitter: record after record to client after client, category by category. */
static int stripes_deal(const llm_split_deal_t *deal, const fmq_config_t *config, uint32_t *owner,
                        fmq_error_t *err)
{
    (void)config, (void)err;
    for (size_t i = 0; i < deal->size; i++)
        owner[i] = (uint32_t)(i % deal->clients);
    return 0;
}

static const fmq_splitter_t stripes = {"stripes", "every client the same of every category",
                                       stripes_deal};

/* A codec: a run's greatest value as a float, then every element in 8 bits of it. */
static size_t q8_bytes(size_t count)
{
    return sizeof(float) + count;
}

static bool q8_encode(void *out, const float *in, size_t count)
{
    float most = 0;
    signed char *codes = (signed char *)out + sizeof most;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(in[i]))
            return false;
        most = fabsf(in[i]) > most ? fabsf(in[i]) : most;
    }
    memcpy(out, &most, sizeof most);
    for (size_t i = 0; i < count; i++) {
        float part = most > 0 ? in[i] / most * 127 : 0;
        codes[i] = (signed char)(part < 0 ? part - 0.5f : part + 0.5f);
    }
    return true;
}

static bool q8_decode(float *out, const void *in, size_t count, size_t first, size_t wanted)
{
    float most;
    const signed char *codes = (const signed char *)in + sizeof most + first;
    (void)count;
    memcpy(&most, in, sizeof most);
    for (size_t i = 0; i < wanted; i++)
        out[i] = most / 127 * codes[i];
    return isfinite(most / 127 * 128);
}

static const fmq_codec_ops_t q8 = {.name = "q8",
                                   .help = "8 bits a number, of the greatest of its tensor",
                                   .number = 64,
                                   .bytes = q8_bytes,
                                   .encode = q8_encode,
                                   .decode = q8_decode};

static const fmq_strategy_ops_t *const strategies[] = {&heavy_ball, NULL};
static const fmq_rule_t *const rules[] = {&midrange, NULL};
static const fmq_sampler_t *const samplers[] = {&in_turn, NULL};
static const fmq_splitter_t *const splitters[] = {&stripes, NULL};
static const fmq_codec_ops_t *const codecs[] = {&q8, NULL};
static const char *const keys[] = {"momentum", NULL};

FMQ_EXTENSION("example", .strategies = strategies, .rules = rules, .samplers = samplers,
              .splitters = splitters, .codecs = codecs, .keys = keys);
