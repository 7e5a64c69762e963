/*
 * loading.c - a client's examples: from records of its own or from its shard,
 * with labels of its model where the configuration asks for them.
 *
 * Asking the model takes long; meanwhile it reads what has come, so that
 * $TERM or the run's end stops it.
 */
#include "actors/client/client_private.h"
#include "actors/client/relabel.h"
#include "actors/protocol/fit.h"

static int should_stop(void *argument)
{
    fmq_client_t *self = argument;
    fmq_client_pump(self);
    return self->terminated || self->refused.code != FMQ_OK ||
           self->course.phase == FMQ_COURSE_ENDED;
}

static int on_label(void *argument, uint64_t step, uint64_t steps, uint64_t tokens)
{
    fmq_client_t *self = argument;
    (void)tokens;
    fmq_link_set_progress(self->link, step, steps);
    return should_stop(self);
}

static llm_records_t *relabel(void *argument, const llm_records_t *train, fmq_error_t *err)
{
    fmq_client_t *self = argument;
    fmq_relabel_stats_t stats;
    fmq_relabel_t how = {.context = &self->context,
                         .ratio = self->offsite.generated,
                         .tokens_max = self->offsite.generated_tokens_max,
                         .tok_len = (size_t)fmq_config_int(self->config, "llm.tok_len"),
                         .seed = self->train.seed,
                         .client = self->number,
                         .progress = on_label,
                         .stop = should_stop,
                         .argument = self};
    llm_records_t *made = fmq_relabel_run(&how, train, &stats, err);
    fmq_link_set_progress(self->link, 0, 0);
    if (made)
        fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "labels-generated",
                      "chosen=%zu replaced=%zu kept=%zu", stats.chosen, stats.replaced,
                      stats.chosen - stats.replaced);
    return made;
}

static fmq_examples_how_t how_to_make(fmq_client_t *self)
{
    return (fmq_examples_how_t){.tokenizer = self->context.tokenizer,
                                .tok_len = (size_t)fmq_config_int(self->config, "llm.tok_len"),
                                .relabel = self->offsite.generated > 0 ? relabel : NULL,
                                .argument = self};
}

/* A cache for each part that has examples. */
static int make_prefixes(fmq_client_t *self, fmq_error_t *err)
{
    for (int part = 0; self->context.prefixes && part < FMQ_PARTS; part++) {
        if (!self->examples.parts[part])
            continue;
        self->prefixes[part] = llm_prefix_cache_new(self->context.prefixes, err);
        if (!self->prefixes[part])
            return -1;
    }
    return 0;
}

/* What could not be used.  Beside its server a client leaves it to that one to
 * warn, once for all of them. */
static void log_records(const fmq_client_t *self, const llm_fit_t *all)
{
    char misfits[LLM_FIT_TEXT_BYTES];
    fmq_log_write(self->context.log, FMQ_LOG_INFO, self->name, "data",
                  "train=%zu val=%zu test=%zu dropped=%llu cut=%llu",
                  fmq_examples_size(&self->examples, FMQ_PART_TRAIN),
                  fmq_examples_size(&self->examples, FMQ_PART_VAL),
                  fmq_examples_size(&self->examples, FMQ_PART_TEST),
                  (unsigned long long)(all->unanswered + all->too_long),
                  (unsigned long long)all->cut);
    llm_fit_text(all, "llm.tok_len", (size_t)fmq_config_int(self->config, "llm.tok_len"), misfits);
    if (*misfits)
        fmq_log_write(self->context.log, self->hosted ? FMQ_LOG_INFO : FMQ_LOG_WARNING, self->name,
                      "records", "text=\"%s\"", misfits);
}

/* Tells the course that the examples are there, or (result -1) will not be. */
static void loaded(fmq_client_t *self, int result, fmq_error_t *err)
{
    if (result == 0)
        result = make_prefixes(self, err);
    if (result < 0) {
        if (err->code != FMQ_ERR_STOPPED)
            fmq_client_fail(self, err);
        return;
    }
    size_t tok_len = (size_t)fmq_config_int(self->config, "llm.tok_len");
    size_t samples = fmq_examples_size(&self->examples, FMQ_PART_TRAIN);
    llm_fit_t all = fmq_examples_fit_all(&self->examples);
    llm_fit_t train = fmq_examples_fit(&self->examples, FMQ_PART_TRAIN);
    fmq_metrics_t data = {0};
    fmq_error_t why = {0};
    fmq_fit_to_metrics(&all, &data);
    log_records(self, &all);
    if (samples == 0)
        (void)llm_fit_refuse(&train, "training records", "llm.tok_len", tok_len, &why);
    fmq_course_describe(&self->course, &data, samples == 0 ? why.text : NULL);
    if (llm_fit_used(&all) == 0 && !self->hosted) {
        fmq_course_useless(&self->course, &why);
        return;
    }
    if (samples == 0)
        fmq_log_write(self->context.log, self->hosted ? FMQ_LOG_INFO : FMQ_LOG_WARNING, self->name,
                      "takes-part-in-no-training", "reason=\"%s\"", why.text);
    fmq_course_loaded(&self->course, samples);
}

void fmq_client_load(fmq_client_t *self)
{
    fmq_error_t err = {0};
    if (!self->own[FMQ_PART_TRAIN] && !self->own[FMQ_PART_VAL] && !self->own[FMQ_PART_TEST]) {
        self->wants_shard = true;
        fmq_client_fetch_shard(self);
        return;
    }
    fmq_examples_how_t how = how_to_make(self);
    loaded(self, fmq_examples_make(&self->examples, self->own, &how, &err), &err);
}

void fmq_client_use_shard(fmq_client_t *self)
{
    fmq_error_t err = {0};
    fmq_examples_how_t how = how_to_make(self);
    self->shard_is_here = false;
    int result = fmq_examples_decode(&self->examples, self->shard.bytes.data,
                                     self->shard.bytes.size, &how, &err);
    fmq_download_cancel(&self->shard);
    loaded(self, result, &err);
}
