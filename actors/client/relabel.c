/*
 * relabel.c - asks a client's model for some of its labels, greedily.
 */
#include "actors/client/relabel.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fedmq/base/rng.h"
#include "fedmq/llm/generate.h"

/* What one run uses; released together. */
typedef struct {
    const fmq_relabel_t *how;
    const llm_records_t *records;
    bool *chosen; /* owned, a flag a record */
    fmq_relabel_stats_t stats;
    llm_adapter_t *none;        /* owned: nothing is adapted */
    llm_backend_t *backend;     /* a permit */
    llm_generator_t *generator; /* owned */
    llm_records_t *out;         /* owned until it is handed over */
    const llm_record_t *record; /* the one being asked for */
    fmq_error_t failure;        /* of adding it */
} run_t;

/* The first of a shuffled order, as many as the share says. */
static int choose(run_t *self, fmq_error_t *err)
{
    size_t size = llm_records_size(self->records);
    uint32_t *order = malloc((size + 1) * sizeof *order);
    self->chosen = calloc(size + 1, sizeof *self->chosen);
    if (!order || !self->chosen) {
        free(order);
        return fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a list of %zu records", size);
    }
    for (size_t i = 0; i < size; i++)
        order[i] = (uint32_t)i;
    fmq_rng_t rng;
    fmq_rng_name_t name = {
        .seed = self->how->seed, .purpose = FMQ_RNG_RELABEL, .client = self->how->client};
    fmq_rng_init(&rng, &name);
    fmq_rng_shuffle(&rng, order, size);
    self->stats.chosen = (size_t)nearbyint(self->how->ratio * (double)size);
    for (size_t i = 0; i < self->stats.chosen && i < size; i++)
        self->chosen[order[i]] = true;
    free(order);
    return 0;
}

static int open_generator(run_t *self, fmq_error_t *err)
{
    const fmq_relabel_t *how = self->how;
    const llm_model_t *model = fmq_context_client_model(how->context);
    const llm_shape_t *shape = llm_model_shape(model);
    llm_adapter_spec_t none = {.kind = LLM_ADAPTER_NONE};
    size_t context = how->tok_len + how->tokens_max;
    self->none = llm_adapter_new(shape, &none, err);
    if (!self->none)
        return -1;
    self->backend = fmq_devices_take(how->context->permits, how->stop, how->argument);
    if (!self->backend)
        return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped while waiting for a permit");
    self->generator = llm_generator_new(
        model, self->none, context < llm_shape_reach(shape) ? context : llm_shape_reach(shape),
        self->backend, err);
    return self->generator ? 0 : -1;
}

static bool is_blank(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return !*text;
}

/* An answer of nothing but white space teaches nothing: the label stays. */
static void take_answer(void *argument, size_t index, const llm_record_t *record,
                        const char *answer, bool exact)
{
    run_t *self = argument;
    llm_record_t said = *record;
    (void)index, (void)exact;
    if (!is_blank(answer)) {
        said.output = answer;
        self->stats.replaced++;
    }
    (void)llm_records_add(self->out, &said, &self->failure);
}

/* Without a prompt there is nothing to ask. */
static bool is_asked(const run_t *self, size_t index)
{
    const llm_record_t *record = llm_records_at(self->records, index);
    return self->chosen[index] && (*record->instruction || *record->input);
}

static int ask(run_t *self, size_t index, fmq_error_t *err)
{
    uint32_t item = (uint32_t)index;
    llm_part_t part = {.items = &item, .size = 1};
    uint64_t exact, total;
    if (llm_evaluate_match(self->generator, self->how->context->tokenizer, self->records, &part,
                           self->how->tokens_max, take_answer, self, &exact, &total, err) < 0)
        return -1;
    if (self->failure.code != FMQ_OK)
        return fmq_error_copy(err, &self->failure);
    return 0;
}

static int write_all(run_t *self, fmq_error_t *err)
{
    size_t size = llm_records_size(self->records), asked = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_asked(self, i)) {
            if (llm_records_add(self->out, llm_records_at(self->records, i), err) < 0)
                return -1;
            continue;
        }
        if (ask(self, i, err) < 0)
            return -1;
        asked++;
        if (self->how->progress(self->how->argument, asked, self->stats.chosen, 0) != 0)
            return fmq_error_set(err, FMQ_ERR_STOPPED, "stopped after %zu labels", asked);
    }
    return 0;
}

llm_records_t *fmq_relabel_run(const fmq_relabel_t *self, const llm_records_t *records,
                               fmq_relabel_stats_t *stats, fmq_error_t *err)
{
    run_t run = {.how = self, .records = records, .out = llm_records_new()};
    int rc = -1;
    if (!run.out)
        fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for records");
    else if (choose(&run, err) == 0 && (run.stats.chosen == 0 || open_generator(&run, err) == 0))
        rc = write_all(&run, err);
    llm_generator_destroy(&run.generator);
    if (run.backend)
        fmq_devices_give(self->context->permits, &run.backend);
    llm_adapter_destroy(&run.none);
    free(run.chosen);
    if (rc < 0)
        llm_records_destroy(&run.out);
    else
        *stats = run.stats;
    return run.out;
}
