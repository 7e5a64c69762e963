/*
 * examples.c - a client's own train, val and test examples, tokenized.
 */
#include "actors/client/examples.h"

#include "fedmq/actors/shard.h"

const char *fmq_part_name(fmq_examples_part_t part)
{
    static const char *const names[FMQ_PARTS] = {"train", "val", "test"};
    return names[part];
}

static llm_dataset_t *make_part(const llm_records_t *records, fmq_examples_part_t part,
                                const fmq_examples_how_t *how, fmq_error_t *err)
{
    llm_records_t *relabelled = NULL;
    if (part == FMQ_PART_TRAIN && how->relabel) {
        relabelled = how->relabel(how->argument, records, err);
        if (!relabelled)
            return NULL;
    }
    llm_dataset_t *made =
        llm_dataset_new(relabelled ? relabelled : records, NULL, how->tokenizer, how->tok_len, err);
    llm_records_destroy(&relabelled);
    return made;
}

int fmq_examples_make(fmq_examples_t *self, const llm_records_t *const records[FMQ_PARTS],
                      const fmq_examples_how_t *how, fmq_error_t *err)
{
    *self = (fmq_examples_t){{NULL}};
    for (int part = 0; part < FMQ_PARTS; part++) {
        if (!records[part] || llm_records_size(records[part]) == 0)
            continue;
        self->parts[part] = make_part(records[part], (fmq_examples_part_t)part, how, err);
        if (!self->parts[part]) {
            fmq_error_prefix(err, "%s records", fmq_part_name((fmq_examples_part_t)part));
            fmq_examples_release(self);
            return -1;
        }
    }
    return 0;
}

int fmq_examples_decode(fmq_examples_t *self, const void *shard, size_t size,
                        const fmq_examples_how_t *how, fmq_error_t *err)
{
    llm_records_t *records[FMQ_PARTS] = {NULL};
    int result = -1;
    *self = (fmq_examples_t){{NULL}};
    for (int part = 0; part < FMQ_PARTS; part++)
        if ((records[part] = llm_records_new()) == NULL) {
            fmq_error_set(err, FMQ_ERR_NOMEM, "out of memory for a shard");
            goto done;
        }
    if (fmq_shard_decode(shard, size, records, err) == 0)
        result = fmq_examples_make(self, (const llm_records_t *const *)records, how, err);
done:
    for (int part = 0; part < FMQ_PARTS; part++)
        llm_records_destroy(&records[part]);
    return result;
}

void fmq_examples_release(fmq_examples_t *self)
{
    for (int part = 0; part < FMQ_PARTS; part++)
        llm_dataset_destroy(&self->parts[part]);
}

size_t fmq_examples_size(const fmq_examples_t *self, fmq_examples_part_t part)
{
    return self->parts[part] ? llm_dataset_size(self->parts[part]) : 0;
}

llm_fit_t fmq_examples_fit(const fmq_examples_t *self, fmq_examples_part_t part)
{
    return self->parts[part] ? llm_dataset_fit(self->parts[part]) : (llm_fit_t){0};
}

llm_fit_t fmq_examples_fit_all(const fmq_examples_t *self)
{
    llm_fit_t all = {0};
    for (int part = 0; part < FMQ_PARTS; part++) {
        llm_fit_t one = fmq_examples_fit(self, (fmq_examples_part_t)part);
        llm_fit_add(&all, &one);
    }
    return all;
}
